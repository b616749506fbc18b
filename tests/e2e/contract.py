"""The OpenAPI document as data, what the server itself says about its routes and errors, and a test that holds answers
against the document."""
import copy
import functools
import hashlib
import json
import re
import subprocess
import urllib.parse

import jsonschema
from support import BUILD, ROOT, TINY, picture, unittest

FILE = ROOT / "server/api/openapi.json"
DOCUMENT = json.loads(FILE.read_text())
GOOD = picture(0)
ID = hashlib.sha256(GOOD).hexdigest()
NAME = json.loads((TINY / "config.json").read_text())["name"]  # of the model, without its version
METHODS = ("get", "put", "post", "delete", "head")


def find(pointer):
    here = DOCUMENT
    for step in pointer.removeprefix("#/").split("/"):
        here = here[step.replace("~1", "/").replace("~0", "~")]
    return here


def resolved(thing):
    return find(thing["$ref"]) if "$ref" in thing else thing


@functools.cache
def validator(schema):
    """Of a schema written as JSON. References begin at the document's root, so its components stand beside the schema."""
    return jsonschema.Draft202012Validator({**json.loads(schema), "components": DOCUMENT["components"]})


def faults(schema, value):
    """What is wrong with the value, one line each; nothing: it fits."""
    for fault in validator(json.dumps(schema)).iter_errors(value):
        yield f"{fault.json_path}: {fault.message[:300]}"


def changes(value, at="$"):
    """Every copy of the value with one thing changed: a part of another type, a key more, a key less."""
    yield at + " replaced", {"x": 1}
    if isinstance(value, dict):
        yield at + " with a key more", {**value, "one_more": 1}
        for name in value:
            yield f"{at}.{name} left out", {k: v for k, v in value.items() if k != name}
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        for where, changed in changes(part, f"{at}.{name}"):
            whole = copy.copy(value)
            whole[name] = changed
            yield where, whole


# ---- the document ----

def operations():
    """method, path, operation, its parameters"""
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS:
            if method in item:
                shared = item.get("parameters", [])
                yield method, path, item[method], [resolved(p) for p in shared + item[method].get("parameters", [])]


def operation(method, path):
    return DOCUMENT["paths"][path][method.lower()]


def query_of(parameters):
    return {p["name"]: p["schema"] for p in parameters if p["in"] == "query"}


@functools.cache
def served():
    """What the program says of itself."""
    told = subprocess.run([BUILD / "minivlm-server", "--print-api"], capture_output=True, check=True)
    return json.loads(told.stdout)


def routes():
    """(method, path) -> row of the server's table; without the files of the page, which are no part of the API"""
    return {(r["method"], r["path"]): r for r in served()["routes"] if r["path"] not in ("/page/{}", "/favicon.ico")}


def as_route(method, path):
    return method.upper(), re.sub(r"\{\w+\}", "{}", path.replace("/{key}", "/{*}"))


def fault_table():
    """(status, code, type)"""
    return {(e["status"], e["code"], e["type"]) for e in served()["errors"]}


def codes_of(response):
    """Of an error that says its code; PlainError says none."""
    schema = response["content"]["application/json"]["schema"]
    return schema["allOf"][1]["properties"]["error"]["properties"]["code"]["enum"] if "allOf" in schema else []


def every(node, word):
    if isinstance(node, dict):
        for key, part in node.items():
            if key == word:
                yield part
            yield from every(part, word)
    elif isinstance(node, list):
        for part in node:
            yield from every(part, word)


# ---- answers ----

ALWAYS = {401: ["WWW-Authenticate"], 405: ["Allow"], 429: ["Retry-After"], 503: ["Retry-After"]}
TRANSPORT = {"Content-Type", "Content-Length", "Date", "Connection", "Transfer-Encoding", "Cache-Control"}


class Service(unittest.TestCase):
    """check() holds an answer against the document."""

    def check_headers(self, response, answer):
        for name in ["X-Request-Id", "Server-Timing", *ALWAYS.get(answer.status, [])]:
            self.assertIn(name, answer.headers)
        known = {name.lower(): resolved(h)["schema"] for name, h in response["headers"].items()}
        for name, value in answer.headers.items():
            if name in TRANSPORT and name.lower() not in known:
                continue
            self.assertIn(name.lower(), known)
            schema = known[name.lower()]
            self.assertEqual(list(faults(schema, int(value) if schema["type"] == "integer" else value)), [], name)

    def check_stream(self, media, answer):
        events = [e for e in answer.body.decode().split("\n\n") if e]
        names = [re.search(r"^event: (.*)$", e, re.M) for e in events]
        names = [n.group(1) if n else "message" for n in names]
        self.assertEqual(names[:-1], ["message"] * (len(names) - 1))
        self.assertEqual(names[-1], "done")
        for name, event in zip(names, events):
            data = json.loads(re.search(r"^data: (.*)$", event, re.M).group(1))
            self.assertEqual(list(faults(media["x-events"][name], data)), [])

    def check(self, method, path, answer):
        """The response object that the answer follows."""
        op = operation(method, path)
        self.assertIn(str(answer.status), op["responses"], answer.body)
        response = resolved(op["responses"][str(answer.status)])
        self.check_headers(response, answer)
        if method == "HEAD":
            self.assertEqual((answer.body, "content" in response), (b"", False))
            return response
        self.assertIn(answer.headers["Content-Type"], response["content"])
        media = response["content"][answer.headers["Content-Type"]]
        if answer.headers["Content-Type"] == "text/event-stream":
            if "x-events" in media:  # those of /v1/chat/completions: test_adapters.py
                self.check_stream(media, answer)
        else:
            is_json = answer.headers["Content-Type"] == "application/json"
            value = answer.json if is_json else answer.body.decode()
            self.assertEqual(list(faults(media["schema"], value)), [], answer.body)
        return response


def fill(path, **values):
    """A path of the document with something in its places."""
    values = {"key": "a b/1.jpg", "id": NAME if path.startswith("/v1/") else ID, "version": "1", "task": "image-to-text",
              "name": "caption" if path.startswith("/v2/") else "album", **values}
    return re.sub(r"\{(\w+)\}", lambda m: urllib.parse.quote(values[m.group(1)]), path)
