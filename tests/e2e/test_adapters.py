"""What clients of other services send and read: OpenAI's chat, the Open Inference Protocol, Hugging Face's shapes, rerank.
The same with those clients themselves: tests/clients."""
import base64
import hashlib
import json
import struct
import tempfile
import time

from support import LITE, Server, form, picture, run, unittest

GOOD, OTHER = picture(0), picture(1)
B64 = base64.b64encode(GOOD).decode()
URI = "data:image/jpeg;base64," + B64
BAD = base64.b64encode(b"no image").decode()


def image(url=URI):
    return {"type": "image_url", "image_url": {"url": url, "detail": "auto"}}


def ask(text, *images, **more):
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": [{"type": "text", "text": text}, *images]}], **more}


def bytes_tensor(name, data):
    return {"name": name, "shape": [len(data)], "datatype": "BYTES", "data": data}


class Adapters(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--limits.images=4", "--limits.texts=8", "--limits.body_bytes=2000000")

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None, None, None)

    def post(self, path, body, headers=None, status=200):
        answer = self.server.post(path, body, headers)
        self.assertEqual(answer.status, status, answer.body)
        return answer

    def refused(self, path, body, status, *words, headers=None):
        error = self.post(path, body, headers, status).json["error"]
        text = error if isinstance(error, str) else error["message"]
        for word in words:
            self.assertIn(word, text)
        self.assertTrue(self.server.alive)
        return error

    def caption(self, body=GOOD):
        return self.post("/caption", body).json["caption"]

    def answers(self, question, body=GOOD):
        return self.post("/vqa", *form([("image", body), ("question", question)])).json["answers"]


class LongTexts(Adapters):
    """A text that is longer than the model reads: every shape of answer says which, or refuses it where that was asked."""
    LONG = "a dog " * 30

    def test_warnings(self):
        said = self.post("/vqa", {"image": B64, "question": self.LONG}).json["warnings"][0]
        most = int(said.split()[3])
        for n, fits in ((most, True), (most + 1, False)):
            answer = self.post("/vqa", {"image": B64, "question": "dog " * n}).json
            self.assertEqual(answer.get("warnings"), None if fits else [said])
            self.assertEqual("X-Text-Warning" in self.post("/rerank", {"query": URI, "texts": ["dog " * n]}).headers, not fits)
        two, of_text = ["a dog", self.LONG], said.replace("question 0", "text 1")
        for path, body, place, words in (
                ("/vqa", {"image": B64, "questions": two}, ("warnings", 0), said.replace("question 0", "question 1")),
                ("/vqa", {"images": [B64, BAD], "questions": [*two, self.LONG]}, ("warnings", 0),
                 said.replace("question 0", "question 1, 2")),
                ("/retrieve", {"image": B64, "texts": two}, ("warnings", 0), of_text),
                ("/retrieve", {"query": {"image": B64}, "documents": two}, ("warnings", 0), of_text),
                ("/rerank", {"query": URI, "documents": two}, ("meta", "warnings", 0), of_text),
                ("/rerank", {"query": URI, "texts": two}, None, of_text),
                ("/v1/chat/completions", ask("what " + self.LONG, image()), ("warnings", 0), said),
                ("/pipeline/visual-question-answering", {"inputs": {"image": B64, "question": self.LONG}}, None, said),
                ("/v2/models/vqa/infer", {"inputs": [bytes_tensor("image", [B64]), bytes_tensor("question", two)]},
                 ("parameters", "warning"), said.replace("question 0", "question 1"))):
            with self.subTest(path=path, body=list(body)):
                answer = self.post(path, body)
                found = answer.json
                for key in place or ():
                    found = found[key]
                self.assertEqual((answer.headers["X-Text-Warning"], found if place else words), (words, words))

    def test_refusals(self):
        two = ["a dog", self.LONG]
        for path, body in (("/vqa", {"images": [BAD, B64], "questions": two, "truncate": False}),
                           ("/retrieve", {"images": [B64, BAD], "texts": two, "truncate": "False"}),
                           ("/rerank", {"query": URI, "documents": two, "truncate": "NONE"}),
                           ("/rerank", {"query": URI, "texts": two, "truncate": False}),
                           ("/v2/models/retrieve/infer", {"inputs": [bytes_tensor("image", [B64]), bytes_tensor("text", two)],
                                                          "parameters": {"truncate": False}})):
            with self.subTest(path=path, body=list(body)):
                self.refused(path, body, 413, " 1 has more than the ", "truncate=true")
        self.refused("/rerank", {"query": URI, "documents": two, "truncate": "START"}, 400, "at their end")
        self.post("/vqa", {"image": B64, "question": "what is it", "truncate": False})


