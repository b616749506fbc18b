"""Clients generated from /openapi.json, in Python and TypeScript, do the three tasks; the document is valid, and
schemathesis finds nothing on the live server. scripts/test.sh --clients installs the generators."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from support import IMAGES, ROOT, Server, form, picture, run

HERE = pathlib.Path(__file__).resolve().parent
BIN = pathlib.Path(sys.executable).parent
DOCUMENT = ROOT / "server" / "api" / "openapi.json"

PYTHON = """
import sys
from minivlm_server_client import Client, models, types
from minivlm_server_client.api.predict import caption, retrieve, vqa
from minivlm_server_client.api.compatible import chat_completion
url, path = sys.argv[1:]
bytes_ = open(path, "rb").read()
client = Client(base_url=url)
print(caption.sync(client=client, body=types.File(payload=bytes_)).caption)
form = models.VqaFilesBody(image=[types.File(payload=bytes_, file_name="x.jpg")], question="where")
print(vqa.sync(client=client, body=form).answer)
form = models.RetrieveFilesBody(image=[types.File(payload=bytes_, file_name="x.jpg")], texts=["a dog", "a boat"])
print(len(retrieve.sync(client=client, body=form).scores[0]))
"""

TYPED = """
import { Client, MiniVLMError, type Answer } from "minivlm-client";
const client = new Client("localhost:8080", { key: "k", retries: 1, timeout: 1000 });
const bytes = new Uint8Array(9);
export const caption: string = (await client.caption(bytes, { numBeams: 2, regions: true })).caption;
export const answer: Answer = await client.ask(new Blob([bytes]), "what is it", { topK: 3, signal: new AbortController().signal });
export const scores: (number[] | null)[] = (await client.match([bytes, { id: "x" }], ["a cat"])).scores;
for await (const done of client.batch(["a", "b"], (name) => client.ask(bytes, name), { concurrency: 2 })) {
  if (done.ok) console.log(done.image.length, done.result.answer);
  else if (done.error instanceof MiniVLMError) console.log(done.error.code, done.error.retryable);
}
export const found: number = (await client.search("photos", "a cat")).results[0].relevance_score;
export const made: MiniVLMError = new MiniVLMError("no", { status: 429, code: "overloaded", retryable: true });
// @ts-expect-error a path is no picture
await client.caption("cat.jpg");
// @ts-expect-error no such option
await client.caption(bytes, { num_beams: 2 });
"""


USES = """
import pathlib
from collections.abc import AsyncIterator
from typing import assert_type
from minivlm_client import Answer, AsyncClient, Caption, Client, MiniVLMError, Outcome

client = Client("localhost:8080", key="k", retries=1, timeout=1.0)
for done in client.batch([pathlib.Path("a.jpg")], concurrency=2):
    assert_type(done, Outcome[pathlib.Path, Caption])
for asked in client.batch([7], lambda n: client.ask(b"", f"how many of {n}"), progress=False):
    assert_type(asked, Outcome[int, Answer])
