"""Answers that the documents print, compared with those that a service gives, and written anew.

What a document cuts ends in an ellipsis: a text goes on, a list has more elements."""
import json
import re

from documents.fences import CUT

VARIES = {"request_id", "forecast_ms", "created"}  # of keys: from request to request, from machine to machine
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"(?!\s*:)|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|\btrue\b|\bfalse\b|\bnull\b')
PRINTED = re.compile(r'"(?:[^"\\]|\\.)*"\s*:|' + TOKEN.pattern)


def printed(text: str):
    """JSON as a document prints it, the marks of what was cut as texts."""
    whole = re.sub(rf",\s*{CUT}(\s*[\]}}])", rf', "{CUT}"\1', text)
    return json.loads(whole)


def same(shown, got, key: str = "") -> bool:
    """Equal, scores to two digits (instruction sets round differently), what is cut as far as it is shown."""
    if key in VARIES:
        return type(shown) is type(got)
    if isinstance(shown, dict):
        return isinstance(got, dict) and shown.keys() == got.keys() and all(same(v, got[k], k) for k, v in shown.items())
    if isinstance(shown, list):
        if shown and shown[-1] == CUT:
            shown, got = shown[:-1], got[:len(shown) - 1] if isinstance(got, list) else got
        return isinstance(got, list) and len(shown) == len(got) and all(map(same, shown, got))
    if isinstance(shown, float):
        return isinstance(got, (int, float)) and abs(shown - got) < (1.0 if key == "box" or abs(shown) > 2 else 0.02)
    if isinstance(shown, str) and shown.endswith(CUT):
        return isinstance(got, str) and got.startswith(shown[:-1])
    return shown == got


def scalars(shown, got, out: list, where: str) -> None:
    """The texts and numbers of `got`, in the order and with the cuts of `shown`. ValueError: another structure."""
    if isinstance(shown, dict):
        if not isinstance(got, dict) or list(shown) != list(got):
            raise ValueError(f"{where}: the answer has other keys now: {list(got) if isinstance(got, dict) else got}")
        for k, v in shown.items():
            scalars(v, v if k in VARIES else got[k], out, f"{where}/{k}")
    elif isinstance(shown, list):
        n = len(shown) - 1 if shown and shown[-1] == CUT else len(shown)
        if not isinstance(got, list) or len(got) < n or (n == len(shown) and len(got) != n):
            raise ValueError(f"{where}: the list has another length now")
        for i in range(n):
            scalars(shown[i], got[i], out, f"{where}/{i}")
    elif isinstance(shown, str) and shown.endswith(CUT) and isinstance(got, str):
        out.append(json.dumps(got[:len(shown) - 1] + CUT, ensure_ascii=False))
    else:
        out.append(json.dumps(got, ensure_ascii=False))


def rewritten(text: str, got) -> str:
    """The printed answer with the values of `got`, laid out as it was."""
    values: list[str] = []
    scalars(printed(text), got, values, "")
    fresh = iter(values)
    out = PRINTED.sub(lambda m: m[0] if m[0].endswith(":") else next(fresh), text)
    if next(fresh, None) is not None:
        raise ValueError("the printed answer is laid out in a way that this does not read")
    return out


def stream_lines(text: str, out: str) -> str:
    """Server-sent events as a document prints them: the first one, what `event: done` brings as far as it is shown."""
    shown, got = text.splitlines(), out.splitlines()
    last = got[got.index("event: done") + 1]
    return "\n".join([got[0], *shown[1:-1], last[:len(shown[-1]) - 1] + CUT]) + "\n"


def is_shown(fence, out: str) -> bool:
    """Whether a command's output is what the document prints behind it."""
    if fence.kind == "json":
        return same(printed(fence.text), json.loads(out))
    if not is_stream(fence.text):
        return out == fence.text
    shown = fence.text.splitlines()
    return shown[-2] in out.splitlines() and cut_scores(stream_lines(fence.text, out)) == cut_scores(fence.text)


def is_stream(text: str) -> bool:
    return "event: done" in text


def cut_scores(text: str) -> str:
    return re.sub(r"-?\d+\.\d+", lambda m: f"{float(m[0]):.1f}", text)


def fresh(fence, out: str) -> str:
    if fence.kind == "json":
        return rewritten(fence.text, json.loads(out))
    return stream_lines(fence.text, out) if is_stream(fence.text) else out
