#!/usr/bin/env python3
"""The program `minivlm` as a part of a pipeline: inputs good and bad, requests line by line, outputs that end early,
progress on a terminal."""
import contextlib
import json
import os
import pty
import select
import signal
import tempfile
import threading
import time
import unittest

from program import (
    DISCS,
    ENVIRONMENT,
    FAILED,
    GOLDEN,
    IMAGES,
    OK,
    PICTURES,
    QUESTIONS,
    ROOT,
    SENTENCES,
    TINY,
    WAVES,
    Case,
    lines,
    rows,
    run,
    squeezed,
    start,
)


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
        self.refused(FAILED, "caption", f"{IMAGES}/codec/truncated.jpg", saying="take it as it is with --tolerate-truncated (")
        self.refused(FAILED, "caption", "--max-tokens", "64", WAVES, saying=": --max-tokens is 64; this model allows")

    def test_long_texts(self):
        """Text and CSV have no place for the warning that a text was cut: it is a line of complaint, once."""
        for command, option in (("vqa", "--question"), ("retrieve", "--text")):
            code, _, err = run(command, option, "dog " * 99, WAVES, DISCS)
            self.assertEqual((code, err.count("\n")), (OK, 1), err)
            self.assertIn("minivlm: only the first ", err)

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


class Progress(Case):
    def watch(self, options=(), is_terminal=True, term="xterm") -> bytes:
        """Standard error of a run that still works after half a second."""
        ours, theirs = pty.openpty() if is_terminal else os.pipe()
        with start("caption", "--jsonl", "-", *options, stderr=theirs, env={**ENVIRONMENT, "TERM": term}) as process:
            os.close(theirs)
            assert process.stdin and process.stdout
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


if __name__ == "__main__":
    unittest.main()
