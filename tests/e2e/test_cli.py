#!/usr/bin/env python3
"""The program `minivlm` as a user meets it: every command, every exit code, what it prints and where.

Answers are those of tests/golden/tiny.json; captions are compared without spaces, for the program writes "t-shirt"
where the reference writes its pieces, "t - shirt". MINIVLM_BUILD_DIR names the build folder (default build/release)."""
import contextlib
import json
import os
import pathlib
import pty
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = str(pathlib.Path(os.environ.get("MINIVLM_BUILD_DIR", ROOT / "build/release")).resolve() / "minivlm")
TINY, IMAGES = "tests/data/tiny", "tests/data/images"
GOLDEN = json.loads((ROOT / "tests/golden/tiny.json").read_text(encoding="utf-8"))["images"]
PICTURES = {name: f"{IMAGES}/{name}.png" for name in GOLDEN}
WAVES, DISCS = PICTURES["waves"], PICTURES["discs"]
COMMANDS = ("caption", "vqa", "retrieve", "regions", "inspect", "bench")
QUESTIONS = [q["question"] for q in GOLDEN["waves"]["vqa"]]
SENTENCES = [r["text"] for r in GOLDEN["waves"]["retrieve"]]
ENVIRONMENT = {**os.environ, "MINIVLM_MODEL": TINY, "TERM": "xterm"}
OK, FAILED, USAGE = 0, 1, 2


def start(*arguments, **settings) -> subprocess.Popen:
    pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
    return subprocess.Popen([PROGRAM, *arguments], **{"cwd": ROOT, "env": ENVIRONMENT, **pipes, **settings})


