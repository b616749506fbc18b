"""Collections: fill, search, list, remove, restart, and SIGKILL in the middle of writing."""
import base64
import os
import random
import signal
import tempfile
import threading

from support import Server, picture, run, unittest


class Collections(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.flag = "--collections.path=" + os.path.join(self.folder.name, "c.db")

    def tearDown(self):
        self.folder.cleanup()

    def put(self, s, key, n, name="holiday"):
        return s.request("PUT", f"/collections/{name}/images/{key}", picture(n))

    def test_the_whole_life(self):
        with Server(self.flag) as s:
            self.assertEqual(s.get("/collections/holiday").code, "not_found")
            for n in range(4):
                answer = self.put(s, f"album/{n}.jpg", n)
                self.assertEqual((answer.status, answer.json["replaced"]), (201, False), answer.body)
            self.assertEqual(self.put(s, "album/3.jpg", 3).status, 200)
            page = s.get("/collections/holiday?limit=3").json
            self.assertEqual([i["key"] for i in page["images"]], [f"album/{n}.jpg" for n in range(3)])
            self.assertEqual((page["size"], page["next"]), (4, "album/2.jpg"))
            self.assertEqual([i["key"] for i in s.get("/collections/holiday?after=album/2.jpg").json["images"]], ["album/3.jpg"])
            found = s.post("/retrieve", {"collection": "holiday", "text": "a dog"}).json
            self.assertEqual((found["scanned"], found["reranked"], len(found["results"])), (4, 4, 4))
            scores = {r["key"]: r["score"] for r in found["results"]}
            self.assertEqual(list(scores.values()), sorted(scores.values(), reverse=True))
            for n in range(4):
                alone = s.post("/retrieve?text=a+dog", picture(n)).json["scores"][0][0]
                self.assertEqual(scores[f"album/{n}.jpg"], alone)
            top = s.post("/retrieve", {"collection": "holiday", "text": "a dog", "top_k": 1}).json["results"]
            self.assertEqual(top, found["results"][:1])
        with Server(self.flag) as s:
            again = s.post("/retrieve", {"collection": "holiday", "text": "a dog"}).json
            self.assertEqual(again["results"], found["results"])
            self.assertEqual(s.request("DELETE", "/collections/holiday/images/album/0.jpg").status, 200)
            self.assertEqual(s.request("DELETE", "/collections/holiday/images/album/0.jpg").status, 404)
            self.assertEqual(s.get("/collections").json["collections"], [{"name": "holiday", "images": 3, "stale": 0}])
            self.assertEqual(s.request("DELETE", "/collections/holiday").status, 200)
            self.assertEqual(s.get("/collections").json["collections"], [])

    def test_faults(self):
        with Server(self.flag, "--collections.max_images=1") as s:
            self.assertEqual(self.put(s, "k", 0, name="bad%20name").code, "bad_request")
            self.assertEqual(s.request("PUT", "/collections/a/images/k", b"no picture").code, "unsupported_image")
            self.assertEqual(self.put(s, "a", 0).status, 201)
            self.assertEqual(self.put(s, "b", 0).code, "too_many_inputs")
            b64 = base64.b64encode(picture()).decode()
            self.assertEqual(s.post("/retrieve", {"collection": "holiday", "image": b64, "text": "x"}).code, "bad_request")
            self.assertEqual(s.post("/retrieve", {"collection": "none", "text": "x"}).code, "not_found")
            hostile = s.post("/retrieve", {"collection": "holiday", "text": '"dog" OR NEAR(* AND \' --'})
            self.assertEqual(hostile.status, 200)
        with Server() as s:
            self.assertEqual(s.get("/collections").code, "not_found")

    def test_sigkill_loses_nothing_acknowledged(self):
        chance, acknowledged = random.Random(5), set()
        for round_ in range(8):
            with Server(self.flag) as s:
                def fill(worker):
                    for n in range(1000):
                        key = f"{round_}-{worker}-{n}"
                        try:
                            if self.put(s, key, n).status == 201:
                                acknowledged.add(key)
                        except OSError:
                            return
                threads = [threading.Thread(target=fill, args=(w,)) for w in range(4)]
                for t in threads:
                    t.start()
                threads[0].join(0.05 + 0.2 * chance.random())
                s.process.send_signal(signal.SIGKILL)
                for t in threads:
                    t.join()
                s.process.wait()
        self.assertGreater(len(acknowledged), 20)
        with Server(self.flag) as s:
            kept, after = set(), ""
            while after is not None:
                page = s.get(f"/collections/holiday?limit=1000&after={after}").json
                kept |= {i["key"] for i in page["images"]}
                after = page["next"]
            self.assertEqual(acknowledged - kept, set())


run(__name__)
