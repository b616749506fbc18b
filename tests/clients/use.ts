// The three tasks through a client generated from the document; run by test_generated.py.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const { SERVICE, PICTURE } = process.env;
const client = createClient<paths>({ baseUrl: SERVICE });
const picture = await readFile(PICTURE!);

const caption = await client.POST("/caption", {
  params: { query: { num_beams: 1 } },
  body: new Blob([picture]) as unknown as string,
  bodySerializer: (body) => body as unknown as Blob,
  headers: { "Content-Type": "application/octet-stream" },
});
assert.ok(caption.data && "caption" in caption.data, JSON.stringify(caption.error));

const answer = await client.POST("/vqa", {
  body: { image: [picture.toString("binary")], question: "where" },
  bodySerializer: (body) => {
    const form = new FormData();
    form.append("image", new Blob([picture]));
    form.append("question", (body as { question: string }).question);
    return form;
  },
});
assert.ok(answer.data && "answer" in answer.data, JSON.stringify(answer.error));

const match = await client.POST("/retrieve", { body: { image: picture.toString("base64"), texts: ["a dog", "a boat"] } });
assert.ok(match.data && "scores" in match.data && match.data.scores[0]?.length === 2, JSON.stringify(match.error));

const wrong = await client.POST("/caption", { body: { image: "!!" } });
assert.equal(wrong.error?.error.code, "bad_request");
console.log(caption.data.caption);