def run(*arguments, given=b"", **settings) -> tuple[int, str, str]:
    """-> exit code, standard output, standard error"""
    with start(*arguments, **settings) as process:
        try:
            out, err = process.communicate(given, timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, (out or b"").decode(), (err or b"").decode()


def rows(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def lines(*objects) -> bytes:
    return "".join((o if isinstance(o, str) else json.dumps(o)) + "\n" for o in objects).encode()


def repeated(option: str, values) -> list[str]:
    return [part for value in values for part in (option, value)]


def squeezed(text: str) -> str:
    return text.replace(" ", "")


class Case(unittest.TestCase):
    def json(self, *arguments, code=OK, **settings) -> list[dict]:
        got, out, err = run(*arguments, "--json", **settings)
        self.assertEqual((got, err), (code, ""))
        return rows(out)

    def text(self, *arguments, code=OK, **settings) -> str:
        got, out, err = run(*arguments, **settings)
        self.assertEqual((got, err), (code, ""))
        return out

    def refused(self, code: int, *arguments, saying: str, **settings):
        """Nothing but one line of complaint."""
        got, out, err = run(*arguments, **settings)
        self.assertEqual((got, out, err.count("\n")), (code, "", 1), err)
        self.assertIn(saying, err)


class Usage(Case):
    def test_help(self):
        for arguments in (("--help",), ("-h",), ("help",)):
            out = self.text(*arguments)
            for command in COMMANDS:
                self.assertIn(f"\n  {command} ", out)
        for command in COMMANDS:
            out = self.text(command, "--help")
            self.assertTrue(out.startswith(f"usage: minivlm {command} [OPTION]..."), out)
            self.assertIn("--model DIR", out)
            self.assertEqual(self.text("help", command), out)
        self.assertIn("--question Q", self.text("vqa", "-h"))
        self.assertNotIn("--question", self.text("caption", "-h"))

    def test_version(self):
        self.assertRegex(self.text("--version"), r"^minivlm \d+\.\d+\.\d+\n$")

    def test_manual_and_completions(self):
        """Both programs: every option of --help is in them, and bash can read what it is given."""
        for name in ("minivlm", "minivlm-server"):
            program = pathlib.Path(PROGRAM).with_name(name)

            def told(*arguments, program=program):
                done = subprocess.run([program, *arguments], capture_output=True, text=True, check=True, timeout=60)
                return done.stdout
            man, bash, zsh = (told(f) for f in ("--print-man", "--print-completion=bash", "--print-completion=zsh"))
            helps = [told(c, "--help") for c in COMMANDS] if name == "minivlm" else [told("--help")]
            options = {line.split()[0].rstrip(",*") for page in helps for line in page.splitlines()
                       if line.startswith("  --") or line.startswith("  --", 4)}
            self.assertGreater(len(options), 20)
            for option in options:
                self.assertIn("\\-\\-" + option[2:].replace("-", "\\-"), man)
                self.assertIn(option, bash)
                self.assertIn("'" + option, zsh)
            subprocess.run(["bash", "-n"], input=bash, text=True, check=True, timeout=60)

    def test_nothing_given(self):
        code, out, err = run()
        self.assertEqual((code, out), (USAGE, ""))
        self.assertTrue(err.startswith("usage: minivlm COMMAND"))

    def test_wrong_usage(self):
        for arguments, saying in {
            ("draw",): 'unknown command "draw"',
            ("--json", "caption", WAVES): "--json must follow the command",
            ("caption",): "an image is missing",
            ("caption", "--frobnicate", WAVES): "option --frobnicate",
            ("caption", "-x", WAVES): "option -x",
            ("caption", "--json=5", WAVES): "--json takes no value",
            ("caption", WAVES, "--model"): "a value is missing after --model",
            ("caption", "--t", WAVES): "ambiguous option --t",
            ("caption", "--question", "who?", WAVES): "option --question",
            ("caption", "--num-beams", "11", WAVES): "a number from 1 to 10",
            ("caption", "--num-beams", "2x", WAVES): '"2x"',
            ("caption", "--num-beams", "2", "--num-captions", "3", WAVES): "--num-captions is more than --num-beams",
            ("caption", "--length-penalty", "nan", WAVES): "a number is expected",
            ("caption", "--isa", "sse9", WAVES): '"sse9"',
            ("caption", "--threads", "0", WAVES): "--threads",
            ("caption", "--regions", WAVES): "need --json",
            ("caption", "--jsonl", "-", WAVES): "belong in its lines",
            ("caption", "-", "-"): "only once",
            ("vqa", WAVES): "--question is missing",
            ("vqa", "--top-k", "21", "--question", "who?", WAVES): "a number from 1 to 20",
            ("retrieve", WAVES): "--text is missing",
            ("regions", "--draw", "out.jpg", WAVES, DISCS): "--draw takes one image",
            ("inspect", WAVES): "no image is expected",
            ("bench", "--rounds", "-1", WAVES): "--rounds",
        }.items():
            with self.subTest(arguments):
                self.refused(USAGE, *arguments, saying=saying)


class Models(Case):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.model = pathlib.Path(shutil.copytree(ROOT / TINY, f"{self.folder}/model"))

    def test_missing_model(self):
        bare = {k: v for k, v in ENVIRONMENT.items() if k != "MINIVLM_MODEL"}
        self.refused(FAILED, "caption", "x.png", saying="--model DIR or MINIVLM_MODEL", cwd=self.folder, env=bare)
        for command in ("caption", "bench"):
            self.refused(FAILED, command, "-m", "/nowhere", WAVES, saying="no model in /nowhere")

    def test_missing_file(self):
        for name in ("labels.json", "vocab.txt", "model.safetensors"):
            (self.model / name).rename(self.model / "away")
            self.refused(FAILED, "inspect", "--model", str(self.model), saying=name)
            (self.model / "away").rename(self.model / name)

    def test_damaged(self):
        path = self.model / "model.safetensors"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        self.text("inspect", "--model", str(self.model))
        self.refused(FAILED, "inspect", "--verify", "--model", str(self.model), saying="SHA-256")
        path.write_bytes(content[:1000])
        self.refused(FAILED, "inspect", "--model", str(self.model), saying="model.safetensors")

    def test_inspect(self):
        row, = self.json("inspect", "--verify", "--threads", "3")
        config = json.loads((ROOT / TINY / "config.json").read_text())
        self.assertEqual((row["model"], row["sha256"], row["engine_threads"]), ("tiny", config["weights"]["sha256"], 3))
        out = self.text("inspect", "--threads", "3")
        for key in ("model", "version", "sha256", "isa", "gemm", "precision", "answers", "num_beams", "max_tokens"):
            self.assertIn(str(row[key]), out)

    def test_plan(self):
        found = self.json("inspect", "--plan", "--threads", "1")
        config = json.loads((ROOT / TINY / "config.json").read_text())
        stem, = [r for r in found if r["kernel"] == "conv_rgb"]
        self.assertEqual((stem["stage"], stem["step"], stem["n"], stem["k"]), ("regions", "stem", config["backbone"]["stem"], 27))
        self.assertEqual(stem["operations"], 2 * stem["m"] * stem["n"] * stem["k"])
        layers = {r["turn"] for r in found if r["stage"] == "words" and r["step"] == "layer"}
        self.assertEqual(len(layers), config["fusion"]["layers"])
        self.assertEqual([r["stage"] for r in found],
                         sorted((r["stage"] for r in found), key=("regions", "question", "caption", "words").index))
        self.assertEqual(found, self.json("inspect", "--plan", "--isa", "ref", "--threads", "1"))
        self.assertEqual({r["cuts"] for r in found}, {1})
        shared = self.json("inspect", "--plan", "--isa", "ref", "--threads", "3", "--split", "2")
        self.assertEqual(max(r["cuts"] for r in shared), 2)  # plain C takes long enough even with a tiny model
        self.assertEqual(found, [{**r, "cuts": 1} for r in shared])
        out = self.text("inspect", "--plan")
        for word in ("conv_rgb", "depthwise", "attend_block", "relu6" if "relu6" in json.dumps(config) else "swish", "in all"):
            self.assertIn(word, out)
        self.refused(USAGE, "inspect", "--plan", WAVES, saying="no image is expected")

    def test_stages(self):
        found = self.json("bench", "--stages", "--rounds", "2", WAVES, DISCS)
        self.assertEqual({r["runs"] for r in found}, {4})
        for stage, kernel in (("regions", "gemm"), ("regions", "roi_align"), ("question", "attend_block"), ("words", "attend")):
            self.assertTrue(any(r["stage"] == stage and r["kernel"] == kernel and r["ms"] > 0 for r in found), kernel)
        self.assertEqual([r["step"] for r in found if r["stage"] == "picture"], ["decode", "resize"])
        self.assertTrue(all(r["peak_gflops"] > 0 for r in found))
        self.assertIn("measured peak", self.text("bench", "--stages", "--rounds", "1", WAVES))
        self.refused(FAILED, "bench", "--stages", f"{TINY}/vocab.txt", saying="vocab.txt: ")
        self.refused(USAGE, "caption", "--stages", WAVES, saying="--stages")

    def test_bench(self):
        found = self.json("bench", "--rounds", "1", "--at-once", "3", WAVES)
        names = [row["name"] for row in found]
        for name in ("decode", "regions", "vqa", "retrieve", "caption greedy", "greedy in all", "captions, 1 thread", "peak memory"):
            self.assertIn(name, names)
        self.assertTrue(all(0 < row["min"] <= row["median"] <= row["max"] for row in found), found)
        self.assertIn("caption greedy", self.text("bench", "--rounds", "1", WAVES))
        self.refused(FAILED, "bench", f"{TINY}/vocab.txt", saying="vocab.txt: ")


class Golden(Case):
    def rows(self, *arguments):
        """(what the reference says, what the program says) for each picture."""
        found = self.json(*arguments, *PICTURES.values())[:len(PICTURES)]
        self.assertEqual([row["file"] for row in found], list(PICTURES.values()))
        for name, row in zip(PICTURES, found):
            height, width = GOLDEN[name]["upright"]
            self.assertEqual((row["image"]["width"], row["image"]["height"]), (width, height))
            yield GOLDEN[name], row

    def same(self, found, expected, key):
        """Pairs of (text, score)."""
        self.assertEqual([squeezed(f[key]) for f in found], [squeezed(t) for t, _ in expected])
        for f, (_, score) in zip(found, expected):
            self.assertAlmostEqual(f["score"], score, delta=1e-3)

    def test_captions(self):
        for golden, row in self.rows("caption"):
            self.same(row["captions"], [(b["text"], b["score"]) for b in golden["caption"]["beams"][:1]], "text")
            self.assertEqual(row["caption"], row["captions"][0]["text"])
        for golden, row in self.rows("caption", "--num-captions", "3"):
            self.same(row["captions"], [(b["text"], b["score"]) for b in golden["caption"]["beams"]], "text")
        for golden, row in self.rows("caption", "--num-beams", "1"):
            greedy = golden["caption"]["greedy"]
            self.same(row["captions"], [(greedy["text"], greedy["score"])], "text")

    def test_image_half_in_bytes(self):
        """Scores of the reference with scripts/minivlm/quantised.py, and without."""
        for precision, scores in (("auto", [0.8189, 0.7825, 0.7300, 0.7198]), ("fp32", [0.8239, 0.7812, 0.7324, 0.7288])):
            row, = self.json("regions", "--precision", precision, "--model", "tests/data/tiny-lite", WAVES)
            for found, expected in zip(row["regions"], scores, strict=True):
                self.assertAlmostEqual(found["score"], expected, delta=5e-4)

    def test_answers(self):
        for golden, row in self.rows("vqa", *repeated("--question", QUESTIONS)):
            for asked, answered in zip(golden["vqa"], row["results"], strict=True):
                self.assertEqual(answered["question"], asked["question"])
                self.same(answered["answers"], list(zip(asked["answers"], asked["scores"])), "answer")

    def test_matches(self):
        table, = self.json("retrieve", *repeated("--text", SENTENCES), *PICTURES.values())
        self.assertEqual((table["files"], table["texts"]), (list(PICTURES.values()), SENTENCES))
        for golden, row in zip(GOLDEN.values(), table["scores"], strict=True):
            for found, expected in zip(row, golden["retrieve"], strict=True):
                self.assertAlmostEqual(found, expected["score"], delta=1e-3)

    def test_ranking(self):
        table, = self.json("retrieve", *repeated("--text", SENTENCES), *PICTURES.values())
        for n in range(len(SENTENCES)):
            best = sorted(PICTURES, key=lambda name: -GOLDEN[name]["retrieve"][n]["score"])
            self.assertEqual([table["files"][r["image"]] for r in table["results"] if r["text"] == n],
                             [PICTURES[name] for name in best])

    def test_regions(self):
        for golden, row in self.rows("regions"):
            self.same(row["regions"], list(zip(golden["labels"], golden["scores"])), "label")
        for golden, row in self.rows("regions", "--min-score", "0.9"):
            self.assertEqual(len(row["regions"]), sum(s >= 0.9 for s in golden["scores"]))

    def test_explained(self):
        row, = self.json("vqa", "--regions", "--explain", *repeated("--question", QUESTIONS), WAVES)
        self.assertEqual([r["label"] for r in row["regions"]], GOLDEN["waves"]["labels"])
        for result in row["results"]:
            self.assertEqual(len(result["explain"]["region_weights"]), len(row["regions"]))
            self.assertAlmostEqual(sum(result["explain"]["region_weights"]), 1.0, places=4)


class Text(Case):
    """What people read says what --json says."""

    def both(self, *arguments):
        return self.text(*arguments).splitlines(), self.json(*arguments)

    def same_score(self, line: str, score: float, rest: str):
        found, text = line.split(None, 1)
        self.assertAlmostEqual(float(found), score, delta=0.0051)
        self.assertEqual(text, rest)

    def test_captions(self):
        out, found = self.both("caption", WAVES)
        self.assertEqual(out, [found[0]["caption"]])
        out, found = self.both("caption", WAVES, DISCS)
        self.assertEqual(out, [f"{row['file']}: {row['caption']}" for row in found])
        out, found = self.both("caption", "--num-captions", "2", WAVES, DISCS)
        for row in found:
            self.assertEqual(out.pop(0), f"{row['file']}:")
            for caption in row["captions"]:
                self.same_score(out.pop(0), caption["score"], caption["text"])
        self.assertEqual(out, [])

    def test_answers(self):
        out, found = self.both("vqa", "--top-k", "2", *repeated("--question", QUESTIONS), WAVES)
        for result in found[0]["results"]:
            self.assertEqual(out.pop(0), result["question"])
            for answer in result["answers"]:
                self.same_score(out.pop(0), answer["score"], answer["answer"])
        self.assertEqual(out, [])

    def test_matches(self):
        out, found = self.both("retrieve", *repeated("--text", SENTENCES), WAVES, DISCS)
        table, = found
        for file, scores in zip(table["files"], table["scores"], strict=True):
            self.assertEqual(out.pop(0), f"{file}:")
            for score, text in sorted(zip(scores, table["texts"]), reverse=True):
                self.same_score(out.pop(0), score, text)
        for n, text in enumerate(table["texts"]):
            self.assertEqual(out.pop(0), f'"{text}"')
            for result in (r for r in table["results"] if r["text"] == n):
                self.same_score(out.pop(0), result["score"], table["files"][result["image"]])
        self.assertEqual(out, [])

    def test_regions(self):
        out, found = self.both("regions", WAVES)
        for line, region in zip(out, found[0]["regions"], strict=True):
            score, *box, label = line.split(None, 5)
            self.same_score(f"{score} {label}", region["score"], region["label"])
            for found_at, expected in zip(box, region["box"], strict=True):
                self.assertAlmostEqual(float(found_at), expected, delta=0.051)


class Inputs(Case):
    BAD = {f"{IMAGES}/nothere.png": "io_error", f"{WAVES}/inside.png": "io_error", f"{TINY}/model.safetensors": "unsupported_image",
           f"{IMAGES}/codec/truncated.jpg": "corrupt_image"}

    def test_bad_ones_among_good_ones(self):
        files = [WAVES, *self.BAD, DISCS]
        found = self.json("caption", *files, code=FAILED)
        self.assertEqual([row["file"] for row in found], files)
        self.assertEqual([row["error"]["code"] for row in found[1:-1]], list(self.BAD.values()))
        code, out, err = run("caption", *files)
        self.assertEqual((code, out.count("\n"), err.count("\n")), (FAILED, 2, len(self.BAD)))
        for line, (name, slug) in zip(err.splitlines(), self.BAD.items()):
            self.assertTrue(line.startswith(f"minivlm: {name}: ") and line.endswith(f"({slug})"), line)

    def test_failed_picture_is_not_ranked(self):
        table, = self.json("retrieve", "--text", "a dog", WAVES, "nothere.png", DISCS, code=FAILED)
        self.assertEqual({r["image"] for r in table["results"]}, {0, 2})
        self.assertEqual((table["scores"][1], table["images"][1]["error"]["code"]), (None, "io_error"))

    def test_truncated(self):
        row, = self.json("caption", "--tolerate-truncated", f"{IMAGES}/codec/truncated.jpg")
        self.assertEqual(len(row["image"]["warnings"]), 1)

    def test_standard_input(self):
        picture = (ROOT / WAVES).read_bytes()
        self.assertEqual(self.text("caption", "-", given=picture), self.text("caption", WAVES))
        first, second = self.json("caption", DISCS, "-", given=picture)
        self.assertEqual((first["file"], second["file"]), (DISCS, "-"))
        self.assertEqual(squeezed(second["caption"]), squeezed(GOLDEN["waves"]["caption"]["beams"][0]["text"]))
        self.refused(FAILED, "caption", "-", saying="-: the file is empty")
        self.refused(FAILED, "caption", "-", saying="(io_error)", stdin=None, preexec_fn=lambda: os.close(0))


class Lines(Case):
    def jsonl(self, command: str, *objects, code=OK, options=()) -> list[dict]:
        return self.json(command, "--jsonl", "-", *options, given=lines(*objects), code=code)

    def test_order(self):
        files = [PICTURES[name] for name in PICTURES] * 25
        found = self.jsonl("caption", *({"image": f} for f in files), options=("--threads", "4"))
        self.assertEqual([row["file"] for row in found], files)
        for row, name in zip(found, list(PICTURES) * 25):
            self.assertEqual(squeezed(row["caption"]), squeezed(GOLDEN[name]["caption"]["beams"][0]["text"]))

    def test_every_command(self):
        one, many = self.jsonl("vqa", {"image": WAVES, "question": QUESTIONS[0]},
                               {"image": DISCS, "questions": QUESTIONS})
        self.assertEqual(one["answer"], GOLDEN["waves"]["vqa"][0]["answers"][0])
        self.assertEqual([r["answer"] for r in many["results"]], [q["answers"][0] for q in GOLDEN["discs"]["vqa"]])
        row, = self.jsonl("retrieve", {"image": WAVES, "texts": SENTENCES})
        self.assertEqual(row["texts"], SENTENCES)
        row, = self.jsonl("regions", {"image": WAVES})
        self.assertEqual([r["label"] for r in row["regions"]], GOLDEN["waves"]["labels"])
        self.assertEqual((row["image"]["height"], row["image"]["width"]), tuple(GOLDEN["waves"]["upright"]))

    def test_bad_lines(self):
        found = self.jsonl("caption", "not JSON", "", {"image": WAVES}, "[]", {"image": 5}, {"image": "nothere.png"},
                           {"image": "-"}, {"image": WAVES, "question": "who?"}, {"image": DISCS}, code=FAILED)
        self.assertEqual(["error" in row for row in found], [True, False, True, True, True, True, True, False])
        told = [row["error"]["message"] for row in found if "error" in row]
        self.assertEqual([t.split(":")[0] for t in told if "line" in t], [f"line {n}" for n in (1, 4, 5, 7, 8)])
        self.assertEqual(found[4], {"file": "nothere.png", "error": {"code": "io_error",
                                                                     "message": "No such file or directory"}})

    def test_files_of_lines(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(lines({"image": WAVES}).rstrip(b"\n"))
            file.flush()
            row, = rows(self.text("caption", "--jsonl", file.name))
        self.assertEqual(row["file"], WAVES)
        self.assertEqual(self.text("caption", "--jsonl", "/dev/null"), "")
        self.refused(FAILED, "caption", "--jsonl", "nothere.jsonl", saying="nothere.jsonl: No such file")
        code, out, _ = run("caption", "--jsonl", WAVES)  # a picture where lines were expected: one sentence
        self.assertEqual((code, len(out.splitlines())), (FAILED, 1))
        self.assertIn("--json prints JSON", out)
        code, out, _ = run("caption", "--jsonl", IMAGES)
        self.assertEqual((code, rows(out)[0]["error"]["code"]), (FAILED, "io_error"))

    def test_many_of_one_picture(self):
        """Answers from the cache are there before their submission returns."""
        found = self.jsonl("caption", *[{"image": WAVES}] * 2000)
        self.assertEqual(len({row["caption"] for row in found}), 1)
        self.assertEqual(len(found), 2000)

    def test_answer_before_the_next_line(self):
        with start("caption", "--jsonl", "-") as process:
            self.addCleanup(process.kill)
            for picture in (WAVES, DISCS, WAVES):
                process.stdin.write(lines({"image": picture}))
                process.stdin.flush()
                self.assertTrue(select.select([process.stdout], [], [], 20)[0], "no answer")
                self.assertEqual(json.loads(process.stdout.readline())["file"], picture)
            process.stdin.close()
            self.assertEqual(process.wait(20), OK)


class Output(Case):
    def endless(self, **settings):
        """A process in the midst of work without end; its first line has been read."""
        process = start("caption", "--jsonl", "-", **settings)
        self.addCleanup(process.kill)

        def feed():
            with contextlib.suppress(BrokenPipeError), process.stdin:
                while True:
                    process.stdin.write(lines(*[{"image": WAVES}] * 1000))
        feeder = threading.Thread(target=feed)
        feeder.start()
        self.addCleanup(feeder.join)
        self.assertEqual(json.loads(process.stdout.readline())["file"], WAVES)
        return process

    def end(self, process) -> tuple[int, bytes]:
        code = process.wait(20)
        told = process.stderr.read()
        process.stderr.close()
        return code, told

    def test_closed_pipe(self):
        process = self.endless()
        process.stdout.close()
        self.assertEqual(self.end(process), (-signal.SIGPIPE, b""))

    def test_closed_pipe_without_the_signal(self):
        process = self.endless(restore_signals=False)  # Python ignores SIGPIPE, the child inherits it
        process.stdout.close()
        code, told = self.end(process)
        self.assertEqual(code, FAILED)
        self.assertIn(b"minivlm: standard output: ", told)

    def test_interrupted(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            process = self.endless()
            process.send_signal(number)
            rest = process.stdout.read()
            process.stdout.close()
            self.assertEqual(self.end(process), (-number, b""))
            self.assertTrue(rest == b"" or rest.endswith(b"}\n"), rest[-80:])  # whole lines only

    def test_full_disc(self):
        for arguments in (("caption", WAVES), ("inspect",), ("--help",)):
            with open("/dev/full", "wb") as full:
                code, _, err = run(*arguments, stdout=full)
            self.assertEqual(code, FAILED)
            self.assertIn("standard output", err)


class Same(Case):
    """Answers depend neither on threads nor, in their words, on the instruction set."""
    RUNS = {"caption": [], "vqa": repeated("--question", QUESTIONS), "retrieve": repeated("--text", SENTENCES),
            "regions": []}

    def test_threads(self):
        for command, options in self.RUNS.items():
            with self.subTest(command):
                one, four = (self.text(command, "--json", *options, "--threads", n, *PICTURES.values(),
                                       *PICTURES.values()) for n in "14")
                self.assertEqual(one, four)

    def words(self, command: str, isa: str) -> list:
        options = self.RUNS[command] + ["--isa", isa]
        if command == "retrieve":
            table, = self.json(command, *options, *PICTURES.values())
            return [[r["image"] for r in table["results"] if r["text"] == n] for n in range(len(SENTENCES))]
        return [line.lstrip(" 0123456789.") for line in self.text(command, *options, *PICTURES.values()).splitlines()]

    def test_instruction_sets(self):
        for command in self.RUNS:
            with self.subTest(command):
                self.assertEqual(self.words(command, "ref"), self.words(command, "auto"))


def jpeg_size(content: bytes) -> tuple[int, int]:
    """(width, height) of the frame header."""
    at = 2
    while content[at] == 0xff:
        kind, length = content[at + 1], int.from_bytes(content[at + 2:at + 4], "big")
        if 0xc0 <= kind <= 0xc2:
            return int.from_bytes(content[at + 7:at + 9], "big"), int.from_bytes(content[at + 5:at + 7], "big")
        at += 2 + length
    raise ValueError("no frame header")


class Draw(Case):
    def draw(self, *options) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            self.text("regions", "--draw", f"{folder}/out.jpg", *options)
            return pathlib.Path(folder, "out.jpg").read_bytes()

    def test_pictures(self):
        for name, path in PICTURES.items():
            drawn, bare = self.draw(path), self.draw("--min-score", "1.1", path)
            height, width = GOLDEN[name]["upright"]
            self.assertEqual(drawn[:2], b"\xff\xd8")
            self.assertEqual(jpeg_size(drawn), (width, height))
            self.assertEqual(jpeg_size(bare), (width, height))
            self.assertNotEqual(drawn, bare)  # the same encoder: other bytes are other pixels
            row, = self.json("regions", "-", given=drawn)
            self.assertEqual((row["image"]["width"], row["image"]["height"]), (width, height))

    def test_turned(self):
        """Drawn upright: EXIF 6 swaps the sides."""
        row, = self.json("regions", f"{IMAGES}/codec/exif-6.jpg")
        size = row["image"]["width"], row["image"]["height"]
        self.assertEqual(size[::-1], jpeg_size((ROOT / IMAGES / "codec/exif-6.jpg").read_bytes()))
        self.assertEqual(jpeg_size(self.draw(f"{IMAGES}/codec/exif-6.jpg")), size)

    def test_cannot_be_written(self):
        self.refused(FAILED, "regions", "--draw", "/nowhere/out.jpg", WAVES, saying="/nowhere/out.jpg")


class Progress(Case):
    def watch(self, options=(), is_terminal=True, term="xterm") -> bytes:
        """Standard error of a run that still works after half a second."""
        ours, theirs = pty.openpty() if is_terminal else os.pipe()
        with start("caption", "--jsonl", "-", *options, stderr=theirs, env={**ENVIRONMENT, "TERM": term}) as process:
            os.close(theirs)
            for picture in (WAVES, DISCS):
                process.stdin.write(lines({"image": picture}))
                process.stdin.flush()
                process.stdout.readline()
                time.sleep(0.6)
            process.stdin.close()
            process.wait(20)
        seen = b""
        with contextlib.suppress(OSError):  # a terminal without another end
            while piece := os.read(ours, 4096):
                seen += piece
        os.close(ours)
        return seen

    def test_bar(self):
        seen = self.watch()
        self.assertRegex(seen, rb"^\r1 done  \d\.\d/s\x1b\[K")
        self.assertTrue(seen.endswith(b"\r\x1b[K"), seen)

    def test_no_bar(self):
        self.assertEqual(self.watch(is_terminal=False), b"")
        self.assertEqual(self.watch(options=("--no-progress",)), b"")
        self.assertEqual(self.watch(term="dumb"), b"")


class Shipped(Case):
    """The model that users have, once through every command."""
    ENVIRONMENT = {k: v for k, v in ENVIRONMENT.items() if k != "MINIVLM_MODEL"}

    def shipped(self, *arguments) -> dict:
        row, *_ = self.json(*arguments, env=self.ENVIRONMENT)
        return row

    def test_all(self):
        labels = json.loads((ROOT / "models/minivlm-base/labels.json").read_text())
        row = self.shipped("inspect", "--verify")
        self.assertEqual((row["model"], row["answers"]), ("minivlm-base", len(labels["answers"])))
        self.assertRegex(self.shipped("caption", DISCS)["caption"], r"^[a-z]+( [a-z'-]+){2,}")
        self.assertIn(self.shipped("vqa", "--question", "Is there a dog?", DISCS)["answer"], labels["answers"])
        self.assertTrue(0 <= self.shipped("retrieve", "--text", "a dog runs", DISCS)["scores"][0][0] <= 1)
        self.assertLessEqual({r["label"] for r in self.shipped("regions", DISCS)["regions"]}, set(labels["objects"]))


if __name__ == "__main__":
    unittest.main()