class OpenAI(Adapters):
    CHAT = "/v1/chat/completions"

    def said(self, body):
        answer = self.post(self.CHAT, body).json
        self.assertEqual((answer["object"], len(answer["choices"])), ("chat.completion", 1))
        self.assertLess(abs(answer["created"] - time.time()), 600)
        self.assertEqual(sum(answer["usage"].values()), 2 * answer["usage"]["total_tokens"])
        self.assertGreater(answer["usage"]["completion_tokens"], 0)
        choice = answer["choices"][0]
        self.assertEqual((choice["message"]["role"], choice["finish_reason"]), ("assistant", "stop"))
        return choice["message"]["content"]

    def test_descriptions_and_questions(self):
        caption = self.caption()
        for text in ("What's in this image?", "Describe this picture in one sentence.", "", "What is happening in the photo?",
                     "What\u2019s in the image, please?", "Write alt text for this product photo",
                     "Can you give me a caption?", "Tell me about this picture."):
            self.assertEqual(self.said(ask(text, image())), caption, text)
        for text in ("what animal is this", "What is in the cup?", "Is there a caption?", "how many people are there",
                     "What is this animal doing in the picture?"):
            self.assertEqual(self.said(ask(text, image())), self.answers(text)[0]["answer"], text)

    def test_turns(self):
        turns = [{"role": "system", "content": "You answer briefly."},
                 {"role": "user", "content": [image(), {"type": "text", "text": "describe it"}]},
                 {"role": "assistant", "content": "a cat", "refusal": None, "tool_calls": None, "annotations": []},
                 {"role": "user", "content": "what colour is it"}]
        self.assertEqual(self.said({"messages": turns}), self.answers("what colour is it")[0]["answer"])
        other = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(OTHER).decode()}}
        turns[3] = {"role": "user", "content": [{"type": "text", "text": "and"}, {"type": "text", "text": "this one?"}, other]}
        self.assertEqual(self.said({"messages": turns}), self.answers("and this one?", OTHER)[0]["answer"])

    def test_harmless_keys(self):
        for edge in ({"temperature": 0, "top_p": 0, "presence_penalty": -2, "seed": -1}, {"temperature": 2, "top_p": 1.0, "frequency_penalty": 2},
                     {"temperature": None, "top_p": None, "seed": 2**63 - 1, "reasoning_effort": "low", "verbosity": "low"}):
            self.said(ask("describe", image(), **edge))
        for detail in ("low", "high", "original", None):
            part = {"type": "image_url", "image_url": {"url": URI, "detail": detail}, "cache_control": {"type": "ephemeral"}}
            self.said(ask("describe", part))
        self.said(ask("describe", image(), user="me", temperature=0.2, top_p=1, n=1, seed=3, stop=None, logprobs=False, tools=[],
                      presence_penalty=0, max_tokens=300, response_format={"type": "text"}, store=False, metadata={"a": "b"},
                      logit_bias={}, tool_choice="auto", function_call="none", top_logprobs=0, parallel_tool_calls=True,
                      stream=False, stream_options=None))
        short = self.post(self.CHAT, ask("describe", image(), max_completion_tokens=2)).json
        self.assertEqual((short["choices"][0]["finish_reason"], short["usage"]["completion_tokens"]), ("length", 2))

    def test_stream(self):
        whole = self.said(ask("describe", image()))
        answer = self.post(self.CHAT, ask("describe", image(), stream=True, stream_options={"include_usage": True}))
        self.assertEqual((answer.headers["Content-Type"], answer.headers["Cache-Control"]), ("text/event-stream", "no-cache"))
        events = answer.body.decode().split("\n\n")
        self.assertEqual(events[-2:], ["data: [DONE]", ""])
        chunks = [json.loads(e.removeprefix("data: ")) for e in events[:-2]]
        self.assertEqual({c["object"] for c in chunks}, {"chat.completion.chunk"})
        self.assertEqual(chunks[0]["choices"][0]["delta"]["role"], "assistant")
        self.assertEqual("".join(c["choices"][0]["delta"].get("content", "") for c in chunks[:-1]), whole)
        self.assertEqual([c["choices"][0]["finish_reason"] for c in chunks[:-1]], [None] * (len(chunks) - 2) + ["stop"])
        self.assertEqual(chunks[-1]["choices"], [])
        self.assertGreater(chunks[-1]["usage"]["total_tokens"], 0)
        vqa = self.post(self.CHAT, ask("what is the animal", image(), stream=True)).body.decode()
        self.assertNotIn("usage", vqa)
        self.assertTrue(vqa.endswith("data: [DONE]\n\n"))
        self.refused(self.CHAT, ask("describe", image("data:image/png;base64," + BAD), stream=True), 415)

    def test_refusals_name_what_is_wrong(self):
        for more in ({"n": 2}, {"tool_choice": "required"}, {"tool_choice": {"type": "function", "function": {"name": "f"}}},
                     {"function_call": {"name": "f"}}, {"logit_bias": {"50256": -100}}, {"functions": [{"name": "f"}]}, {"top_logprobs": 3},
                     {"tools": [{"type": "function"}]}, {"logprobs": True}, {"stop": ["."]}, {"web_search_options": {}},
                     {"audio": {"voice": "x"}},
                     {"response_format": {"type": "json_object"}}, {"modalities": ["audio"]}, {"max_tokens": 0},
                     {"max_tokens": "x"}, {"stream": "yes"}, {"best_of": 2}, {"stream_options": {"x": 1}}, {"stream_options": 1},
                     {"stream_options": {"include_usage": 1}}, {"n": 0}, {"n": "1"}, {"temperature": 2.1}, {"temperature": -0.1},
                     {"temperature": "0.5"}, {"top_p": 1.01}, {"top_p": [1]}, {"presence_penalty": -2.5}, {"frequency_penalty": 3}, {"seed": "x"},
                     {"user": 5}, {"store": "no"}, {"metadata": "x"}, {"parallel_tool_calls": 1}, {"reasoning_effort": 3},
                     {"max_completion_tokens": 1.5}, {"response_format": "text"}):
            error = self.refused(self.CHAT, ask("describe", image(), **more), 400, next(iter(more)))
            self.assertEqual((error["type"], error["code"]), ("invalid_request_error", "bad_request"))
            self.assertEqual(error["param"].split(".")[0], next(iter(more)))
        for url in ("http://169.254.169.254/latest", "https://a.example/cat.jpg", "file:///etc/passwd", "ftp://a/b", "HTTP://a"):
            self.refused(self.CHAT, ask("describe", image(url)), 400, "addresses are not fetched", "data:image/jpeg;base64,",
                         "/messages/0/content/1/image_url/url")
        for messages, words in (
                ([], "not empty"), ({}, "not empty"), ("x", "not empty"), ([{"role": "user", "content": "hello"}], "no image"),
                ([{"role": "tool", "content": "x"}], "/messages/0/role"), ([{"content": "x"}], "/messages/0/role"), ([5], "/messages/0"),
                ([{"role": "user", "content": [image(), image()]}], "one image"), ([{"role": "user"}], "/messages/0/content"),
                ([{"role": "user", "content": [{"type": "input_audio"}]}], "input_audio"),
                ([{"role": "user", "content": [{"type": "image_url"}]}], "image_url"),
                ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": URI, "detail": "huge"}}]}], "detail"),
                ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": URI, "format": "jpeg"}}]}], '"format"'),
                ([{"role": "user", "content": [image(), {"type": "text", "text": "a", "weight": 2}]}], '"weight"'),
                ([{"role": "assistant", "content": [image()]}], "images are the user's"),
                ([{"role": "user", "content": [image()]}, {"role": "assistant", "content": "x"}], "last message"),
                ([{"role": "assistant", "tool_calls": [{}]}], "tool_calls"), ([{"role": "user", "content": [5]}], "/messages/0/content/0")):
            status = 413 if words == "one image" else 400
            self.refused(self.CHAT, {"messages": messages}, status, words)
        self.refused(self.CHAT, ask("describe", image(), num_beam=2), 400, '"num_beam"', "num_beams", "max_completion_tokens")
        self.refused(self.CHAT, b"{", 400, "not JSON")
        self.refused(self.CHAT, b"", 400, "not JSON")
        self.refused(self.CHAT, b"[]", 400, "object")
        self.refused(self.CHAT, GOOD, 400, "not JSON")
        self.refused(self.CHAT, ask("why " * 2000, image()), 413, "4096")
        self.refused(self.CHAT, ask("describe " * 20000, image()), 413, "65536")

    def test_models(self):
        models = self.server.get("/v1/models").json
        self.assertEqual([m["object"] for m in models["data"]], ["model"])
        name = models["data"][0]["id"]
        for known in (name, name.rsplit("-", 1)[0]):  # with its version and without
            one = self.server.get("/v1/models/" + known).json
            self.assertEqual((one["id"], one["object"], one["owned_by"]), (name, "model", "minivlm"))
            self.assertLess(abs(one["created"] - time.time()), 600)
        missing = self.server.get("/v1/models/gpt-4o")
        self.assertEqual((missing.status, missing.code, missing.json["error"]["param"]), (404, "not_found", "model"))
        for path, word in (("/v1/embeddings", "/v1/chat/completions"), ("/v1/completions", "/v1/chat/completions"),
                           ("/v1/responses", "/v1/chat/completions"), ("/chat/completions", "ends in /v1"), ("/captions", "/openapi.json")):
            error = self.refused(path, {}, 404, word)
            self.assertEqual((error["type"], error["code"]), ("invalid_request_error", "not_found"))


