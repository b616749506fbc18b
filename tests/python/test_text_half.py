"""The text half of the reference: parameter counts, masks, cached against uncached decoding, beam search by hand."""
import itertools
import json
import math
import unittest
from unittest import mock

import torch
from minivlm import MiniVLM, config as cfg, decode, image
from minivlm.fusion import TAGS, TEXT, Fusion, additive, caption_mask, full_mask
from minivlm.heads import Heads
from minivlm.text import Tokenizer, tag_string
from support import DATA, GOLDEN, PICTURES, TINY


class Paper(unittest.TestCase):
    def test_parameters(self):
        config = cfg.paper()
        count = lambda m: sum(p.numel() for p in m.parameters())
        fusion, heads = Fusion(config.fusion, config.roi.hidden), Heads(config)
        pooler = count(heads.vqa.pooler)
        self.assertEqual(count(fusion) + pooler, 33_756_672)  # with the 30,522 words: the paper's "34 M" transformer
        self.assertEqual(count(fusion.layers[0]), 1_774_464)
        self.assertEqual(count(heads.caption), 384 * 384 + 3 * 384 + 30_522)  # its matrix is the word embeddings
        self.assertEqual(count(heads.vqa.classifier), 1_204_665)


class Masks(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(4)
        c = cfg.Fusion(layers=2, hidden=24, heads=3, ffn=40, vocab=50, positions=20)
        self.fusion = Fusion(c, region_hidden=10).eval()
        for p in self.fusion.parameters():
            torch.nn.init.normal_(p, std=0.3)

    def test_caption_rows(self):
        valid = torch.ones(1, 2, dtype=torch.bool)
        rows = caption_mask(valid, torch.ones(1, 3, dtype=torch.bool))[0, 0].int().tolist()
        self.assertEqual(rows, [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]])

    @torch.no_grad()
    def test_later_words_change_nothing_before(self):
        x = torch.randn(1, 9, 24)
        mask = caption_mask(torch.ones(1, 5, dtype=torch.bool), torch.ones(1, 4, dtype=torch.bool))
        before = self.fusion.encode(x, mask)
        x[0, 7] += 1.0
        after = self.fusion.encode(x, mask)
        self.assertTrue(torch.equal(before[0, :7], after[0, :7]))
        self.assertFalse(torch.allclose(before[0, 7:], after[0, 7:]))

    @torch.no_grad()
    def test_padding_changes_nothing(self):
        x = torch.randn(2, 6, 24)
        valid = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
        together = self.fusion.encode(x, full_mask(valid))
        alone = self.fusion.encode(x[1:, :4])
        torch.testing.assert_close(together[1, :4], alone[0])
        self.assertTrue(torch.isfinite(together).all())
        by_numbers = self.fusion.encode(x, additive(full_mask(valid)))
        torch.testing.assert_close(by_numbers[1, :4], alone[0])

    def test_packed_training(self):
        """Two captions behind one context give what each gives alone, and gradients flow, in bf16 too."""
        context, texts = torch.randn(1, 3, 24), [torch.randn(1, 2, 24), torch.randn(1, 4, 24)]
        group = torch.tensor([0] * 3 + [1] * 2 + [2] * 4)
        order = torch.arange(9)
        mask = (group == 0) | ((group[:, None] == group) & (order[:, None] >= order))  # [9, 9]
        packed = self.fusion.encode(torch.cat((context, *texts), 1), mask)
        for text, rows in zip(texts, (slice(3, 5), slice(5, 9))):
            valid = [torch.ones(1, n, dtype=torch.bool) for n in (3, text.shape[1])]
            alone = self.fusion.encode(torch.cat((context, text), 1), caption_mask(*valid))
            torch.testing.assert_close(packed[:, rows], alone[:, 3:], atol=1e-5, rtol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            self.fusion.encode(torch.cat((context, *texts), 1), mask).square().mean().backward()
        self.assertTrue(all(torch.isfinite(p.grad).all() for p in self.fusion.layers.parameters()))


class Decoding(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.models = [MiniVLM.from_dir(DATA / name) for name in TINY]
        cls.scenes = [(m, m.see(image.load(DATA / f"images/{p}.png"))) for m in cls.models for p in PICTURES]

    def test_cached_is_uncached(self):
        for model, scene in self.scenes:
            for beams, penalty in ((1, 1.0), (3, 1.0), (2, 0.0), (4, 2.0)):
                fast, slow = (model.caption(scene, beams, length_penalty=penalty, cached=c) for c in (True, False))
                self.assertEqual([h.tokens for h in fast], [h.tokens for h in slow])
                for a, b in zip(fast, slow):
                    self.assertAlmostEqual(a.total, b.total, places=4)

    def test_cached_logits_are_uncached_logits(self):
        model, scene = self.scenes[0]
        cls, words = model.tokenizer.cls, model.tokenizer.encode("a dog runs on the grass")
        with torch.no_grad():
            fast, slow = (model.scorer(scene, cached) for cached in (True, False))
            for n in range(len(words) + 1):
                prefix = [cls] + words[:n]
                torch.testing.assert_close(fast.next_logits([prefix], [0]), slow.next_logits([prefix], [0]),
                                           atol=1e-4, rtol=1e-4)

    def test_golden(self):
        """The committed results are those of this code (closely: another machine rounds in another way)."""
        for model in self.models:
            pages = json.loads((GOLDEN / f"{model.config.name}.json").read_text())["images"]
            for (m, scene), name in zip((s for s in self.scenes if s[0] is model), PICTURES):
                page = pages[name]
                self.assertEqual(scene.labels, page["labels"])
                self.assertEqual(model.caption(scene, 1)[0].tokens, page["caption"]["greedy"]["tokens"])
                self.assertEqual([h.tokens for h in model.caption(scene)], [h["tokens"] for h in page["caption"]["beams"]])
                for entry in page["vqa"]:
                    scores = model.vqa(scene, entry["question"]).sigmoid().topk(5).values
                    torch.testing.assert_close(scores, torch.tensor(entry["scores"]), atol=1e-4, rtol=1e-3)
                for entry in page["retrieve"]:
                    score = float(model.retrieve(scene, entry["text"]).softmax(-1)[1])
                    self.assertAlmostEqual(score, entry["score"], places=3)

    def test_rules(self):
        for model, scene in self.scenes:
            t = model.tokenizer
            for h in model.caption(scene, 4) + model.caption(scene, 1):
                words = h.tokens[:-1] if h.tokens[-1] == t.sep else h.tokens
                self.assertTrue(0 < len(words) <= model.config.caption.max_tokens)
                self.assertFalse(set(words) & {*t.forbidden, t.sep})
                self.assertTrue(all(a != b for a, b in itertools.pairwise(words)))

    @torch.no_grad()
    def test_causal_words_are_one_pass(self):
        """With "causal" one pass over a whole caption gives every step's logits."""
        model, scene = next((m, s) for m, s in self.scenes if m.config.caption.decoder == "causal")
        words = [model.tokenizer.cls] + model.tokenizer.encode("a dog runs on the grass")
        context, scorer = model.embed_context(scene), model.scorer(scene)
        x = torch.cat((context, scorer.embed([words], 0)), 1)
        valid = torch.ones(x.shape[:2], dtype=torch.bool)
        c = context.shape[1]
        x = model.fusion.encode(x, caption_mask(valid[:, :c], valid[:, c:]))[0, c:]
        together = model.heads.caption(x, model.fusion.embeddings.word.weight)
        for n in range(len(words)):
            torch.testing.assert_close(scorer.next_logits([words[:n + 1]], [0])[0], together[n], atol=1e-4, rtol=1e-4)

    def test_sequences(self):
        model, scene = self.scenes[0]
        text = model.text_ids("What colour is it? " * 9)
        self.assertEqual((len(text), text[0], text[-1]), (14, model.tokenizer.cls, model.tokenizer.sep))
        self.assertEqual(model.embed_pair(scene, text).shape[1], 14 + len(scene.tags) + len(scene.boxes))
        self.assertEqual(len(model.tag_ids(["skateboard table", "traffic light"] * 9 + ["dog cat"] * 5)), 8)
        self.assertEqual(len(model.tag_ids([f"dog {i}" for i in range(40)])), 11)
        self.assertEqual(model.tag_ids([]), [])
        self.assertEqual(tag_string(["b", "a", "b"]), "b a")


class TableScorer(decode.Scorer):
    """Log-probabilities from a made-up table that looks at the last token and the length only."""

    def __init__(self, tokenizer, seed, vocab, sharpness=1.0):
        self.tokenizer = tokenizer
        self.table = torch.randn(12, vocab, vocab, generator=torch.Generator().manual_seed(seed)) * sharpness

    def next_logits(self, prefixes, parents):
        return torch.stack([self.table[len(p), p[-1]] for p in prefixes])


class Search(unittest.TestCase):
    TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "a", "b", "c"]

    def setUp(self):
        self.tokenizer = Tokenizer(self.TOKENS)

    def every(self, scorer, max_tokens):
        """All hypotheses there are, by trying all."""
        t, found = self.tokenizer, []
        open_ = [([t.cls], 0.0)]
        for step in range(max_tokens):
            following = []
            for prefix, total in open_:
                scores = decode.allowed_log_probabilities(scorer.next_logits([prefix], [0]), [prefix], t)[0]
                for token, score in enumerate(scores.tolist()):
                    if score > -math.inf:
                        closed = token == t.sep or step == max_tokens - 1
                        h = decode.Hypothesis(prefix[1:] + [token], total + score)
                        found.append(h) if closed else following.append((prefix + [token], total + score))
            open_ = following
        return found

    def test_a_wide_beam_finds_the_best(self):
        for seed, penalty in itertools.product(range(3), (0.0, 0.7, 1.0, 2.0)):
            scorer = TableScorer(self.tokenizer, seed, len(self.TOKENS))
            best = sorted(self.every(scorer, 4), key=lambda h: -h.rank(penalty))[:3]
            found = decode.beam(scorer, 40, 4, penalty)[:3]
            self.assertEqual([h.tokens for h in found], [h.tokens for h in best])
            for a, b in zip(found, best):
                self.assertAlmostEqual(a.total, b.total, places=9)

    def test_one_beam_is_greedy_where_nothing_ends(self):
        for seed in range(20):
            scorer = TableScorer(self.tokenizer, seed, len(self.TOKENS))
            scorer.table[:, :, self.tokenizer.sep] = -50.0
            self.assertEqual([h.tokens for h in decode.beam(scorer, 1, 6, 1.0)], [decode.greedy(scorer, 6).tokens])

    def test_stops_only_where_nothing_can_win(self):
        early = 0
        for seed, penalty in itertools.product(range(20), (0.5, 1.0, 2.0)):
            scorer = TableScorer(self.tokenizer, seed, len(self.TOKENS), 3.0)
            with mock.patch.object(scorer, "next_logits", wraps=scorer.next_logits) as calls:
                stopped = decode.beam(scorer, 3, 8, penalty)
            early += calls.call_count < 8
            with mock.patch.object(decode, "_finished", return_value=False):
                complete = decode.beam(scorer, 3, 8, penalty)
            self.assertEqual(stopped, complete)
        self.assertGreater(early, 0)

    def test_ties_go_to_the_lower_id(self):
        scorer = TableScorer(self.tokenizer, 0, len(self.TOKENS), 0.0)
        a, b = self.tokenizer.encode("a b")
        self.assertEqual(decode.greedy(scorer, 4).tokens, [a, self.tokenizer.sep])
        self.assertEqual([h.tokens for h in decode.beam(scorer, 2, 2, 0.0)], [[a, self.tokenizer.sep], [a, b]])


class Text(unittest.TestCase):
    def test_golden(self):
        cases = json.loads((GOLDEN / "text.json").read_text())["cases"]
        tokenizer = Tokenizer.from_file(DATA / "tiny/vocab.txt")
        for case in cases:
            self.assertEqual(tokenizer.encode(case["text"]), case["ids"])

    def test_typed_specials_are_plain(self):
        tokenizer = Tokenizer.from_file(DATA / "tiny/vocab.txt")
        ids = tokenizer.encode("[MASK] [SEP] [CLS] [PAD] [unused0]")
        self.assertFalse(set(ids) & {*tokenizer.forbidden, tokenizer.sep})

    def test_decode(self):
        tokenizer = Tokenizer.from_file(DATA / "tiny/vocab.txt")
        ids = tokenizer.encode("Skateboards running, dog's")
        self.assertEqual(tokenizer.decode([tokenizer.cls] + ids + [tokenizer.sep]), "skateboards running , dog ' s")

    def test_segments_are_named(self):
        self.assertEqual((TEXT, TAGS), (0, 1))


if __name__ == "__main__":
    unittest.main()
