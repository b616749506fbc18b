"""The pictures of the documents: figures in docs/figures/*.json, drawings in docs/images/*.svg."""
import json
import pathlib
import re
import subprocess

from documents import chart
from documents.fences import ROOT

FIGURES, IMAGES = ROOT / "docs/figures", ROOT / "docs/images"
PANELS = {"regions": "regions of a picture", "question": "one question", "greedy caption": "a greedy caption",
          "bytes to caption": "from JPEG to caption"}
ROWS = ("ours", "OpenVINO bf16", "OpenVINO int8", "ONNX Runtime int8", "ONNX Runtime fp32", "mix", "PyTorch eager")
NAMES = {"ours": "minivlm", "mix": "OpenVINO + ORT"}
PHOTOS = {"cat": "what animal is this?", "coffee": "what is on the table?", "raccoon": "what animal is this?", "rocket": "is it outdoors?"}
POINTS = 60  # of a curve


def read(name: str):
    return json.loads((FIGURES / f"{name}.json").read_text(encoding="utf-8"))


def write(name: str, value) -> None:
    FIGURES.mkdir(exist_ok=True)
    (FIGURES / f"{name}.json").write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


# ---- speed: the last comparison in SPEED.md, as scripts/bench/compare.py prints it ----


def rows_of(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.splitlines()]


def speed_of(log: str) -> dict:
    """{"what", "milliseconds": {row: {panel: [median, lower, upper quartile]}}, "captions_a_second": [[who, clients, rate]]}"""
    tables = list(re.finditer(r"^\| milliseconds \|.*\n(?:\|.*\n)*\| best peer over ours \|.*\n", log, re.M))
    about = re.findall(r"^\d+\. \*\*(.*?)\*\*", log[:tables[-1].start()], re.M)[-1]
    head, _, *rows = rows_of(tables[-1][0])
    times: dict[str, dict[str, list[float]]] = {}
    for name, *cells in rows:
        for panel, cell in zip(head[1:], cells):
            m = re.fullmatch(r"([\d.]+) \(([\d.]+)-([\d.]+)\)", cell)
            if m and panel in PANELS:
                times.setdefault(name, {})[panel] = [float(v) for v in m.groups()]
    served = re.search(r"^\| greedy captions \| clients \|.*\n(?:\|.*\n)+", log[tables[-1].end():], re.M)
    rates = [[name, int(clients), float(rate)] for name, clients, rate, *_ in rows_of(served[0])[2:]] if served else []
    return {"what": about, "milliseconds": times, "captions_a_second": rates}


def draw_speed(speed: dict) -> str:
    times = speed["milliseconds"]
    title = "Milliseconds of one request on one thread, median; shorter is better"
    parts = [chart.text(24, 34, title, "head")]
    y = 56.0
    for i, (panel, name) in enumerate(PANELS.items()):
        rows = [(NAMES.get(row, row), times[row][panel][0], f"{times[row][panel][0]:.1f}") for row in ROWS if panel in times.get(row, {})]
        drawn, high = chart.bars(24 + 450 * (i % 2), y, 430, name, rows, lambda n: n == "minivlm")
        parts.append(drawn)
        y += (high + 26) * (i % 2)
    if speed["captions_a_second"]:
        parts.append(chart.text(24, y + 8, "Greedy captions a second over HTTP, two cores; longer is better", "head"))
        for i, clients in enumerate(dict.fromkeys(clients for _, clients, _ in speed["captions_a_second"])):
            rows = [("minivlm" if who == "ours" else "FastAPI", rate, f"{rate:.0f}") for who, n, rate in speed["captions_a_second"] if n == clients]
            drawn, high = chart.bars(24 + 450 * (i % 2), y + 26, 430, f"{clients} client{'s' if clients > 1 else ''}", rows, lambda n: n == "minivlm")
            parts.append(drawn)
            y += (high + 26) * (i % 2)
        y += 26 if len(speed["captions_a_second"]) % 4 == 0 else high + 52
    parts.append(chart.text(24, y + 8, speed["what"], "small"))
    return chart.whole(928, int(y) + 26, title, parts)


# ---- training: a log of scripts/train, condensed ----


def training_of(log: pathlib.Path) -> dict:
    """{"stage", "curves": {name: [[step, mean of a stretch], ...]}}; a step that was done again after a stop counts once."""
    rows: dict[int, dict] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        rows.setdefault(row["step"], {}).update(row)
    curves = {}
    for name in dict.fromkeys(n for row in rows.values() for n in row):
        points = sorted((step, row[name]) for step, row in rows.items() if name in row)
        if name in ("stage", "step", "minutes") or len(points) < 2:
            continue
        size = -(-len(points) // POINTS)
        groups = [points[i:i + size] for i in range(0, len(points), size)]
        curves[name] = [[g[-1][0], round(sum(v for _, v in g) / len(g), 4)] for g in groups]
    return {"stage": next(iter(rows.values()))["stage"], "curves": curves}


def draw_training(training: dict) -> str:
    named = {"caption": "captions: loss", "vqa": "questions: loss", "retrieve": "matching: loss"}
    title = f"Training, stage \u201c{training['stage']}\u201d"
    parts = [chart.text(24, 34, title, "head")]
    for i, (name, points) in enumerate(training["curves"].items()):
        parts.append(chart.curve(24 + 300 * (i % 3), 52 + 210 * (i // 3), 290, 200, named.get(name, name.replace("_", " ")), points, "steps"))
    return chart.whole(928, 52 + 210 * -(-len(training["curves"]) // 3) + 12, title, parts)


# ---- what the model says of the samples of the page ----


def said_of(program: pathlib.Path, model: pathlib.Path) -> dict:
    def ask(*command) -> dict:
        done = subprocess.run([program, *command], cwd=ROOT, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)
    photos = {}
    for name, question in PHOTOS.items():
        picture = f"web/{name}.webp"
        caption = ask("caption", "--model", model, "--json", picture)
        answer = ask("vqa", "--model", model, "--json", "--question", question, picture)
        photos[name] = {"caption": caption["caption"], "question": question, "answer": answer["answer"], "score": round(answer["score"], 2)}
    return {"model": caption["model"], "photos": photos}


def draw_captions(said: dict) -> str:
    parts = []
    for i, (name, one) in enumerate(said["photos"].items()):
        parts.append(chart.card(24 + 450 * (i % 2), 24 + 366 * (i // 2), 430, ROOT / f"web/{name}.webp", one["caption"],
                                [f"{one['question']}  {one['answer']} ({100 * one['score']:.0f} %)"]))
    height = 24 + 366 * -(-len(said["photos"]) // 2)
    parts.append(chart.text(24, height, f"{said['model']}. Cat: St\u00e9fan van der Walt; coffee: Rachel Michetti (both CC0). Raccoon: "
                            "public-domain-image.com; rocket: SpaceX (public domain).", "small"))
    return chart.whole(928, height + 18, "Four photographs, each with the caption and an answer of the model", parts)


def drawings() -> dict[str, str]:
    """{file in docs/images: its text}"""
    return {"speed.svg": draw_speed(read("speed")), "training.svg": draw_training(read("training")),
            "captions.svg": draw_captions(read("captions"))}
