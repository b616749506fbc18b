"""Each command of a document in turn, and what came of it."""
import hashlib

from documents import answers
from documents.fences import ROOT, Desk, commands, fences, is_elsewhere

CAT = hashlib.sha256((ROOT / "docs/photos/cat.jpg").read_bytes()).hexdigest()  # what an id is where there are no keys


def run(document: str, desk: Desk):
    """-> (fence, command, output, fault): fault is a sentence, or empty."""
    for fence in fences(document):
        if fence.kind != "sh":
            continue
        mine = [c for c in commands(fence) if not is_elsewhere(c)]
        for command in mine:
            is_last = command is mine[-1]
            shows_fault = bool(is_last and fence.answer and fence.answer.text.startswith('{"error"'))
            done = desk.run(command, CAT, shows_fault)
            fault = ""
            if done.returncode:
                fault = f"exit code {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}"
            elif is_last and fence.answer and not answers.is_shown(fence.answer, done.stdout):
                fault = f"the document prints {fence.answer.text}the command gives {done.stdout}"
            yield fence, command, done.stdout, fault


def redo(document: str, desk: Desk) -> int:
    """Writes the answers in the document anew; how many have changed."""
    path = ROOT / document
    found = {}  # the last command of a fence is the one whose answer stands behind it
    for fence, _, out, _ in run(document, desk):
        if fence.answer:
            found[fence.answer.begins] = (fence.answer, answers.fresh(fence.answer, out))
    changes = list(found.values())
    text = path.read_text(encoding="utf-8")
    for old, new in reversed(changes):
        text = text[:old.begins] + new + text[old.begins + len(old.text):]
    path.write_text(text, encoding="utf-8")
    return sum(old.text != new for old, new in changes)
