"""The three routes: every way to send an image, the shape of the answers, the same answer everywhere."""
import base64
import concurrent.futures
import contextlib
import hashlib
import json

from support import ROOT, Server, form, picture, run, unittest

GOLDEN = json.loads((ROOT / "tests/golden/tiny.json").read_text())["images"]
WAVES = (ROOT / "tests/data/images/waves.png").read_bytes()
DISCS = (ROOT / "tests/data/images/discs.png").read_bytes()


class Routes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--limits.images=4", "--limits.texts=8", "--limits.text_bytes=200", "--server.admin_port=0")

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None, None, None)

    def ask(self, path, body, headers=None, status=200):
        answer = self.server.post(path, body, headers)
        self.assertEqual(answer.status, status, answer.body)
        return answer

    def test_caption_is_the_reference_caption(self):
        answer = self.ask("/caption?num_beams=1&regions=true", WAVES)
        golden = GOLDEN["waves"]
        self.assertAlmostEqual(answer.json["score"], golden["caption"]["greedy"]["score"], places=4)
        self.assertEqual([r["label"] for r in answer.json["regions"]], golden["labels"])
        self.assertEqual(answer.json["image"]["id"], hashlib.sha256(WAVES).hexdigest())
        self.assertEqual([answer.json["image"][k] for k in ("height", "width")], golden["upright"])
        self.assertEqual(answer.json["image"]["warnings"], [])
        self.assertEqual(answer.headers["Content-Type"], "application/json")
        for part in ("recv", "decode", "queue", "regions", "fusion", "total"):
            self.assertIn(part + ";dur=", answer.headers["Server-Timing"])

    def test_answers_are_the_reference_answers(self):
        golden = GOLDEN["waves"]["vqa"][0]
        answer = self.ask("/vqa", {"image": base64.b64encode(WAVES).decode(), "question": golden["question"]}).json
        self.assertEqual([a["answer"] for a in answer["answers"]], golden["answers"])
        self.assertEqual((answer["answer"], answer["score"]), (answer["answers"][0]["answer"], answer["answers"][0]["score"]))
        golden = GOLDEN["waves"]["retrieve"]
        answer = self.ask("/retrieve", *form([("image", WAVES)] + [("texts", g["text"]) for g in golden])).json
        for score, expected in zip(answer["scores"][0], golden):
            self.assertAlmostEqual(score, expected["score"], places=4)

    def test_every_way_to_send_gives_the_same(self):
        b64 = base64.b64encode(WAVES).decode()
        image_id = hashlib.sha256(WAVES).hexdigest()
        ways = [
            ("/caption?num_beams=2", WAVES, {"Content-Type": "image/png"}),
            ("/caption?num_beams=2", WAVES, {"Content-Type": "image/jpeg"}),
            ("/caption?num_beams=2", WAVES, {"Content-Type": "application/x-www-form-urlencoded"}),
            ("/caption", *form([("image", WAVES), ("num_beams", "2")])),
            ("/caption?num_beams=2", *form([("image", WAVES)])),
            ("/caption", {"image": b64, "num_beams": 2}, None),
            ("/caption", {"image": "data:image/png;base64," + b64, "num_beams": 2}, None),
            ("/caption", {"image": {"id": image_id}, "num_beams": 2}, None),
        ]
        bodies = {self.ask(*way).body for way in ways}
        self.assertEqual(len(bodies), 1, bodies)

    def test_chunked_body(self):
        with contextlib.closing(self.server.connect()) as c:
            c.request("POST", "/caption", iter([WAVES[:100], WAVES[100:]]), {"Transfer-Encoding": "chunked"},
                      encode_chunked=True)
            response = c.getresponse()
            self.assertEqual(response.status, 200)
            self.assertEqual(response.read(), self.ask("/caption", WAVES).body)

    def test_image_by_id_is_a_cache_hit(self):
        fresh = picture(1)
        image_id = hashlib.sha256(fresh).hexdigest()
        self.ask("/caption", fresh)
        self.assertEqual(self.server.request("HEAD", "/images/" + image_id).status, 200)
        answer = self.ask("/vqa", {"image": {"id": image_id}, "question": "what?"})
        self.assertEqual(answer.headers["X-Cache"], "regions")
        unknown = self.ask("/caption", {"image": {"id": "0" * 64}}, status=404)
        self.assertEqual(unknown.code, "image_not_cached")
        self.assertEqual(self.server.request("HEAD", "/images/" + "0" * 64).status, 404)

    def test_no_store_keeps_nothing(self):
        secret = picture(2) + b"\0"
        self.ask("/caption", secret, {"Cache-Control": "no-store"})
        self.assertEqual(self.server.request("HEAD", "/images/" + hashlib.sha256(secret).hexdigest()).status, 404)

    def test_check_decodes_and_keeps_nothing(self):
        codec = ROOT / "tests" / "data" / "images" / "codec"
        turned = (codec / "exif-6.jpg").read_bytes()
        seen = self.server.post("/images/check", turned, {"Content-Type": "image/jpeg"})
        self.assertEqual(seen.status, 200, seen.body)
        self.assertNotIn("X-Cache", seen.headers)
        got = seen.json
        self.assertEqual((got["format"], got["orientation"], got["progressive"], got["bytes"]),
                         ("jpeg", 6, False, len(turned)))
        self.assertEqual(got["image"]["warnings"], ["turned upright from its EXIF orientation"])
        self.assertEqual(set(got["forecast_ms"]), {"caption", "vqa", "retrieve"})
        self.assertEqual(self.server.request("HEAD", "/images/" + got["image"]["id"]).status, 404)
        known = self.server.post("/caption", turned).json["image"]
        self.assertEqual(known, got["image"])
        grey = self.server.post("/images/check", (codec / "grey-progressive.jpg").read_bytes()).json
        self.assertTrue(grey["progressive"])
        short = (codec / "no-end-marker.jpg").read_bytes()[:-200]
        self.assertEqual(self.server.post("/images/check", short).code, "corrupt_image")
        self.assertTrue(self.server.post("/images/check?tolerate_truncated=true", short).json["image"]["warnings"])
        self.assertEqual(self.server.post("/images/check", {"image": {"id": known["id"]}}).code, "bad_request")
        self.assertEqual(self.server.post("/images/check?question=x", turned).code, "bad_request")

    def test_several_images_one_bad(self):
        good = base64.b64encode(WAVES).decode()
        bad = base64.b64encode(b"not a picture").decode()
        results = self.ask("/caption", {"images": [good, bad, good]}).json["results"]
        self.assertEqual(results[0], results[2])
        self.assertEqual(results[1]["error"]["code"], "unsupported_image")
        alone = self.ask("/caption", WAVES).json
        self.assertEqual(results[0]["caption"], alone["caption"])

    def test_several_questions(self):
        body = {"image": base64.b64encode(WAVES).decode(), "questions": ["what is it?", "where?"], "top_k": 2}
        results = self.ask("/vqa", body).json["results"]
        self.assertEqual([r["question"] for r in results], body["questions"])
        self.assertEqual([len(r["answers"]) for r in results], [2, 2])
        alone = self.ask("/vqa?question=where%3F&top_k=2", WAVES).json
        self.assertEqual(results[1]["answers"], alone["answers"])

    def test_retrieve_sorts(self):
        images = [base64.b64encode(i).decode() for i in (WAVES, DISCS)]
        texts = ["a dog", "two people in a boat", "a red ball"]
        answer = self.ask("/retrieve", {"images": images, "texts": texts}).json
        flat = [(-answer["scores"][i][t], i, t) for i in range(2) for t in range(3)]
        self.assertEqual([(r["image"], r["text"]) for r in answer["results"]], [(i, t) for _, i, t in sorted(flat)])
        self.assertEqual(len(self.ask("/retrieve", {"images": images, "texts": texts, "top_k": 2}).json["results"]), 2)

    def test_rerank_shapes(self):
        image = base64.b64encode(WAVES).decode()
        answer = self.ask("/retrieve", {"query": {"image": image}, "documents": ["a dog", {"text": "a boat"}], "top_n": 1,
                                        "return_documents": True}).json
        self.assertEqual(len(answer["results"]), 1)
        self.assertEqual(set(answer["results"][0]), {"index", "relevance_score", "document"})
        answer = self.ask("/retrieve", {"query": "a dog", "documents": [{"image": image}, {"image": base64.b64encode(DISCS).decode()}]}).json
        scores = self.ask("/retrieve", {"images": [image, base64.b64encode(DISCS).decode()], "text": "a dog"}).json["scores"]
        self.assertEqual({r["index"]: r["relevance_score"] for r in answer["results"]}, {0: scores[0][0], 1: scores[1][0]})

    def test_explain_weights_sum_to_one(self):
        answer = self.ask("/vqa?question=what%3F&explain=true", WAVES).json
        self.assertAlmostEqual(sum(answer["explain"]["region_weights"]), 1.0, places=3)
        self.assertEqual(len(answer["explain"]["region_weights"]), len(answer["regions"]))

    def test_explain_by_leaving_regions_out(self):
        for path, place in (("/caption?", lambda a: a), ("/vqa?question=what%3F&", lambda a: a),
                            ("/vqa?question=what%3F&question=where%3F&", lambda a: a["results"][1]),
                            ("/retrieve?text=a+dog&", lambda a: a["images"][0])):
            plain = self.ask(path + "regions=true", WAVES).json
            answer = self.ask(path + "explain=occlusion", WAVES)
            got = answer.json
            explain = place(got).pop("explain")
            for other in got.get("results", []):
                other.pop("explain", None)
            self.assertEqual(got, plain)
            self.assertEqual(explain["method"], "occlusion")
            weights = explain["region_weights"]
            weights = weights[0] if path.startswith("/retrieve") else weights
            regions = (got["images"][0] if path.startswith("/retrieve") else got)["regions"]
            self.assertEqual(len(weights), len(regions))
            self.assertTrue(any(weights))
            self.assertEqual(answer.headers["X-Cache"], "regions")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            same = list(pool.map(lambda _: self.ask("/caption?explain=occlusion", WAVES).body, range(16)))
        self.assertEqual(len(set(same)), 1)
        images = [base64.b64encode(i).decode() for i in (WAVES, DISCS)]
        for body in ({"images": images, "explain": "occlusion"}, {"image": images[0], "explain": "maybe"},
                     {"image": images[0], "explain": 2}, {"image": images[0], "explain": "occlusion", "stream": True}):
            self.assertEqual(self.ask("/caption", body, status=400).json["error"]["param"], "explain")

    def test_stream_ends_with_the_whole_answer(self):
        answer = self.ask("/caption?stream=true", WAVES)
        self.assertTrue(answer.headers["Content-Type"].startswith("text/event-stream"))
        self.assertEqual(answer.headers["X-Accel-Buffering"], "no")  # for nginx, which would keep events back
        events = [e for e in answer.body.decode().split("\n\n") if e]
        self.assertTrue(events[-1].startswith("event: done\ndata: "))
        whole = json.loads(events[-1].split("data: ", 1)[1])
        self.assertEqual(whole, self.ask("/caption?num_beams=1", WAVES).json)
        self.assertEqual(json.loads(events[-2][6:])["text"], whole["caption"])

    def test_request_id(self):
        self.assertEqual(self.ask("/caption", WAVES, {"X-Request-Id": "abc-1"}).headers["X-Request-Id"], "abc-1")
        made = self.ask("/caption", WAVES, {"X-Request-Id": "a b"}).headers["X-Request-Id"]
        self.assertRegex(made, r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")

    def test_64_clients_get_what_one_gets(self):
        jobs = [("/caption?num_beams=3", WAVES), ("/vqa?question=what%3F", DISCS), ("/retrieve?text=a+dog", WAVES),
                ("/caption?num_beams=1", DISCS)]
        alone = [self.ask(*j).body for j in jobs]
        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            answers = list(pool.map(lambda n: self.server.post(*jobs[n % 4]), range(512)))
        self.assertEqual({a.status for a in answers}, {200})
        self.assertEqual([a.body for a in answers], [alone[n % 4] for n in range(512)])

    def test_figures(self):
        self.ask("/caption", WAVES)
        text = self.server.get("/metrics", admin=True).body.decode()
        for name in ("minivlm_requests_total", "minivlm_load_ratio", "minivlm_feature_cache_hits_total",
                     "minivlm_batch_size_bucket", "process_resident_memory_bytes", "minivlm_build_info"):
            self.assertIn(name, text)
        self.assertEqual(self.server.get("/metrics").status, 404)
        latest = self.server.get("/debug/requests", admin=True).json["requests"][0]
        self.assertEqual(latest["status"], 200)
        self.assertEqual(self.server.get("/debug/requests/" + latest["id"], admin=True).json["id"], latest["id"])
        self.assertEqual(self.server.get("/version").json["model"]["name"], "tiny")


run(__name__)
