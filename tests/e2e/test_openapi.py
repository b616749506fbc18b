"""The OpenAPI document against the running service: the same routes, parameters, statuses, headers and answers."""
import base64
import json
import os
import re
import subprocess
import tempfile
import urllib.parse

import jsonschema
from contract import (
    DOCUMENT,
    FILE,
    GOOD,
    ID,
    METHODS,
    Service,
    as_route,
    changes,
    codes_of,
    every,
    fault_table,
    faults,
    fill,
    find,
    operation,
    operations,
    query_of,
    resolved,
    routes,
)
from support import BUILD, ROOT, Server, form, run, unittest

B64 = base64.b64encode(GOOD).decode()
BAD = base64.b64encode(b"no picture").decode()


# Refusals that belong to every path or come before there is one; OpenAPI has no place for them.
ANYWHERE = ("MethodNotAllowed", "TargetTooLong", "ExpectationFailed", "HeaderTooLarge", "NotImplemented",
            "TooManyConnections", "VersionNotSupported")


class Document(unittest.TestCase):
    def test_warnings(self):
        """All that the decoders may say, and nothing else: clients are made of this list."""
        texts = re.findall(r'X\(IMAGE_WARN_\w+, \d+, "([^"]+)"\)', (ROOT / "engine/image/image.h").read_text())
        self.assertEqual(sorted(DOCUMENT["components"]["schemas"]["Warning"]["enum"]), sorted(texts))

    def test_structure(self):
        self.assertRegex(DOCUMENT["openapi"], r"^3\.1\.\d+$")
        self.assertTrue(DOCUMENT["info"]["title"] and DOCUMENT["info"]["version"])
        names = [o["operationId"] for _, _, o, _ in operations()]
        self.assertEqual(len(names), len(set(names)))
        for pointer in every(DOCUMENT, "$ref"):
            find(pointer)
        for scheme in (name for requirement in every(DOCUMENT, "security") for r in requirement for name in r):
            self.assertIn(scheme, DOCUMENT["components"]["securitySchemes"])
        for path, item in DOCUMENT["paths"].items():
            self.assertTrue(path.startswith("/"))
            self.assertLessEqual(set(item), {"parameters", *METHODS})
        for method, path, op, parameters in operations():
            with self.subTest(operation=f"{method} {path}"):
                self.assertTrue(op["summary"] and op["responses"])
                self.assertLessEqual(set(op["tags"]), {tag["name"] for tag in DOCUMENT["tags"]})
                in_path = {p["name"] for p in parameters if p["in"] == "path" and p["required"] is True}
                self.assertEqual(in_path, set(re.findall(r"\{(\w+)\}", path)))
                keys = [(p["in"], p["name"]) for p in parameters]
                self.assertEqual(len(keys), len(set(keys)))
                for status, response in op["responses"].items():
                    self.assertRegex(status, r"^[1-5]\d\d$")
                    self.assertTrue(resolved(response)["description"])
                for media in op.get("requestBody", {"content": {}})["content"].values():
                    self.assertIn("schema", media)

    def test_schemas_are_schemas(self):
        known = {*jsonschema.Draft202012Validator.VALIDATORS, "description", "default", "examples", "contentMediaType"}

        def look(schema):
            jsonschema.Draft202012Validator.check_schema(schema)
            self.assertLessEqual(set(schema), known, schema)
            self.assertLessEqual(set(schema.get("required", [])), set(schema.get("properties", {})), schema)
            parts = [*schema.get("properties", {}).values(), *schema.get("oneOf", []), *schema.get("anyOf", [])]
            for part in parts + ([schema["items"]] if "items" in schema else []):
                look(part)
        for schema in [*DOCUMENT["components"]["schemas"].values(), *every(DOCUMENT["paths"], "schema")]:
            look(schema)

    def test_the_formats_are_those_of_the_engine(self):
        names = re.findall(r'\[IMAGE_\w+\] = \{"(\w+)"', (ROOT / "engine/image/image.c").read_text())
        documented = DOCUMENT["components"]["schemas"]["Checked"]["properties"]["format"]["enum"]
        self.assertEqual(documented, list(dict.fromkeys(names)))

    def test_the_instruction_sets_are_those_of_the_server(self):
        told = subprocess.run([BUILD / "minivlm-server", "--print-schema"], check=True, capture_output=True, text=True).stdout
        names = json.loads(told)["properties"]["engine"]["properties"]["isa"]["enum"]
        documented = [p["isa"]["enum"] for p in every(DOCUMENT, "properties") if "enum" in p.get("isa", {})]
        self.assertTrue(documented)
        for found in documented:
            self.assertEqual(["auto", *found], names)

    def test_every_part_is_used(self):
        used = set(every(DOCUMENT, "$ref"))
        for kind in ("parameters", "headers", "responses", "schemas"):
            for name in DOCUMENT["components"][kind]:
                if name not in ANYWHERE:
                    self.assertIn(f"#/components/{kind}/{name}", used)

    def test_the_routes_are_those_of_the_server(self):
        documented = {as_route(method, path): op for method, path, op, _ in operations()}
        self.assertGreater(len(documented), 20)
        self.assertEqual(set(documented), set(routes()))
        for route, row in routes().items():
            with self.subTest(route=route):
                op = documented[route]
                self.assertEqual(op.get("x-port", "main"), row["port"])
                self.assertEqual(op.get("security") == [], "public" in row)
                if "work" in row:
                    self.assertLessEqual({"400", "408", "413", "415", "422", "429", "503", "504"}, set(op["responses"]))

    def test_the_statuses_are_those_of_the_server(self):
        by_status = {}
        for response in DOCUMENT["components"]["responses"].values():
            for status, code, _ in fault_table():
                if code in codes_of(response):
                    by_status.setdefault(status, set()).add(code)
        self.assertEqual({(s, c) for s, codes in by_status.items() for c in codes}, {f[:2] for f in fault_table()})
        detail = DOCUMENT["components"]["schemas"]["ErrorDetail"]["properties"]
        self.assertEqual(set(detail["code"]["enum"]), {code for _, code, _ in fault_table()})
        self.assertEqual(set(detail["type"]["enum"]), {kind for _, _, kind in fault_table()})
        for _, _, op, _ in operations():
            for status, response in op["responses"].items():
                if status >= "400" and "$ref" in response:
                    overload = {429} if status == "503" else set()  # server.overload_status
                    allowed = {c for s, c, _ in fault_table() if s in {int(status), *overload}}
                    self.assertLessEqual(set(codes_of(resolved(response))), allowed)

    def test_references_are_followed(self):
        self.assertTrue(list(faults({"$ref": "#/components/schemas/Model"}, 1)))


