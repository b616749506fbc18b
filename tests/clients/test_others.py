"""Clients that people own already, unmodified, against the live server: scripts/test.sh --clients installs them."""
import base64
import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

import cohere
import numpy
import openai
import tritonclient.http
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from tritonclient.utils import InferenceServerException

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from support import BASE, ROOT, Server, form, picture, run

PICTURE = picture(0)
URI = "data:image/jpeg;base64," + base64.b64encode(PICTURE).decode()
QUESTION = "what animal is this"


def content(text, url=URI):
    return [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.url = f"http://127.0.0.1:{cls.server.port}"
        cls.caption = cls.server.post("/caption", PICTURE).json["caption"]
        answer = cls.server.post("/vqa", *form([("image", PICTURE), ("question", QUESTION)]))
        cls.answer = answer.json["answer"]

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None, None, None)

    def test_openai(self):
        client = openai.OpenAI(base_url=self.url + "/v1", api_key="any")
        chat = client.chat.completions
        done = chat.create(model="gpt-4o", messages=[{"role": "user", "content": content("What's in this image?")}], max_tokens=300)
        self.assertEqual(done.choices[0].message.content, self.caption)
        turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content("Describe it.")},
                 done.choices[0].message, {"role": "user", "content": QUESTION}]
        self.assertEqual(chat.create(model="x", messages=turns).choices[0].message.content, self.answer)
        with chat.stream(model="x", messages=turns[:2]) as stream:
            self.assertEqual(stream.get_final_completion().choices[0].message.content, self.caption)
        names = [m.id for m in client.models.list()]
        self.assertEqual(client.models.retrieve(names[0]).id, names[0])
        with self.assertRaises(openai.NotFoundError):
            client.models.retrieve("gpt-4o")
        with self.assertRaisesRegex(openai.BadRequestError, "addresses are not fetched") as caught:
            chat.create(model="x", messages=[{"role": "user", "content": content("a", "https://a.example/cat.jpg")}])
        self.assertEqual((caught.exception.code, caught.exception.type), ("bad_request", "invalid_request_error"))
        with self.assertRaisesRegex(openai.BadRequestError, "tools"):
            chat.create(model="x", messages=turns[:2], tools=[{"type": "function", "function": {"name": "f"}}])

    def test_langchain(self):
        model = ChatOpenAI(model="minivlm", base_url=self.url + "/v1", api_key="any", temperature=0)
        self.assertEqual(model.invoke([HumanMessage(content("Describe this picture."))]).content, self.caption)
        self.assertEqual(model.invoke([HumanMessage(content(QUESTION))]).content, self.answer)
        pieces = [piece.content for piece in model.stream([HumanMessage(content("Describe this picture."))])]
        self.assertEqual("".join(pieces), self.caption)

    def test_tritonclient(self):
        client = tritonclient.http.InferenceServerClient(self.url.removeprefix("http://"))
        self.assertTrue(client.is_server_live() and client.is_server_ready() and client.is_model_ready("vqa"))
        self.assertEqual(client.get_server_metadata()["extensions"], ["binary_tensor_data"])
        version = client.get_model_metadata("vqa")["versions"][0]
        for is_binary in (True, False):
            image = tritonclient.http.InferInput("image", [1], "BYTES")
            element = PICTURE if is_binary else base64.b64encode(PICTURE)
            image.set_data_from_numpy(numpy.array([element], dtype=numpy.object_), binary_data=is_binary)
            question = tritonclient.http.InferInput("question", [2], "BYTES")
            question.set_data_from_numpy(numpy.array([QUESTION.encode(), b"where"], dtype=numpy.object_), binary_data=is_binary)
            got = client.infer("vqa", [image, question], model_version=version, request_id="7")
            self.assertEqual((got.as_numpy("answer").shape, got.get_response()["id"]), ((1, 2), "7"))
            self.assertEqual(got.as_numpy("answer")[0, 0].decode(), self.answer)
            outputs = [tritonclient.http.InferRequestedOutput("caption", binary_data=is_binary),
                       tritonclient.http.InferRequestedOutput("score")]
            got = client.infer("caption", [image], outputs=outputs)
            text = got.as_numpy("caption")[0]
            self.assertEqual(text.decode() if is_binary else text, self.caption)
            self.assertEqual(got.as_numpy("score").dtype, numpy.float32)
        with self.assertRaisesRegex(InferenceServerException, "no model"):
            client.infer("resnet", [image])
        with self.assertRaisesRegex(InferenceServerException, "/inputs/0/name"):
            client.infer("caption", [question])
        client.close()

    def test_huggingface(self):
        client = InferenceClient(self.url)
        self.assertEqual(client.image_to_text(PICTURE).generated_text, self.caption)
        answers = client.visual_question_answering(PICTURE, QUESTION, top_k=3)
        self.assertEqual((answers[0].answer, len(answers)), (self.answer, 3))
        task = InferenceClient(self.url + "/pipeline/image-to-text")
        self.assertEqual(task.image_to_text(PICTURE).generated_text, self.caption)
        chat = InferenceClient(base_url=self.url + "/v1", api_key="any")
        done = chat.chat_completion([{"role": "user", "content": content(QUESTION)}])
        self.assertEqual(done.choices[0].message.content, self.answer)
        with self.assertRaisesRegex(HfHubHTTPError, "send JPEG"):
            client.image_to_text(b"no picture")

    def test_huggingface_objects(self):
        regions = self.server.post("/caption?regions=true", PICTURE).json["regions"]
        found = InferenceClient(self.url + "/pipeline/object-detection").object_detection(PICTURE)
        self.assertEqual([(f.label, f.score, f.box.xmin) for f in found], [(r["label"], r["score"], int(r["box"][0] + 0.5)) for r in regions])
        self.assertEqual(len(InferenceClient(self.url).object_detection(PICTURE, threshold=regions[0]["score"] - 0.001)), 1)
        for call, words in ((lambda c: c.image_classification(PICTURE, top_k=2), "top_k"),
                            (lambda c: c.image_segmentation(PICTURE, mask_threshold=0.5), "mask_threshold"),
                            (lambda c: c.zero_shot_image_classification(PICTURE, ["a", "b"]), "candidate_labels")):
            with self.assertRaisesRegex(HfHubHTTPError, f"{words}.*image-to-text, object-detection and visual-question-answering"):
                call(InferenceClient(self.url))
        with self.assertRaisesRegex(HfHubHTTPError, "image-classification.*image-to-text, object-detection"):
            InferenceClient(self.url + "/pipeline/image-classification").image_classification(PICTURE)

    def test_cohere(self):
        client = cohere.ClientV2(api_key="any", base_url=self.url)
        done = client.rerank(model="x", query=URI, documents=["a dog", "a boat"], top_n=1)
        native = self.server.post("/retrieve", {"query": {"image": URI}, "documents": ["a dog", "a boat"]}).json["results"]
        self.assertEqual([r.index for r in done.results], [native[0]["index"]])
        self.assertAlmostEqual(done.results[0].relevance_score, native[0]["relevance_score"], 5)


