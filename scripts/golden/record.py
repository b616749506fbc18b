"""Runs a model over pictures and writes down every stage: tensors by name, and a page of words and numbers.

All tensors are stored as fp32, ids too, so that a reader needs one type only. For each picture NAME:

    NAME.input                   [3, H, W]      after preprocessing, padded
    NAME.tap2 .. tap5            [c, h, w]      backbone
    NAME.pyramid2 .. pyramid6    [C, h, w]      BiFPN
    NAME.rpn.logits2 .. 6        [h*w*3]        order row, column, ratio
    NAME.rpn.deltas2 .. 6        [h*w*3, 4]
    NAME.proposals.boxes         [n, 4]         pixels of the resized image, best first
    NAME.proposals.logits        [n]
    NAME.roi.aligned             [n, C*pool*pool]
    NAME.roi.features            [n, H]         fc7 after ReLU
    NAME.roi.probabilities       [n, K]
    NAME.roi.deltas              [n, 4]
    NAME.regions.proposals       [m]            index of each kept region's proposal
    NAME.regions.boxes           [m, 4]         pixels of the upright image
    NAME.regions.classes, .scores [m]
    NAME.regions.inputs          [m, H + 6]     features and geometry, as the fusion takes them; the first context.regions only
    NAME.cells.map               [channels, h, w]  only with cells: the map before it is cut to the picture
    NAME.cells.inputs            [m, channels + 6] only with cells
    NAME.tags                    [t]            token ids with [SEP]; absent where there are none
    NAME.vqaQ.ids                [n]            [CLS] question [SEP]
    NAME.vqaQ.embeddings         [s, D]         text, tags, regions, cells (question 0 only)
    NAME.vqaQ.layerL             [s, D]         after each layer (question 0 only)
    NAME.vqaQ.logits             [answers]
    NAME.retrieveQ.ids, .logits  [n], [2]
    NAME.caption.context         [c, D]         embeddings of tags, regions and cells
    NAME.caption.logitsT         [S]            in greedy step T = 1, 2, 3, of the words that can be said
    NAME.caption.greedy          [n]            token ids, with [SEP] where it ended by itself
    NAME.caption.beamI           [n]            I-th best
    NAME.other.greedy, .beamI, .logitsT            the same with the other decoder (mask or causal) on the same weights
    NAME.notags.caption.greedy   [n]            the same with the tags left out; and .notags.vqa0.logits"""
import contextlib
import dataclasses

import torch
from minivlm import decode, weights
from minivlm.model import MiniVLM, Scene

LOGIT_STEPS = 3


@contextlib.contextmanager
def other_decoder(model: MiniVLM):
    """No weight belongs to a decoder, so each model can be run with both."""
    config = model.config
    own, other = config.caption, "mask" if config.caption.decoder == "causal" else "causal"
    config.caption = dataclasses.replace(own, decoder=other)
    try:
        yield
    finally:
        config.caption = own


