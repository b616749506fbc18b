#!/usr/bin/env python3
"""The program `minivlm` as a user meets it: every command, every exit code, what it prints and where.

Answers are those of tests/golden/tiny.json; captions are compared without spaces, for the program writes "t-shirt"
where the reference writes its pieces, "t - shirt"."""
import json
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from program import (
    DISCS,
    ENVIRONMENT,
    FAILED,
    GOLDEN,
    IMAGES,
    PICTURES,
    PROGRAM,
    QUESTIONS,
    ROOT,
    SENTENCES,
    TINY,
    USAGE,
    WAVES,
    Case,
    repeated,
    run,
    squeezed,
)

COMMANDS = ("caption", "vqa", "retrieve", "regions", "inspect", "bench", "import", "search")


class Usage(Case):
    def test_help(self):
        for arguments in (("--help",), ("-h",), ("help",)):
            out = self.text(*arguments)
            for command in COMMANDS:
                self.assertIn(f"\n  {command} ", out)
        for command in COMMANDS:
            out = self.text(command, "--help")
            self.assertTrue(out.startswith(f"usage: minivlm {command} [OPTION]..."), out)
            self.assertIn("--collection NAME" if command in ("import", "search") else "--model DIR", out)
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
            for text in (man, *helps):
                self.assertNotIn(" \n", text)
            self.assertEqual(zsh.count("'*--"), 2 * (name == "minivlm"))  # --question and --text may be repeated
            for option in options:
                self.assertIn("\\-\\-" + option[2:].replace("-", "\\-"), man)
                self.assertIn(option, bash)
                self.assertRegex(zsh, r"'\*?" + option)
            subprocess.run(["bash", "-n"], input=bash, text=True, check=True, timeout=60)

    def offered(self, folder, *words):
        """What bash offers for the last of the words, in this folder."""
        program = pathlib.Path(PROGRAM).with_name(words[0])
        script = ('eval "$("$0" --print-completion=bash)"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
                  '"_${1//-/_}"; printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(["bash", "-c", script, program, *words], cwd=folder, capture_output=True, text=True, check=True, timeout=60)
        self.assertEqual(done.stderr, "")
        return sorted(filter(None, done.stdout.split("\n")))

    def test_completion(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("out.csv", "out 2.jsonl", "other.jpg"):
                pathlib.Path(folder, name).touch()
            pathlib.Path(folder, "outer").mkdir()
            for words, expected in (
                (("minivlm", "ca"), ["caption"]),
                (("minivlm", "caption", "--num-c"), ["--num-captions"]),
                (("minivlm", "caption", "--output", "out"), ["out 2.jsonl", "out.csv", "outer"]),
                (("minivlm", "caption", "--output", "=", "out."), ["out.csv"]),
                (("minivlm", "caption", "--output", "="), ["other.jpg", "out 2.jsonl", "out.csv", "outer"]),
                (("minivlm", "vqa", "--jsonl", "out"), ["out 2.jsonl", "out.csv", "outer"]),
                (("minivlm", "regions", "--draw", "oth"), ["other.jpg"]),
                (("minivlm", "caption", "--model", "o"), ["outer"]),  # folders only
                (("minivlm", "caption", "--sidecar", ""), ["xmp"]),
                (("minivlm", "caption", "--num-beams", ""), []),
                (("minivlm", "vqa", "--question", "o"), []),
                (("minivlm", "caption", "oth"), ["other.jpg"]),
                (("minivlm", "search", "o"), []),
                (("minivlm", "inspect", "o"), []),
                (("minivlm", "caption", "--isa", "avx2"), ["avx2"]),
                (("minivlm-server", "--server.tls_k"), ["--server.tls_key"]),
                (("minivlm-server", "--config", "=", "out."), ["out.csv"]),
                (("minivlm-server", "--server.tls_key", "out."), ["out.csv"]),
                (("minivlm-server", "--model.dir", "=", "o"), ["outer"]),
                (("minivlm-server", "--log.level", "=", "w"), ["warn"]),
                (("minivlm-server", "--server.port", "=", "o"), []),
            ):
                with self.subTest(words):
                    self.assertEqual(self.offered(folder, *words), expected)

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
        for command in (["inspect"], ["inspect", "--plan"], ["caption", WAVES], ["bench", "--rounds", "1", WAVES],
                        ["vqa", "--question", "who?", WAVES], ["retrieve", "--text", "a", WAVES], ["regions", WAVES]):
            self.refused(FAILED, *command, "--model", str(self.model), saying="SHA-256")
        self.text("caption", "--no-verify", "--model", str(self.model), WAVES)
        path.write_bytes(content[:1000])
        self.refused(FAILED, "inspect", "--model", str(self.model), saying="model.safetensors")

    def test_inspect(self):
        row, = self.json("inspect", "--threads", "3")
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
        self.assertTrue(all(r["peak_gflops"] > 0 and r["share"] > 0 for r in found if r["operations"] > 0))
        self.assertIn("measured peaks", self.text("bench", "--stages", "--rounds", "1", WAVES))
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


class Shipped(Case):
    """The model that users have, once through every command."""
    ENVIRONMENT = {k: v for k, v in ENVIRONMENT.items() if k != "MINIVLM_MODEL"}

    def shipped(self, *arguments) -> dict:
        row, *_ = self.json(*arguments, env=self.ENVIRONMENT)
        return row

    def test_all(self):
        labels = json.loads((ROOT / "models/minivlm-base/labels.json").read_text())
        row = self.shipped("inspect")
        self.assertEqual((row["model"], row["answers"]), ("minivlm-base", len(labels["answers"])))
        self.assertRegex(self.shipped("caption", DISCS)["caption"], r"^[a-z]+( [a-z'-]+){2,}")
        self.assertIn(self.shipped("vqa", "--question", "Is there a dog?", DISCS)["answer"], labels["answers"])
        self.assertTrue(0 <= self.shipped("retrieve", "--text", "a dog runs", DISCS)["scores"][0][0] <= 1)
        self.assertLessEqual({r["label"] for r in self.shipped("regions", DISCS)["regions"]}, set(labels["objects"]))

    def test_each_number_format_has_its_own_peak(self):
        peaks = {}
        for row in self.json("bench", "--stages", "--rounds", "1", DISCS, env=self.ENVIRONMENT):
            if row["operations"]:
                peaks.setdefault(row["kernel"], set()).add(round(row["peak_gflops"], 2))
        self.assertTrue(all(len(of) == 1 for of in peaks.values()), peaks)
        self.assertEqual(len(peaks["gemm8"] | peaks["depthwise8"] | peaks["gemm"]), 3, peaks)
        self.assertEqual(peaks["gemm"], peaks["quantize_rows"])


if __name__ == "__main__":
    unittest.main()
