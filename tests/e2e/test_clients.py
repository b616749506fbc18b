"""What clients really send: headers left out, forms of other libraries, values of other languages; taken for what they
mean, or refused in words that say what to change. And a reader of the log that stalls."""
import base64
import binascii
import fcntl
import gzip
import json
import os
import pathlib
import signal
import struct
import time

from support import TINY, Client, Server, launch, picture, run, unittest

GOOD = picture(0)
B64 = base64.b64encode(GOOD).decode()


def parts(*heads_and_bytes, boundary=b"XB"):
    body = b"".join(b"--" + boundary + b"\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + data + b"\r\n"
                    for head, data in heads_and_bytes)
    return body + b"--" + boundary + b"--\r\n", {"Content-Type": "multipart/form-data; boundary=" + boundary.decode()}


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None, None, None)

    def taken(self, answer):
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json

    def refused(self, answer, status, code, words):
        self.assertEqual((answer.status, answer.code), (status, code), answer.body)
        self.assertIn(words, answer.json["error"]["message"])

    def test_json_without_its_type(self):
        body = json.dumps({"image": B64, "question": "what is it"}).encode()
        right = self.taken(self.server.post("/vqa", body, {"Content-Type": "application/json"}))
        self.assertEqual(self.taken(self.server.post("/vqa", body, {"Content-Type": "application/vnd.api+json"})), right)
        for kind in ("text/plain", "application/x-www-form-urlencoded", "image/jpeg"):
            answer = self.server.post("/vqa?question=a", body, {"Content-Type": kind})
            self.refused(answer, 415, "unsupported_image", "Content-Type: application/json")
        self.assertEqual(self.taken(self.server.post("/vqa", b"\xef\xbb\xbf" + body, {"Content-Type": "application/json"})), right)

    def test_compressed(self):
        body = gzip.compress(json.dumps({"image": B64}).encode())
        for encoding in ("gzip", "br", "deflate"):
            answer = self.server.post("/images/check", body, {"Content-Type": "application/json", "Content-Encoding": encoding})
            self.refused(answer, 415, "unsupported_encoding", "Content-Encoding")
        self.refused(self.server.post("/images/check", body, {"Content-Type": "application/json"}), 415, "unsupported_encoding", "gzip")
        self.taken(self.server.post("/images/check", GOOD, {"Content-Encoding": "identity"}))

    def test_curl_without_binary(self):
        stripped = GOOD.replace(b"\r", b"").replace(b"\n", b"")
        for kind in ("application/x-www-form-urlencoded", "image/jpeg"):
            self.refused(self.server.post("/caption", stripped, {"Content-Type": kind}), 422, "corrupt_image", "--data-binary")
        self.refused(self.server.post("/caption", b"image=%40photo.jpg", {"Content-Type": "application/x-www-form-urlencoded"}),
                     415, "unsupported_image", "--data-binary")

    def test_forms(self):
        right = self.taken(self.server.post("/images/check", GOOD))["image"]
        for head in ('filename="my name=x.jpg"; name="image"', 'filename="a; name=b"; name=image', "name*=UTF-8''image",
                     'name="image"; filename=""', 'filename="a\\"; name=\\"b"; name="image"', 'name="image[]"', 'name="images[0]"'):
            self.assertEqual(self.taken(self.server.post("/images/check", *parts((head, GOOD))))["image"], right, head)
        for name, data in (("base64", base64.encodebytes(GOOD)), ("quoted-printable", binascii.b2a_qp(GOOD, istext=False))):
            coded = parts((f'name="image"\r\nContent-Transfer-Encoding: {name}', data))
            self.assertEqual(self.taken(self.server.post("/images/check", *coded))["image"], right, name)
        texts = [b"a dog", b"a cat"]
        plain = [('name="text"', t) for t in texts]
        scores = self.taken(self.server.post("/retrieve", *parts(('name="image"', GOOD), *plain)))["scores"]
        for names in (('name="texts[]"', 'name="texts[]"'), ('name="texts[0]"', 'name="texts[1]"'), ('name="texts"', 'name="text"')):
            form = parts(('name="image[]"; filename="x.jpg"', GOOD), *zip(names, texts))
            self.assertEqual(self.taken(self.server.post("/retrieve", *form))["scores"], scores)
        turned = parts(('name="texts[1]"', texts[1]), ('name="image"', GOOD), ('name="texts[0]"', texts[0]))
        self.assertEqual(self.taken(self.server.post("/retrieve", *turned))["scores"], scores)
        gap = parts(('name="texts[2]"', texts[1]), ('name="image"', GOOD), ('name="texts[0]"', texts[0]))
        self.refused(self.server.post("/retrieve", *gap), 400, "bad_request", "indices begin at 0")

    def test_sizes_of_phones(self):
        """What phones write is within the limits. Only heads are sent, which are refused for what they lack, or first for
        their size."""
        baseline, progressive = 0xC0, 0xC2
        for kind, width, height, code in ((progressive, 4032, 3024, "corrupt_image"), (progressive, 5712, 4284, "corrupt_image"),
                                          (progressive, 6016, 4512, "image_too_large"), (baseline, 9000, 5625, "corrupt_image"),
                                          (baseline, 8192, 6144, "corrupt_image"), (baseline, 12000, 9000, "image_too_large")):
            head = (b"\xff\xd8\xff" + struct.pack(">BHBHHB", kind, 17, 8, height, width, 3) +
                    bytes.fromhex("012200021101031101ffda000c03010002000300003f00"))
            answer = self.server.post("/images/check", head, {"Content-Type": "image/jpeg"})
            self.refused(answer, 413 if code == "image_too_large" else 422, code, "send")

    def test_fields_not_filled_in(self):
        right = self.taken(self.server.post("/vqa?question=what", GOOD))
        form = parts(('name="image"; filename="x.jpg"', GOOD), ('name="image"; filename=""', b""), ('name="question"', b"what"),
                     ('name="top_k"', b""), ('name="timeout_ms"', b""), ('name="regions"', b""), ('name="questions"', b""))
        self.assertEqual(self.taken(self.server.post("/vqa", *form)), right)
        self.assertEqual(self.taken(self.server.post("/vqa", {"image": B64, "question": "what", "top_k": None, "regions": None,
                                                              "images": None})), right)

    def test_values_of_other_languages(self):
        right = self.taken(self.server.post("/caption?regions=true&num_beams=2", GOOD))
        self.assertEqual(self.taken(self.server.post("/caption?regions=True&num_beams=2", GOOD)), right)
        self.assertEqual(self.taken(self.server.post("/caption", {"image": B64, "regions": "True", "num_beams": "2"})), right)
        url = base64.urlsafe_b64encode(GOOD).decode()
        self.assertEqual(self.taken(self.server.post("/caption?regions=1&num_beams=2", {"image": url})), right)
        self.assertEqual(self.taken(self.server.post("/caption?regions=1&num_beams=2", {"image": url.rstrip("=")})), right)
        self.assertEqual(self.taken(self.server.post("/caption?regions=1&num_beams=2.0&timeout_ms=3e4", GOOD)), right)
        self.assertEqual(self.taken(self.server.post("/caption?regions=1&num_beams=2&timeout_ms=", GOOD)), right)
        self.refused(self.server.post("/caption", GOOD, {"X-Request-Timeout-Ms": "0"}), 400, "bad_request", "milliseconds from 1 to")
        self.refused(self.server.post("/caption?regions=yes", GOOD), 400, "bad_request", 'true or false, not "yes"')
        body = b'{"image": "", "regions": True}'
        self.refused(self.server.post("/caption", body, {"Content-Type": "application/json"}), 400, "bad_request", "written true in JSON")

    def test_one_bad_of_several(self):
        answer = self.taken(self.server.post("/retrieve", {"query": "a cat", "documents": [{"image": B64}, {"image": "!!"}],
                                                           "return_documents": True}))
        self.assertEqual([r["index"] for r in answer["results"]], [0])
        self.assertEqual(set(answer["results"][0]["document"]["image"]), {"id"})
        answer = self.taken(self.server.post("/caption", {"images": [B64, "!!", B64]}))
        self.assertEqual([("caption" in r, r.get("error", {}).get("param")) for r in answer["results"]],
                         [(True, None), (False, "/images/1"), (True, None)])
        self.refused(self.server.post("/retrieve", {"query": "a cat", "documents": [{"image": "!!"}]}), 400, "bad_request", "/documents/0")

    def test_bounds(self):
        for unit in ("[]", "{}", "1", '""'):
            body = ('{"images":[' + ",".join([unit] * 1000000) + "]}").encode()
            self.refused(self.server.post("/caption", body), 413, "too_many_inputs", "values")
        status = pathlib.Path(f"/proc/{self.server.process.pid}/status").read_text()
        self.assertLess(int(status.split("VmHWM:")[1].split()[0]), 300000)