class Recorder:
    def __init__(self, model: MiniVLM, questions: list[str], sentences: list[str]):
        self.model, self.questions, self.sentences = model, questions, sentences
        self.tensors: dict[str, torch.Tensor] = {}
        self.pages: dict[str, dict] = {}

    def add(self, name: str, value) -> None:
        self.tensors[name] = torch.as_tensor(value).detach().float().contiguous().clone()

    @torch.no_grad()
    def picture(self, name: str, picture) -> None:
        prepared = self.model.prepare(picture)
        scene = self._image_half(name, prepared)
        page = {"upright": list(prepared.upright), "resized": list(prepared.resized), "labels": scene.labels,
                "scores": _rounded(scene.regions.scores.tolist()), "tags": self.model.tokenizer.decode(scene.tags)}
        page["vqa"] = [self._vqa(f"{name}.vqa{i}", scene, text, i == 0) for i, text in enumerate(self.questions)]
        page["retrieve"] = [self._retrieve(f"{name}.retrieve{i}", scene, t) for i, t in enumerate(self.sentences)]
        self.add(f"{name}.caption.context", self.model.embed_context(scene)[0])
        page["caption"] = self._caption(f"{name}.caption", scene)
        with other_decoder(self.model):
            page["other"] = self._caption(f"{name}.other", scene)
        bare = dataclasses.replace(scene, tags=[])
        self.add(f"{name}.notags.caption.greedy", self.model.caption(bare, num_beams=1)[0].tokens)
        self.add(f"{name}.notags.vqa0.logits", self.model.vqa(bare, self.questions[0]))
        self.pages[name] = page

    def _image_half(self, name: str, prepared) -> Scene:
        tee = self.model.tee
        self.add(f"{name}.input", prepared.tensor)
        taps, entry = self.model.look(prepared.tensor.unsqueeze(0))
        pyramid = tee.bifpn(taps)
        logits, deltas = tee.rpn(pyramid)
        for i, tap in enumerate(taps):
            self.add(f"{name}.tap{i + 2}", tap[0])
        for i in range(5):
            self.add(f"{name}.pyramid{i + 2}", pyramid[i][0])
            self.add(f"{name}.rpn.logits{i + 2}", logits[i][0])
            self.add(f"{name}.rpn.deltas{i + 2}", deltas[i][0])
        d, = tee.detect(pyramid, [prepared.resized])
        scene = self.model.scene(d.regions, entry, prepared)
        for part, value in (("proposals.boxes", d.proposals), ("proposals.logits", d.objectness),
                            ("roi.aligned", d.aligned), ("roi.features", d.features),
                            ("roi.probabilities", d.logits.softmax(-1)), ("roi.deltas", d.deltas),
                            ("regions.proposals", d.regions.proposals), ("regions.boxes", scene.boxes),
                            ("regions.classes", d.regions.classes), ("regions.scores", d.regions.scores),
                            ("regions.inputs", scene.inputs), ("cells.inputs", scene.cells)):
            if value is not None:
                self.add(f"{name}.{part}", value)
        if self.model.cells:
            self.add(f"{name}.cells.map", self.model.cells(entry)[0])
        if scene.tags:
            self.add(f"{name}.tags", scene.tags)
        return scene

    def _vqa(self, name: str, scene: Scene, question: str, every_layer: bool) -> dict:
        ids = self.model.text_ids(question)
        self.add(f"{name}.ids", ids)
        if every_layer:
            x = self.model.embed_pair(scene, ids)
            self.add(f"{name}.embeddings", x[0])
            for i, (y, _) in enumerate(self.model.fusion.steps(x)):
                self.add(f"{name}.layer{i}", y[0])
        logits = self.model.vqa(scene, question)
        self.add(f"{name}.logits", logits)
        top = torch.topk(logits.sigmoid(), min(5, len(logits)))
        answers = [self.model.labels.answers[i] for i in top.indices.tolist()]
        return {"question": question, "answers": answers, "scores": _rounded(top.values.tolist())}

    def _retrieve(self, name: str, scene: Scene, sentence: str) -> dict:
        self.add(f"{name}.ids", self.model.text_ids(sentence))
        logits = self.model.retrieve(scene, sentence)
        self.add(f"{name}.logits", logits)
        return {"text": sentence, "score": _rounded([float(logits.softmax(-1)[1])])[0]}

    def _caption(self, name: str, scene: Scene) -> dict:
        best = self.model.caption(scene, num_beams=1)[0]
        beams = self.model.caption(scene)
        self.add(f"{name}.greedy", best.tokens)
        for i, hypothesis in enumerate(beams):
            self.add(f"{name}.beam{i}", hypothesis.tokens)
        scorer, prefix = self.model.scorer(scene), [self.model.tokenizer.cls]
        said = self.model.heads.caption.bias > weights.SILENT
        for step, token in enumerate(best.tokens[:LOGIT_STEPS], 1):
            self.add(f"{name}.logits{step}", scorer.next_logits([prefix], [0])[0][said])
            prefix = prefix + [token]
        return {"greedy": self._hypothesis(best), "beams": [self._hypothesis(h) for h in beams]}

    def _hypothesis(self, h: decode.Hypothesis) -> dict:
        return {"text": self.model.tokenizer.decode(h.tokens), "score": _rounded([h.score])[0], "tokens": h.tokens}


def _rounded(values: list[float]) -> list[float]:
    return [round(v, 6) for v in values]