later = AsyncClient()
assert_type(later.batch(["a.jpg"], later.caption), AsyncIterator[Outcome[str, Caption]])
client.batch([7])  # type: ignore[list-item, call-overload, type-var, unused-ignore]
client.caption(7)  # type: ignore[arg-type]
client.caption("a.jpg", numBeams=2)  # type: ignore[call-arg]
"""


class Generated(unittest.TestCase):
    def run_it(self, *command, cwd=ROOT, env=None, seconds=500):
        done = subprocess.run([str(part) for part in command], cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True,
                              text=True, timeout=seconds)
        self.assertEqual(done.returncode, 0, (done.stdout + done.stderr)[-8000:])
        return done.stdout + done.stderr

    def test_document_is_valid(self):
        self.run_it(BIN / "openapi-spec-validator", DOCUMENT)

    def test_python(self):
        with tempfile.TemporaryDirectory() as folder, Server() as s:
            said = self.run_it(BIN / "openapi-python-client", "generate", "--path", DOCUMENT, "--output-path", f"{folder}/client")
            self.assertNotIn("WARNING", said)
            said = self.run_it(sys.executable, "-c", PYTHON, f"http://127.0.0.1:{s.port}", IMAGES[0], env={"PYTHONPATH": f"{folder}/client"})
            native = [s.post("/caption", picture(0)).json["caption"],
                      s.post("/vqa", *form([("image", picture(0)), ("question", "where")])).json["answer"], "2"]
            self.assertEqual(said.splitlines(), native)

    def test_typescript(self):
        self.assertTrue((HERE / "node_modules").is_dir(), "npm install --prefix tests/clients")
        with tempfile.TemporaryDirectory() as folder, Server() as s:
            place = pathlib.Path(folder)
            (place / "node_modules").symlink_to(HERE / "node_modules")
            shutil.copy(HERE / "use.ts", place)
            (place / "package.json").write_text(json.dumps({"type": "module"}))
            tools = HERE / "node_modules" / ".bin"
            self.run_it(tools / "openapi-typescript", DOCUMENT, "-o", place / "schema.d.ts", cwd=place)
            (place / "process.d.ts").write_text(
                "declare const process: { env: Record<string, string> };\n"
                "interface Bytes extends Uint8Array<ArrayBuffer> { toString(how?: string): string }\n"
                "declare module 'node:assert/strict' { const assert: { ok(v: unknown, m?: string): asserts v; "
                "equal(a: unknown, b: unknown, m?: string): void }; export default assert; }\n"
                "declare module 'node:fs/promises' { export function readFile(path: string): Promise<Bytes>; }\n")
            self.run_it(tools / "tsc", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext", "--lib", "es2023,dom",
                        "use.ts", "process.d.ts", cwd=place)
            said = self.run_it("node", "use.js", cwd=place, env={"SERVICE": f"http://127.0.0.1:{s.port}", "PICTURE": str(IMAGES[0])})
            self.assertEqual(said.strip(), s.post("/caption?num_beams=1", picture(0)).json["caption"])

    def test_types_of_the_client(self):
        """clients/js/index.d.ts says what its README does, and refuses what would fail."""
        with tempfile.TemporaryDirectory() as folder:
            place = pathlib.Path(folder)
            (place / "node_modules").mkdir()
            (place / "node_modules" / "minivlm-client").symlink_to(ROOT / "clients" / "js")
            (place / "package.json").write_text(json.dumps({"type": "module"}))
            (place / "use.ts").write_text(TYPED)
            self.run_it(HERE / "node_modules" / ".bin" / "tsc", "--strict", "--noEmit", "--target", "es2022", "--module", "nodenext",
                        "--lib", "es2023,dom", "use.ts", cwd=place)

    def test_types_of_the_client_for_python(self):
        """mypy --strict takes what its README and the cookbook print, and refuses what would fail."""
        documents = [ROOT / "clients" / "python" / "README.md", ROOT / "docs" / "cookbook.md"]
        programs = [text for d in documents for text in re.findall(r"```py\n(.*?)```", d.read_text(), re.S) if "minivlm_client" in text]
        self.assertGreaterEqual(len(programs), 5)
        with tempfile.TemporaryDirectory() as folder:
            for i, text in enumerate([*programs, USES]):
                pathlib.Path(folder, f"program{i}.py").write_text(text)
            self.run_it(sys.executable, "-m", "mypy", "--strict", "--cache-dir", f"{folder}/cache", *pathlib.Path(folder).glob("*.py"),
                        cwd=folder, env={"MYPYPATH": str(ROOT / "clients" / "python")})

    def test_schemathesis(self):
        with tempfile.TemporaryDirectory() as folder, Server(f"--collections.path={folder}/c.db") as s:
            self.run_it(BIN / "schemathesis", "--config-file", HERE / "schemathesis.toml", "run", f"http://127.0.0.1:{s.port}/openapi.json",
                        "--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--continue-on-failure",
                        "--exclude-path-regex", "^/(admin|debug)", cwd=folder, env={"SCHEMATHESIS_HOOKS": str(HERE / "patience.py")})


run(__name__)