class Log(unittest.TestCase):
    def start(self, stderr):
        process = launch(f"--model.dir={TINY}", "--server.port=0", "--log.format=json", "--log.requests_per_second=0", stderr=stderr)
        os.close(stderr)
        return process

    def wait_for(self, end, event):
        text = b""
        while b'"event":"' + event + b'"' not in text:
            text += os.read(end, 65536)
        return text

    def test_a_reader_that_stalls(self):
        end, stderr = os.pipe()
        fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, 4096)
        process = self.start(stderr)
        text = self.wait_for(end, b"ready")
        s = Client(next(line["port"] for line in map(json.loads, text.splitlines()) if line["event"] == "listening"))
        for _ in range(200):  # 100 of one address are let through in 10 s, 4 KB each: more than pipe and ring hold
            self.assertEqual(s.get("/nope" + "a" * 4000).status, 404)
        self.assertEqual(s.get("/healthz").status, 200)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), 0)
        self.assertLess(time.monotonic() - began, 5)
        os.close(end)

    def test_a_reader_that_is_gone(self):
        end, stderr = os.pipe()
        process = self.start(stderr)
        text = self.wait_for(end, b"ready")
        os.close(end)
        s = Client(next(line["port"] for line in map(json.loads, text.splitlines()) if line["event"] == "listening"))
        for _ in range(20):
            self.assertEqual(s.get("/nope").status, 404)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), 0)

    def test_request_lines_are_bounded(self):
        with Server("--log.requests_per_second=10") as s:
            for _ in range(60):
                s.get("/version")
            time.sleep(1.1)
            s.get("/version")
            lines = s.wait_for_log("request", 11)
            told = sum(line.get("suppressed", 0) for line in lines)
            self.assertLess(len([line for line in lines if line["route"] == "version"]), 60)
            self.assertGreater(told, 0)


run(__name__)