def tensor(name, data, binary=False):
    out = {"name": name, "shape": [len(data)], "datatype": "BYTES"}
    if not binary:
        return {**out, "data": data}, b""
    body = b"".join(struct.pack("<I", len(d)) + d for d in data)
    return {**out, "parameters": {"binary_data_size": len(body)}}, body


def binary_body(head, *bodies):
    text = json.dumps(head).encode()
    return text + b"".join(bodies), {"Inference-Header-Content-Length": str(len(text)), "Content-Type": "application/octet-stream"}


class KServe(Adapters):
    def infer(self, model, head, *bodies, status=200):
        body, headers = binary_body(head, *bodies) if bodies else (head, None)
        answer = self.post(f"/v2/models/{model}/infer", body, headers, status)
        if status != 200:
            self.assertIsInstance(answer.json["error"], str)
            return answer.json["error"]
        n = answer.headers["Inference-Header-Content-Length"]
        head, rest = json.loads(answer.body[:int(n)] if n else answer.body), answer.body[int(n):] if n else b""
        outputs = {}
        for output in head["outputs"]:
            size = output.get("parameters", {}).get("binary_data_size")
            data = output.get("data")
            if size is not None:
                part, rest = rest[:size], rest[size:]
                if output["datatype"] == "FP32":
                    data = list(struct.unpack(f"<{size // 4}f", part))
                else:
                    data = []
                    while part:
                        length = struct.unpack("<I", part[:4])[0]
                        data, part = [*data, part[4:4 + length].decode()], part[4 + length:]
            outputs[output["name"]] = (output["shape"], data)
        self.assertEqual(rest, b"")
        return head, outputs

    def test_json(self):
        head, out = self.infer("caption", {"id": "7", "inputs": [tensor("image", [B64])[0]]})
        self.assertEqual((head["id"], head["model_name"]), ("7", "caption"))
        self.assertEqual(out["caption"], ([1], [self.caption()]))
        head, out = self.infer("vqa", {"inputs": [tensor("question", ["where", "who"])[0], tensor("image", [B64])[0]]})
        self.assertEqual(out["answer"], ([1, 2], [self.answers(q)[0]["answer"] for q in ("where", "who")]))
        self.assertNotIn("id", head)
        _, out = self.infer("retrieve", {"inputs": [tensor("text", ["a dog", "a boat"])[0], tensor("image", [B64, B64])[0]]})
        scores = self.post("/retrieve", {"images": [B64, B64], "texts": ["a dog", "a boat"]}).json["scores"]
        self.assertEqual(out, {"score": ([2, 2], scores[0] + scores[1])})

    def test_binary(self):
        pictures, body = tensor("image", [GOOD, OTHER], True)
        _, out = self.infer("caption", {"inputs": [pictures], "parameters": {"binary_data_output": True}}, body)
        self.assertEqual(out["caption"], ([2], [self.caption(), self.caption(OTHER)]))
        head, plain = self.infer("caption", {"inputs": [tensor("image", [B64])[0]]})
        self.assertAlmostEqual(out["score"][1][0], plain["score"][1][0], 4)
        self.assertEqual(head["model_version"], self.server.get("/v2/models/caption").json["versions"][0])
        texts, more = tensor("question", [b"where"], True)
        wanted = [{"name": "answer", "parameters": {"binary_data": True}}]
        _, out = self.infer("vqa", {"inputs": [pictures, texts], "outputs": wanted}, body, more)
        self.assertEqual(out, {"answer": ([2, 1], [self.answers("where", b)[0]["answer"] for b in (GOOD, OTHER)])})
        large = {"inputs": [pictures], "parameters": {"num_beams": 1, "timeout": 30000000, "priority": 1}}
        self.infer("caption", large, body)

    def test_faults(self):
        pictures, body = tensor("image", [GOOD], True)
        good = tensor("image", [B64])[0]
        for change, word in (({"shape": [2]}, "longer"), ({"shape": [0]}, "left over"), ({"shape": ["x"]}, "shape"),
                             ({"shape": []}, "for one element [1]"),
                             ({"shape": [-1]}, "whole numbers from 0"), ({"datatype": "UINT8"}, "BYTES"), ({"name": "picture"}, "image"),
                             ({"parameters": {"binary_data_size": 1 << 40}}, "at most the"),
                             ({"parameters": {"binary_data_size": -1}}, "must be a whole number"),
                             ({"parameters": {"binary_data_size": 1.5}}, "must be a whole number"), ({"parameters": {}}, "data"),
                             ({"parameters": {"binary_data_size": 3}}, "longer"), ({"parameters": {"x": 1}}, "x"), ({"data": []}, "both")):
            self.assertIn(word, self.infer("caption", {"inputs": [{**pictures, **change}]}, body, status=400))
        for length in ("x", "-1", "99999999", ""):
            raw, headers = binary_body({"inputs": [pictures]}, body)
            self.refused("/v2/models/caption/infer", raw, 400, "Inference-Header-Content-Length",
                         headers={**headers, "Inference-Header-Content-Length": length})
        for head, word in (({}, "inputs"), ({"inputs": []}, "inputs"), ({"inputs": [5]}, "/inputs/0"), ({"inputs": [good, good]}, "twice"),
                           ({"inputs": [good], "x": 1}, "x"), ({"inputs": [good], "outputs": [{"name": "x"}]}, "caption"),
                           ({"inputs": [good], "outputs": [{"name": "score", "parameters": {"classification": 3}}]}, "classification"),
                           ({"inputs": [good], "outputs": [{"name": "score", "parameters": {"binary_data": 1}}]}, "binary_data"),
                           ({"inputs": [good], "parameters": {"binary_data_output": "yes"}}, "binary_data_output"),
                           ({"inputs": [good], "parameters": {"sequence_id": 3}}, "sequence_id"), ({"inputs": [good], "id": 5}, "id"),
                           ({"inputs": [{**good, "data": [B64, B64]}]}, "shape"), ({"inputs": [{**good, "data": [5]}]}, "string"),
                           ({"inputs": [{**good, "data": ["http://a/b"]}]}, "not fetched")):
            self.assertIn(word, self.infer("caption", head, status=400))
        self.assertIn('add an input {"name": "question", "datatype": "BYTES"', self.infer("vqa", {"inputs": [good]}, status=400))
        none = {"inputs": [{**good, "shape": [0], "data": []}]}
        self.assertIn('add an input {"name": "image", "datatype": "BYTES"', self.infer("caption", none, status=400))
        self.assertIn('add an input {"name": "text", "datatype": "BYTES"', self.infer("retrieve", {"inputs": [good]}, status=400))
        self.assertIn("num_beams", self.infer("caption", {"inputs": [good], "parameters": {"beams": 3}}, status=400))
        self.assertIn("image 1", self.infer("caption", {"inputs": [tensor("image", [B64, BAD])[0]]}, status=415))
        self.infer("caption", {"inputs": [tensor("image", [B64] * 5)[0]]}, status=413)

    def test_models(self):
        for path in ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/vqa", "/v2/models/vqa/ready", "/v2/models/vqa/versions/1"):
            self.assertEqual(self.server.get(path).status, 200, path)
        vqa = self.server.get("/v2/models/vqa").json
        self.assertEqual([t["name"] for t in vqa["inputs"] + vqa["outputs"]], ["image", "question", "answer", "score"])
        self.post(f"/v2/models/caption/versions/{vqa['versions'][0]}/infer", {"inputs": [tensor("image", [B64])[0]]})
        for path in ("/v2/models/x", "/v2/models/x/ready", "/v2/models/vqa/versions/99", "/v2/models"):
            answer = self.server.get(path)
            self.assertEqual((answer.status, type(answer.json["error"])), (404, str), path)
        self.infer("resnet", {"inputs": []}, status=404)


