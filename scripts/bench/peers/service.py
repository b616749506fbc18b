#!/usr/bin/env python3
"""The mix behind FastAPI with dynamic batching: what somebody would write who wants captions from it over HTTP.

    service.py GRAPHS PORT [--threads 2] [--most 32] [--wait-ms 5]

POST /caption takes the bytes of a picture. Requests that wait are taken together, at most --most, after at most --wait-ms;
their captions advance token by token together. Each batch runs on its own thread of Python, one for each thread of the
CPU, with one thread in each runtime: that is faster than one batch on two."""
import argparse
import asyncio
import contextlib
import pathlib
import sys

import fastapi
import uvicorn

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[i]) for i in (1, 2)]

from peers.pipeline import Pipeline  # noqa: E402
from peers.runtimes import Mix  # noqa: E402


async def serve_batches(queue: asyncio.Queue, pipeline: Pipeline, most: int, wait: float) -> None:
    while True:
        batch = [await queue.get()]
        with contextlib.suppress(asyncio.TimeoutError):
            async with asyncio.timeout(wait):
                while len(batch) < most:
                    batch.append(await queue.get())
        try:
            await asyncio.to_thread(pipeline.whole, [body for body, _ in batch])
            for _, done in batch:
                done.set_result(pipeline.about["caption"])
        except Exception as error:
            for _, done in batch:
                done.set_exception(error)


def make(args) -> fastapi.FastAPI:
    queue: asyncio.Queue = asyncio.Queue()
    workers: list[asyncio.Task] = []

    @contextlib.asynccontextmanager
    async def life(_app):
        for _ in range(args.threads):
            workers.append(asyncio.create_task(serve_batches(queue, Pipeline(Mix(args.graphs, 1), args.graphs), args.most,
                                                             args.wait_ms / 1e3)))
        yield
        for worker in workers:
            worker.cancel()

    app = fastapi.FastAPI(lifespan=life)

    @app.post("/caption")
    async def caption(request: fastapi.Request):
        done = asyncio.get_running_loop().create_future()
        await queue.put((await request.body(), done))
        return {"caption": await done}

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graphs", type=pathlib.Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--most", type=int, default=32)
    parser.add_argument("--wait-ms", type=float, default=5.0)
    args = parser.parse_args()
    uvicorn.run(make(args), host="127.0.0.1", port=args.port, log_level="warning")


if __name__ == "__main__":
    main()