class Cookbook(unittest.TestCase):
    def test_programs(self):
        documents = "".join((ROOT / "docs" / name).read_text() for name in ("cookbook.md", "compatible.md"))
        programs = re.findall(r"```py\n(.*?)```", documents, re.S)
        programs = [text for text in programs if re.search("import (OpenAI|InferenceClient)", text) and "print" in text]
        self.assertEqual(len(programs), 2)
        with Server(model=BASE) as s:
            for text in programs:
                done = subprocess.run([sys.executable, "-c", text.replace("localhost:8080", f"127.0.0.1:{s.port}")], cwd=ROOT,
                                      capture_output=True, text=True, timeout=120)
                self.assertEqual((done.returncode, bool(done.stdout.strip())), (0, True), done.stderr)

    def test_envoy(self):
        """A caption goes through the printed configuration."""
        text = re.search(r"```yaml\n(static_resources:.*?)```", (ROOT / "docs" / "cookbook.md").read_text(), re.S)[1]
        with Server() as s, socket.socket() as free, tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
            free.close()
            file.write(text.replace("port_value: 8000", f"port_value: {port}").replace("port_value: 8080", f"port_value: {s.port}"))
            file.flush()
            process = subprocess.Popen([pathlib.Path(sys.executable).parent / "envoy", "-c", file.name, "--use-dynamic-base-id",
                                        "--concurrency", "1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                end = time.monotonic() + 60
                while (answer := self.through(port)) is None:
                    self.assertIsNone(process.poll(), "Envoy has ended")
                    self.assertLess(time.monotonic(), end)
                    time.sleep(0.1)
                self.assertEqual(answer["caption"], s.post("/caption", PICTURE).json["caption"])
            finally:
                process.terminate()
                process.wait(30)

    @staticmethod
    def through(port):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/caption", PICTURE, timeout=60) as answer:
                return json.load(answer)
        except OSError:
            return None


run(__name__)