class HuggingFace(Adapters):
    def test_captions(self):
        wanted = [{"generated_text": self.caption()}]
        for path in ("/", "/pipeline/image-to-text"):
            self.assertEqual(self.post(path, GOOD).json, wanted)
            self.assertEqual(self.post(path, GOOD, {"Content-Type": "application/json"}).json, wanted)
            self.assertEqual(self.post(path, {"inputs": B64}).json, wanted)
            self.assertEqual(self.post(path, {"inputs": {"image": URI}, "parameters": {"max_new_tokens": 250, "temperature": 1.0},
                                              "options": {"wait_for_model": True}}).json, wanted)
        short = self.post("/", {"inputs": B64, "parameters": {"max_new_tokens": 2, "num_beams": 1}}).json
        self.assertNotEqual(short, wanted)
        for name in ("generation_parameters", "generate_kwargs"):
            inside = {"inputs": B64, "parameters": {name: {"max_new_tokens": 2, "num_beams": 1, "do_sample": False}}}
            self.assertEqual(self.post("/", inside).json, short)

    def test_questions(self):
        wanted = self.answers("what is it")
        for path in ("/", "/pipeline/visual-question-answering"):
            self.assertEqual(self.post(path, {"inputs": {"image": B64, "question": "what is it"}}).json, wanted)
        self.assertEqual(self.post("/", {"inputs": B64, "image": B64, "question": "what is it", "parameters": {}}).json, wanted)
        one = {"inputs": {"image": B64, "question": "what is it"}, "parameters": {"top_k": 1}}
        self.assertEqual(self.post("/", one).json, wanted[:1])
        beside = {"inputs": {"image": B64}, "question": "what is it"}
        self.assertEqual(self.post("/", beside).json, wanted)
        self.refused("/", {**one, "question": "what is it"}, 400, "given twice")

    def test_objects(self):
        regions = self.server.post("/caption?regions=true", GOOD).json["regions"]
        wanted = [{"score": r["score"], "label": r["label"],
                   "box": dict(zip(("xmin", "ymin", "xmax", "ymax"), (int(x + 0.5) for x in r["box"])))} for r in regions]
        self.assertGreater(len(wanted), 1)
        for body in (GOOD, {"inputs": B64}, {"inputs": {"image": URI}, "parameters": {"threshold": None}}):
            self.assertEqual(self.post("/pipeline/object-detection", body).json, wanted)
        best = (wanted[0]["score"] + wanted[-1]["score"]) / 2
        for path in ("/", "/pipeline/object-detection"):
            self.assertEqual(self.post(path, {"inputs": B64, "parameters": {"threshold": 0}}).json, wanted)
            few = self.post(path, {"inputs": B64, "parameters": {"threshold": best}}).json
            self.assertEqual(few, [w for w in wanted if w["score"] >= best])
            self.assertEqual(self.post(path, {"inputs": B64, "parameters": {"threshold": 1}}).json, [])
            self.refused(path, {"inputs": B64, "parameters": {"threshold": 2}}, 400, "threshold must be a number from 0 to 1")
        for inputs, parameters in ((B64, {"num_beams": 2}), (B64, {"max_new_tokens": 2}), ({"image": B64, "question": "why"}, {})):
            self.refused("/pipeline/object-detection", {"inputs": inputs, "parameters": parameters}, 400, "takes no question")
        self.refused("/", {"inputs": B64, "parameters": {"candidate_labels": ["a", "b"]}}, 400, "object-detection")

    def test_faults(self):
        for body, status, word in (({}, 400, "inputs"), ({"inputs": 5}, 400, "inputs"), ({"inputs": [B64]}, 400, "inputs"),
                                   ({"inputs": B64, "x": 1}, 400, '"x"'), ({"inputs": {"image": B64, "text": "a"}}, 400, "text"),
                                   ({"inputs": "https://a.example/x.jpg"}, 400, "not fetched"),
                                   ({"inputs": "The answer to all is"}, 400, "this is text, not an image"),
                                   ({"inputs": "What a day."}, 400, "this is text, not an image"),
                                   ({"inputs": {"image": B64, "question": ["a", "b"]}}, 400, "a request of its own"), ({"inputs": BAD}, 415, ""),
                                   ({"inputs": B64, "parameters": {"x": 1}}, 400, '"x"'),
                                   ({"inputs": B64, "parameters": {"generate_kwargs": {"x": 1}}}, 400, '"x"'),
                                   ({"inputs": B64, "parameters": {"generate_kwargs": 5}}, 400, "generate_kwargs must be an object"),
                                   ({"inputs": B64, "parameters": {"temperature": "hot"}}, 400, "temperature must be a number"),
                                   ({"inputs": B64, "parameters": {"generate_kwargs": {"do_sample": 3}}}, 400, "do_sample"),
                                   (b"", 400, 'base64 in "inputs"'), (b"GIF", 415, ""),
                                   ({"inputs": B64, "parameters": {"top_k": 0}}, 400, "top_k"), (GOOD[:len(GOOD) // 2], 422, "")):
            self.assertIsInstance(self.refused("/", body, status, word), str)
        for inputs in (B64, {"image": B64}):
            self.refused("/pipeline/visual-question-answering", {"inputs": inputs}, 400,
                         'no question: send {"inputs": {"image": ..., "question": ...}}')
        self.refused("/", {"inputs": B64, "parameters": {"max_length": 5}}, 400, "max_length", "max_new_tokens")
        self.assertIsInstance(self.refused("/models/Salesforce/blip", {"inputs": B64}, 404, "/pipeline/image-to-text"), str)
        about = {"inputs": {"image": B64, "question": "why"}, "parameters": {"max_new_tokens": 5}}
        self.refused("/", about, 400, 'unknown parameter "max_new_tokens" of a question')
        for task in ("summarization", "visual", "image-to-text-2", "image-classification"):
            self.refused(f"/pipeline/{task}", {"inputs": "x"}, 404, "image-to-text", "object-detection")


class Shapes(Adapters):
    def test_whoever_refuses(self):
        """Errors have the shape of their adapter also where no adapter was reached: no route, another method, too large a body."""
        large = b"x" * 2000001
        for method, path, body, status, is_plain in (
                ("GET", "/v2/models/caption/infer", None, 405, True), ("POST", "/v2", b"", 405, True),
                ("GET", "/v2/models/caption/config", None, 404, True),
                ("GET", "/pipeline/image-to-text", None, 405, True), ("POST", "/v2/models/caption/infer", large, 413, True),
                ("POST", "/pipeline/image-to-text", large, 413, True), ("POST", "/v1/chat/completions", large, 413, False),
                ("GET", "/v1/chat/completions", None, 405, False), ("GET", "/v2/rerank", None, 405, False), ("POST", "/rerank", large, 413, False)):
            with self.subTest(method=method, path=path):
                answer = self.server.request(method, path, body)
                self.assertEqual((answer.status, isinstance(answer.json["error"], str)), (status, is_plain))
                if not is_plain:
                    self.assertLessEqual({"message", "type", "param", "code"}, set(answer.json["error"]))


class Rerank(Adapters):
    def test_shapes(self):
        native = self.post("/retrieve", {"query": {"image": B64}, "documents": ["a dog", "a boat"]}).json["results"]
        for path in ("/rerank", "/v1/rerank", "/v2/rerank"):
            cohere = self.post(path, {"model": "rerank-v3.5", "query": URI, "documents": ["a dog", "a boat"], "top_n": 2,
                                      "max_tokens_per_doc": 4096}).json
            self.assertEqual(cohere["results"], native)
            self.assertTrue(cohere["id"])
        tei = self.post("/rerank", {"query": URI, "texts": ["a dog", "a boat"], "raw_scores": False, "return_text": True,
                                    "truncate": True}).json
        self.assertEqual([(r["index"], r["score"]) for r in tei], [(r["index"], r["relevance_score"]) for r in native])
        for best in (self.post("/rerank", {"query": URI, "documents": ["a dog", "a boat"], "top_n": 1}).json["results"],
                     self.post("/rerank", {"query": URI, "documents": [{"text": "a dog"}, "a boat"], "top_n": 1}).json["results"]):
            self.assertEqual(best, native[:1])
        loud = self.post("/rerank", {"query": URI.replace("data:image", "DATA:Image"), "documents": ["a dog", "a boat"]}).json
        self.assertEqual(loud["results"], native)
        self.assertEqual(sorted(native, key=lambda r: -r["relevance_score"]), native)
        self.assertEqual(tei[0]["text"], ["a dog", "a boat"][tei[0]["index"]])
        pictures = self.post("/rerank", {"query": "a dog", "documents": [URI, {"image": B64}], "return_documents": True}).json
        self.assertEqual([set(r["document"]["image"]) for r in pictures["results"]], [{"id"}, {"id"}])
        seen = self.post("/rerank", {"query": "a dog", "texts": [URI, URI], "return_text": True}).json
        self.assertEqual([set(r) for r in seen], [{"index", "score"}] * 2)  # no text, for there is none

    def test_faults(self):
        for body, word in (({"query": "a"}, "documents"), ({"documents": ["a"]}, "query"), ({"query": "a", "documents": ["b"]}, "ranks"),
                           ({"query": URI, "documents": ["a"], "texts": ["a"]}, "texts"), ({"query": URI, "texts": []}, "texts"),
                           ({"query": URI, "texts": ["a"], "raw_scores": True}, "raw_scores"), ({"query": URI, "documents": [5]}, "/documents/0"),
                           ({"query": URI, "documents": ["a"], "rank_fields": ["x"]}, "rank_fields"),
                           ({"query": URI, "documents": ["a"], "x": 1}, '"x"'),
                           ({"query": "https://a/b.jpg", "documents": ["a"]}, "addresses are not fetched"),
                           ({"query": "a", "documents": ["https://a/b.jpg"]}, "addresses are not fetched")):
            self.refused("/rerank", body, 400, word)


class Keys(unittest.TestCase):
    def test_every_adapter_asks_for_the_key(self):
        with tempfile.NamedTemporaryFile("w", suffix=".keys") as f:
            f.write(f"ann {hashlib.sha256(b'secret').hexdigest()}\n")
            f.flush()
            with Server(f"--auth.keys_file={f.name}", model=LITE) as s:
                chat = ask("describe", image())
                for path, body in (("/v1/chat/completions", chat), ("/", {"inputs": B64}), ("/rerank", {"query": URI, "documents": ["a"]}),
                                   ("/v2/models/caption/infer", {"inputs": [tensor("image", [B64])[0]]})):
                    missing = s.post(path, body)
                    is_plain = path.startswith(("/v2", "/p")) or path == "/"
                    self.assertEqual((missing.status, isinstance(missing.json["error"], str)), (401, is_plain), path)
                    self.assertEqual(s.post(path, body, {"Authorization": "Bearer wrong"}).status, 401)
                    self.assertEqual(s.post(path, body, {"Authorization": "Bearer secret"}).status, 200, path)
                self.assertEqual((s.get("/v1/models").status, s.get("/v2").status, s.get("/v2/health/ready").status), (401, 401, 200))


run(__name__)
