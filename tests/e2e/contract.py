"""The OpenAPI document as data, and what the server itself says about its routes and errors."""
import copy
import functools
import json
import re
import subprocess

import jsonschema
from support import BUILD, ROOT

FILE = ROOT / "server/api/openapi.json"
DOCUMENT = json.loads(FILE.read_text())
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
