"""The OpenAPI document as data: a small JSON Schema validator, and what the document, the table of routes and the table of
faults say."""
import copy
import json
import re

from support import ROOT

FILE = ROOT / "server/api/openapi.json"
DOCUMENT = json.loads(FILE.read_text())
METHODS = ("get", "put", "post", "delete", "head")


# ---- a small JSON Schema validator ----

TYPES = {
    "object": lambda v: isinstance(v, dict), "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str), "boolean": lambda v: isinstance(v, bool), "null": lambda v: v is None,
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "integer": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) and v == int(v),
}
ASSERTIONS = {"$ref", "type", "enum", "oneOf", "anyOf", "allOf", "required", "properties", "additionalProperties",
              "items", "minItems", "maxItems", "minimum", "maximum", "exclusiveMinimum", "pattern", "minLength", "maxLength"}
NOTES = {"description", "default", "examples", "contentMediaType", "format"}


def find(pointer):
    here = DOCUMENT
    for step in pointer.removeprefix("#/").split("/"):
        here = here[step.replace("~1", "/").replace("~0", "~")]
    return here


def resolved(thing):
    return find(thing["$ref"]) if "$ref" in thing else thing


def alternatives(schema, value, at):
    for part in schema.get("allOf", []):
        yield from faults(part, value, at)
    for word, is_right in (("anyOf", lambda n: n >= 1), ("oneOf", lambda n: n == 1)):
        fits = [not any(faults(part, value, at)) for part in schema.get(word, [])]
        if fits and not is_right(sum(fits)):
            yield f"{at}: {sum(fits)} of {word}: {str(value)[:80]}"


def members(schema, value, at):
    properties = schema.get("properties", {})
    for name in schema.get("required", []):
        if name not in value:
            yield f"{at}: no {name}"
    for name, part in value.items():
        if name in properties:
            yield from faults(properties[name], part, f"{at}.{name}")
        elif schema.get("additionalProperties") is False:
            yield f"{at}: unknown {name}"


def faults(schema, value, at="$"):
    """What is wrong with the value, one line each; nothing: it fits."""
    assert set(schema) <= ASSERTIONS | NOTES, f"the validator does not know {set(schema) - ASSERTIONS - NOTES}"
    if "$ref" in schema:
        yield from faults(find(schema["$ref"]), value, at)
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types and not any(TYPES[t](value) for t in types):
        yield f"{at}: {value!r} is no {types}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is none of {schema['enum']}"
    yield from alternatives(schema, value, at)
    if isinstance(value, dict):
        yield from members(schema, value, at)
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{at}: {len(value)} items"
        for n, part in enumerate(value):
            yield from faults(schema.get("items", {}), part, f"{at}[{n}]")
    elif isinstance(value, str):
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            yield f"{at}: {len(value)} characters"
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{at}: {value!r} is not like {schema['pattern']}"
    elif TYPES["number"](value):
        if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            yield f"{at}: {value} is out of range"
        if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
            yield f"{at}: {value} is out of range"


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


def routes():
    """The table of server/api/api_routes.c: (method, path) -> flags; without the files of the page, which are no part of the API"""
    rows = re.findall(r'\{"([A-Z]+)", "(/[^"]*)", "\w+", ([\w| ]+), \w+, \w+, (?:NULL|"[\w ]*")\}', (ROOT / "server/api/api_routes.c").read_text())
    return {(method, path): set(re.findall(r"ROUTE_\w+", flags)) for method, path, flags in rows
            if path != "/page/{}"}


def as_route(method, path):
    return method.upper(), re.sub(r"\{\w+\}", "{}", path.replace("/{key}", "/{*}"))


def fault_table():
    """server/http/reply.h: (status, code, type)"""
    rows = re.findall(r'X\(FAULT_\w+, (\d+), "(\w+)", "(\w+)", \w+\)', (ROOT / "server/http/reply.h").read_text())
    return {(int(status), code, kind) for status, code, kind in rows}


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
