"""The commands in the documents, run as a reader would run them: in the repository's root, beside a live service."""
import dataclasses
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUN = ("README.md", "docs/api.md", "docs/compatible.md", "docs/cookbook.md", "docs/command-line.md", "docs/operations.md",
       "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/model-format.md", "docs/training.md", "models/minivlm-base/README.md")
CUT = "\N{HORIZONTAL ELLIPSIS}"

# First words of commands that are not run here, and why. missing() looks whether what they name exists.
ELSEWHERE = {
    "scripts/run.sh": "builds as root; a clean machine is its test",
    "scripts/test.sh": "would run these tests again",
    "pip": "downloads; tests/clients does it",
    "npm": "downloads; tests/clients does it",
    "cmake": "builds for minutes; scripts/check.sh does it",
    "ctest": "would run these tests again; scripts/check.sh does it",
    "python3": "needs PyTorch, pictures and hours; tests/python calls the same functions on drawn pictures",
    "export": "for the next line",
    "mkdir": "for the next command, a download",
    ".venv/bin/python": "as python3",
}


@dataclasses.dataclass
class Fence:
    document: str
    kind: str  # sh, json, py, ...
    text: str
    answer: "Fence | None" = None  # of a command: what the document prints right behind it
    begins: int = 0                # of `text` in the document


def fences(document: str, root: pathlib.Path = ROOT) -> list[Fence]:
    text = (root / document).read_text(encoding="utf-8")
    found: list[Fence] = []
    end = -1
    for m in re.finditer(r"^```(\w*)\n(.*?)^```\n", text, re.S | re.M):
        fence = Fence(document, m[1], m[2], begins=m.start(2))
        if found and found[-1].kind == "sh" and fence.kind in ("json", "text") and m.start() == end:
            found[-1].answer = fence
        found.append(fence)
        end = m.end()
    return found


def commands(fence: Fence) -> list[str]:
    """Its commands, one each: lines that belong together (a backslash, a pipe, an open quote or bracket) stay together."""
    found: list[str] = []
    waiting = ""
    for line in fence.text.splitlines():
        waiting += line + "\n"
        if line.endswith(("\\", "|")) or subprocess.run(["bash", "-n"], input=waiting, text=True, capture_output=True).returncode:
            continue
        if waiting.strip():
            found.append(waiting)
        waiting = ""
    return [*found, waiting] if waiting else found


def is_elsewhere(command: str) -> bool:
    return command.split()[0] in ELSEWHERE


def mentions(document: str, root: pathlib.Path = ROOT) -> list[str]:
    """The commands of ours that it names and nothing runs here: blocks of ELSEWHERE, and `code` in the text."""
    text = re.sub(r"^```.*?^```\n", "", (root / document).read_text(encoding="utf-8"), flags=re.S | re.M)
    blocks = [c for f in fences(document, root) if f.kind == "sh" for c in commands(f) if is_elsewhere(c)]
    spans = [re.sub(r"\s+", " ", s) for s in re.findall(r"`([^`]+)`", text)]
    return [*blocks, *(s for s in spans if re.match(r"((\.venv/bin/)?python3? |cmake --|ctest --|scripts/\S+\.(py|sh)\b)", s))]


def missing(command: str, root: pathlib.Path = ROOT) -> list[str]:
    """What it names that is not there: programs, modules and files of ours, options of a program, presets."""
    presets = re.findall(r'"name": "(\w+)"', (root / "CMakePresets.json").read_text(encoding="utf-8"))
    absent = [f"--preset {name}" for name in re.findall(r"--preset (\w+)", command) if name not in presets]
    for part in re.split(r"&&|[|;]", command.split("   # ")[0]):
        program = None
        for word in re.findall(r"(?<![\w/.-])(?:scripts|models/minivlm-base|deploy|tests)(?:/[\w.-]+)+", part):
            path = root / word.rstrip(".")
            if not path.exists():
                absent.append(word)
            elif path.suffix in (".py", ".sh") and program is None:
                program = path
        for module in re.findall(r"-m ([\w.]+)", part):
            path = root / "scripts" / (module.replace(".", "/") + ".py")
            if path.is_file():
                program = path
            elif (root / "scripts" / module.split(".")[0]).is_dir():
                absent.append(module)
        known = program.read_text(encoding="utf-8") if program else ""
        absent += [f"{option} of {program.name}" for option in re.findall(r"(?<!\S)--[a-z][\w-]*", part)
                   if program and not re.search(rf"{option}\b(?!-)", known)]
    return absent


class Desk:
    """A folder that looks like the repository's root with the programs installed, and a home with pictures in it."""

    def __init__(self, folder: str, build: pathlib.Path, port: int):
        self.place, self.port = pathlib.Path(folder) / "root", port
        home = pathlib.Path(folder) / "home"
        (self.place / "build").mkdir(parents=True)
        (self.place / "build" / "release").symlink_to(build)
        for name in ("docs", "models", "clients", "web"):
            (self.place / name).symlink_to(ROOT / name)
        (home / "Pictures" / "2026").mkdir(parents=True)
        shutil.copy(ROOT / "docs/photos/cat.jpg", home / "Pictures")
        shutil.copy(ROOT / "docs/photos/coffee.jpg", home / "Pictures" / "2026")
        self.environment = {"PATH": f"{build}:/usr/local/bin:/usr/bin:/bin:/usr/sbin", "HOME": str(home), "LC_ALL": "C.UTF-8",
                            "MINIVLM_SERVER": f"http://127.0.0.1:{port}", "OPENBLAS_NUM_THREADS": "1",
                            "PYTHONPATH": str(ROOT / "clients" / "python")}

    def here(self, text: str) -> str:
        return re.sub(r"(localhost|127\.0\.0\.1):8080", f"127.0.0.1:{self.port}", text)

    def run(self, command: str, image_id: str = "", fails: bool = False) -> subprocess.CompletedProcess:
        """fails: an answer with an error is what the document wants to show."""
        text = re.sub(r"(^|[|]\s*)curl ", r"\1curl -sS " if fails else r"\1curl -sS --fail-with-body ", self.here(command), flags=re.M)
        return subprocess.run(["bash", "-euo", "pipefail", "-c", text.replace("IMAGE_ID", image_id)], cwd=self.place,
                              env=self.environment, capture_output=True, text=True, timeout=120)