RERANK = {"query": {"image": {"id": ID}}, "documents": ["a dog", {"text": "a boat", "page": 3}],
          "return_documents": True}
RERANK_IMAGES = {"query": "a dog", "documents": [{"image": B64}, {"image": BAD}], "top_n": 1, "model": "x"}
CHAT = {"model": "x", "messages": [{"role": "user", "content": [
    {"type": "text", "text": "Describe it."}, {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + B64}}]}]}
INFER = {"id": "7", "inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [B64]}]}
# method, path, query, body: a dict is sent as JSON. In this order: some need what those before them have left.
CALLS = [
    ("POST", "/caption", "", GOOD),
    ("POST", "/caption", "?num_beams=3&num_captions=3&regions=true&explain=true", GOOD),
    ("POST", "/caption", "?explain=occlusion", GOOD),
    ("POST", "/caption", "", {"image": B64, "max_tokens": 3, "length_penalty": -0.5, "tolerate_truncated": True}),
    ("POST", "/caption", "", {"images": [{"id": ID}, BAD, "data:image/png;base64," + B64], "explain": True}),
    ("POST", "/caption", "", {"images": [B64]}),
    ("POST", "/caption", "?stream=true", GOOD),
    ("POST", "/caption", "?stream=true&regions=1&explain=attention", GOOD),
    ("POST", "/vqa", "?question=what+is+it", GOOD),
    ("POST", "/vqa", "?question=what+is+it&question=where&top_k=20", GOOD),
    ("POST", "/vqa", "", {"image": B64, "question": "where?", "explain": True}),
    ("POST", "/vqa", "", {"image": B64, "questions": ["where?", "what?"], "explain": "occlusion", "timeout_ms": 9000}),
    ("POST", "/vqa", "", {"images": [B64, BAD], "questions": "where?", "regions": True}),
    ("POST", "/vqa", "", {"images": [B64, BAD], "question": "where?"}),
    ("POST", "/retrieve", "?text=a+dog&texts=a+boat&explain=occlusion", GOOD),
    ("POST", "/retrieve", "", {"images": [B64, BAD, {"id": ID}], "texts": ["a", "b"], "explain": True, "top_k": 3}),
    ("POST", "/retrieve", "", {"image": B64, "text": "a dog", "regions": True}),
    ("POST", "/retrieve", "", RERANK),
    ("POST", "/retrieve", "", RERANK_IMAGES),
    ("POST", "/images/check", "", GOOD),
    ("POST", "/images/check", "", {"image": B64}),
    ("HEAD", "/images/{id}", "", None),
    ("PUT", "/collections/{name}/images/{key}", "", GOOD),
    ("PUT", "/collections/{name}/images/{key}", "", {"image": {"id": ID}}),
    ("GET", "/collections", "", None),
    ("GET", "/collections/{name}", "?limit=1", None),
    ("POST", "/retrieve", "", {"collection": "album", "text": "a dog"}),
    ("DELETE", "/collections/{name}/images/{key}", "", None),
    ("POST", "/retrieve", "?collection=album&text=a", b""),
    ("DELETE", "/collections/{name}", "", None),
    *[("POST", path, "", body) for path in ("/rerank", "/v1/rerank", "/v2/rerank") for body in (
        RERANK, {"query": "a dog", "documents": [{"image": B64}], "model": "x", "top_n": 1},
        {"query": {"image": {"id": ID}}, "texts": ["a dog", "a boat"], "truncate": True})],
    ("POST", "/v1/chat/completions", "", CHAT),
    ("POST", "/v1/chat/completions", "", {**CHAT, "stream": True}),
    *[("POST", path, "", body) for path in ("/", "/pipeline/{task}") for body in (
        GOOD, {"inputs": B64}, {"inputs": {"image": B64, "question": "where?"}, "parameters": {"top_k": 2}})],
    ("POST", "/v2/models/{name}/infer", "", INFER),
    ("POST", "/v2/models/{name}/versions/{version}/infer", "", INFER),
    *[("GET", path, "", None) for path in (
        "/v1/models", "/v1/models/{id}", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/{name}",
        "/v2/models/{name}/ready", "/v2/models/{name}/versions/{version}", "/v2/models/{name}/versions/{version}/ready")],
    ("POST", "/admin/reload", "?wait=true", b""),
    ("GET", "/admin/model", "", None),
    *[("GET", path, "", None) for path in ("/healthz", "/livez", "/health/live", "/ping", "/readyz", "/health/ready",
                                           "/startupz", "/metrics", "/version", "/status", "/openapi.json", "/debug/requests")],
    ("GET", "/readyz", "?max_load=1", None),
    ("GET", "/", "", None),
    ("GET", "/docs", "", None),
]
# The parts of an answer that only some questions bring, and the document that a caller gave.
FREE = re.compile(r"\.(explain|regions|match|document) left out|^/admin/model |\.document( with| replaced|\.)"
                  r"|^/version \$\.(model|engine) left out|/infer \$\.id left out|/rerank \$.*text left out")


class Answers(Service):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.flag = "--collections.path=" + os.path.join(cls.folder.name, "c.db")
        cls.server = Server(cls.flag, "--server.admin_port=0", "--limits.images=4", "--limits.texts=8")

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None, None, None)
        cls.folder.cleanup()

    def send(self, method, path, query="", body=None, headers=None):
        is_admin = operation(method, path).get("x-port") in ("admin", "admin-or-main")
        if isinstance(body, dict):
            body, headers = json.dumps(body), {"Content-Type": "application/json", **(headers or {})}
        return self.server.request(method, fill(path) + query, body, headers, admin=is_admin)

    def test_it_serves_the_file(self):
        self.assertEqual(self.server.get("/openapi.json").body, FILE.read_bytes())
        self.assertEqual(self.server.get("/openapi.json", admin=True).body, FILE.read_bytes())
        self.assertEqual(self.server.get("/version").json["version"], DOCUMENT["info"]["version"])

    def test_every_operation_is_there(self):
        for method, path, op, _ in operations():
            with self.subTest(operation=f"{method} {path}"):
                answer = self.send(method.upper(), path)
                self.assertNotEqual(answer.status, 405)
                self.assertFalse(answer.status == 404 and b"no such route" in answer.body, answer.body)
        # what the loop would see of a route that is not there
        nowhere = self.server.get("/nowhere")
        self.assertEqual((nowhere.status, b"no such route" in nowhere.body), (404, True))

    def test_other_methods_are_refused(self):
        for path, item in DOCUMENT["paths"].items():
            with self.subTest(path=path):
                methods = [m for m in METHODS if m in item]
                is_admin = item[methods[0]].get("x-port") in ("admin", "admin-or-main")
                if path == "/images/check":
                    methods.append("head")  # "check" may stand where an image id stands
                answer = self.server.request("PATCH", fill(path), admin=is_admin)
                response = DOCUMENT["components"]["responses"]["MethodNotAllowed"]
                self.assertEqual(answer.status, 405)
                self.check_headers(response, answer)
                is_plain = path.startswith(("/v2", "/pipeline/")) and path != "/v2/rerank"  # other services' shape of errors
                response = DOCUMENT["components"]["responses"]["PlainError"] if is_plain else response
                self.assertEqual(list(faults(response["content"]["application/json"]["schema"], answer.json)), [])
                expected = {m.upper() for m in methods} | ({"HEAD"} if "get" in methods else set())
                self.assertEqual(set(answer.headers["Allow"].split(", ")), expected)

    def test_answers_fit_and_changed_ones_do_not(self):
        seen, refused = set(), 0
        for method, path, query, body in CALLS:
            with self.subTest(call=f"{method} {path}{query} {str(body)[:200]}"):
                if isinstance(body, dict):
                    request = operation(method, path)["requestBody"]["content"]["application/json"]["schema"]
                    self.assertEqual(list(faults(request, body)), [])
                answer = self.send(method, path, query, body)
                self.assertLess(answer.status, 300, answer.body)
                response = self.check(method, path, answer)
                seen.add((method.lower(), path, str(answer.status)))
                if answer.headers["Content-Type"] != "application/json" or method == "HEAD" or path == "/openapi.json":
                    continue
                schema = response["content"]["application/json"]["schema"]
                for where, changed in changes(answer.json):
                    if not FREE.search(f"{path} {where}"):
                        self.assertTrue(list(faults(schema, changed)), where)
                        refused += 1
        self.assertGreater(refused, 1000)
        documented = {(m, p, s) for m, p, op, _ in operations() for s in op["responses"] if s < "300"}
        self.assertEqual(documented - seen, {("post", "/admin/reload", "202"), ("get", "/debug/requests/{id}", "200")})
        latest = self.send("GET", "/debug/requests").json["requests"][0]["id"]
        self.check("GET", "/debug/requests/{id}", self.server.get("/debug/requests/" + latest, admin=True))
        self.check("POST", "/admin/reload", self.send("POST", "/admin/reload", "", b""))

    def test_planted_values_are_refused(self):
        schema = operation("POST", "/vqa")["responses"]["200"]["content"]["application/json"]["schema"]
        good = self.send("POST", "/vqa", "?question=a&regions=true", GOOD).json
        self.assertEqual(list(faults(schema, good)), [])
        for fault in ({"score": 1.01}, {"score": -0.01}, {"answers": []}, {"score": "0.5"}, {"answer": None},
                      {"image": {**good["image"], "id": "abc"}}, {"image": {**good["image"], "width": 0}},
                      {"image": {**good["image"], "warnings": ["mended"]}}, {"caption": "a dog"},
                      {"regions": [{**good["regions"][0], "box": [1, 2, 3]}]}):
            self.assertTrue(list(faults(schema, {**good, **fault})), fault)

    def test_page_for_programs(self):
        self.check("GET", "/", self.server.get("/", headers={"Accept": "application/json"}))

    def test_load_report(self):
        answer = self.send("GET", "/healthz", headers={"endpoint-load-metrics-format": "TEXT"})
        self.assertRegex(answer.headers["endpoint-load-metrics"], "^TEXT application_utilization=")
        self.check("GET", "/healthz", answer)

    # ---- parameters ----

    NEEDS = {"/vqa": {"question": "where?"}, "/retrieve": {"text": "a dog"}}
    MODEL_LIMITS = {"max_tokens"}  # the tiny model allows fewer than the interface

    def samples(self, name, schema):
        """Values that the document allows for a parameter (None: in JSON), and some that it does not."""
        schema = resolved(schema)
        first, *others = schema.get("oneOf", [schema])
        if first["type"] == "boolean":
            return [True, False, "True", 0, 1, "", None, *(word for kind in others for word in kind["enum"])], ["yes", 2, -1, 0.5]
        if first["type"] not in ("integer", "number"):
            return ["album" if name == "collection" else "a b"], []
        low, high = first.get("minimum", first.get("exclusiveMinimum", 0) + 0.001), first["maximum"]
        return [low, str(low), "", None] + [high] * (name not in self.MODEL_LIMITS), \
            ["yes", low - 1, high + 1] + [low + 0.5] * (first["type"] == "integer")

    @staticmethod
    def is_documented(op, name, value):
        """Whether the schema of some JSON body takes the value; the bodies of /retrieve are two."""
        schema = op["requestBody"]["content"]["application/json"]["schema"]
        bodies = [resolved(s)["properties"] for s in resolved(schema).get("oneOf", [schema])]
        return any(name in p and not list(faults(p[name], value)) for p in bodies)

    def ask(self, path, method, name, value, as_json):
        needs = {k: v for k, v in self.NEEDS.get(path, {}).items() if k + "s" != name}
        body = b"" if name == "collection" else GOOD
        if as_json:
            return self.send(method, path, "", {**needs, name: value, **({"image": B64} if body else {})})
        value = str(value).lower() if isinstance(value, bool) else value
        is_get = method == "GET"
        return self.send(method, path, "?" + urllib.parse.urlencode({**needs, name: value}), None if is_get else body)

    def test_documented_parameters_are_taken(self):
        n = 0
        self.send("PUT", "/collections/{name}/images/{key}", "", GOOD)
        for method, path, op, parameters in operations():
            for name, schema in query_of(parameters).items() if "compatible" not in op["tags"] else ():
                good, bad = self.samples(name, schema)
                for as_json in (False, True) if "requestBody" in op else (False,):
                    for value in good if as_json else [v for v in good if v is not None]:
                        with self.subTest(path=path, name=name, value=value, as_json=as_json):
                            self.assertTrue(not as_json or self.is_documented(op, name, value))
                            answer = self.ask(path, method.upper(), name, value, as_json)
                            # a deadline of 1 ms cannot be kept or passes, a load of 0.001 is there, a reload only begins
                            others = {"timeout_ms": (429, 504, 202), "max_load": (429,), "wait": (202,)}.get(name, ())
                            if path == "/admin/reload":
                                others += (409,)
                            self.assertIn(answer.status, (200, 201, *others), answer.body)
                            n += 1
                    for value in bad:
                        with self.subTest(path=path, name=name, value=value, as_json=as_json):
                            answer = self.ask(path, method.upper(), name, value, as_json)
                            self.assertEqual((answer.status, answer.json["error"]["param"]), (400, name), answer.body)
                            self.assertIn(name, answer.json["error"]["message"])
                            n += 1
        self.assertGreater(n, 150)

    def test_others_are_refused(self):
        names = {name for _, _, _, parameters in operations() for name in query_of(parameters)} | {"num_beam", "url"}
        for method, path, op, parameters in operations():
            if "ROUTE_WORK" not in routes()[as_route(method, path)] or "compatible" in op["tags"]:
                continue
            body = op["requestBody"]["content"]
            documented = set(query_of(parameters))
            in_json = set(resolved(body["application/json"]["schema"]).get("properties", {}))
            self.assertEqual(set(body["multipart/form-data"]["schema"]["properties"]) - {"image"}, documented)
            if path != "/retrieve":
                self.assertEqual(in_json - {"image", "images"}, documented)
            for name in sorted(names - documented):
                with self.subTest(path=path, name=name):
                    for answer in (self.ask(path, method.upper(), name, "1", False),
                                   self.ask(path, method.upper(), name, "1", True),
                                   self.send(method.upper(), path, "", *form([("image", GOOD), (name, "1")]))):
                        self.assertEqual((answer.status, answer.json["error"]["param"]), (400, name), answer.body)
                        self.assertIn(name, answer.json["error"]["message"])

    def test_bodies_that_the_schema_refuses(self):
        for path, body in [
            ("/caption", {"image": 5}), ("/caption", {"image": B64, "num_beams": "two"}), ("/caption", {"images": B64}),
            ("/caption", {"image": {"id": "12"}}), ("/caption", {"image": {"id": ID, "x": 1}}),
            ("/caption", {"image": B64, "num_beams": 2.5}), ("/caption", {"image": B64, "regions": "maybe"}),
            ("/vqa", {"image": B64, "question": ["a"]}), ("/vqa", {"image": B64, "questions": [""]}),
            ("/vqa", {"image": B64, "question": "a", "explain": "why"}), ("/images/check", {"image": {"id": ID}}),
            ("/images/check", {"images": [B64, B64]}), ("/retrieve", {"image": B64, "texts": [1]}),
            ("/retrieve", {"query": "a", "documents": []}), ("/retrieve", {"query": {"text": "a"}, "documents": [5]}),
            ("/retrieve", {"query": {"image": B64}, "documents": ["a"], "top_n": 0}),
        ]:
            with self.subTest(path=path, body=str(body)[:100]):
                schema = operation("POST", path)["requestBody"]["content"]["application/json"]["schema"]
                self.assertTrue(list(faults(schema, body)))
                self.check("POST", path, self.send("POST", path, "", body))
                self.assertEqual(self.send("POST", path, "", body).status, 400)


run(__name__)
