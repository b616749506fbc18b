"""The two clients. What is asked is written once, as a request; `Client` and `AsyncClient` send it."""
from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import time
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Sequence
from typing import Any, Callable, Optional, cast, overload

import httpx

from . import _request as rq
from ._batch import PICTURE_FAULTS, ImageT, Outcome, PictureT, Progress, ResultT
from ._request import Picture, Request
from ._types import Answer, Caption, Matches, Reranked


class _Settings:
    def __init__(self, url: str = "http://localhost:8080", key: Optional[str] = None, *, retries: int = 3, timeout: float = 60.0,
                 **httpx_options: Any):
        if retries < 0:
            raise ValueError("retries must be 0 or more")
        headers: dict[str, str] = dict(httpx_options.pop("headers", None) or {})
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        self.retries = retries
        self.options: dict[str, Any] = {"base_url": rq.address(url), "headers": headers, "timeout": timeout, **httpx_options}


def _caption(image: Picture, **p: Any) -> Request:
    return rq.with_picture("/caption", image, **p)


def _ask(image: Picture, question: str, **p: Any) -> Request:
    return rq.with_picture("/vqa", image, question=question, **p)


def _match(images: Sequence[Picture], texts: Sequence[str], **p: Any) -> Request:
    body = {"images": [rq.in_json(i) for i in rq.several(images, "images")], "texts": list(rq.several(texts, "texts"))}
    return Request("POST", "/retrieve", json={**body, **rq.given(p)})


def _rerank(query: str, images: Sequence[Picture], top_n: Optional[int]) -> Request:
    body: dict[str, Any] = {"query": query, "documents": [{"image": rq.in_json(i)} for i in rq.several(images, "images")]}
    return Request("POST", "/retrieve", json={**body, **rq.given({"top_n": top_n})})


def _store(collection: str, key: str, image: Picture) -> Request:
    return rq.with_picture(rq.key_path(collection, key), image, "PUT")


def _search(collection: str, text: str, top_k: Optional[int]) -> Request:
    return Request("POST", "/retrieve", json={"collection": collection, "text": text, **rq.given({"top_k": top_k})})


class Client(_Settings):
    """Blocks. Keyword arguments beyond these are httpx.Client's (verify, proxies, ...)."""

    def __init__(self, url: str = "http://localhost:8080", key: Optional[str] = None, **more: Any):
        super().__init__(url, key, **more)
        self._http = httpx.Client(**self.options)

    def _send(self, request: Request) -> Any:
        for attempt in range(self.retries + 1):
            response: Optional[httpx.Response] = None
            try:
                response = self._http.request(request.method, request.path, params=request.params, content=request.content,
                                              json=request.json)
                result, error = rq.outcome(response)
            except httpx.TransportError as e:
                result, error = None, rq.lost(e)
            if error is None:
                return result
            if attempt == self.retries or not error.retryable or error.status == 504:
                raise error
            time.sleep(rq.wait_s(response, attempt))

    def caption(self, image: Picture, *, num_beams: Optional[int] = None, num_captions: Optional[int] = None,
                max_tokens: Optional[int] = None, regions: Optional[bool] = None, timeout_ms: Optional[int] = None) -> Caption:
        return cast(Caption, self._send(_caption(image, num_beams=num_beams, num_captions=num_captions, max_tokens=max_tokens,
                                                 regions=regions, timeout_ms=timeout_ms)))

    def ask(self, image: Picture, question: str, *, top_k: Optional[int] = None, regions: Optional[bool] = None,
            timeout_ms: Optional[int] = None) -> Answer:
        return cast(Answer, self._send(_ask(image, question, top_k=top_k, regions=regions, timeout_ms=timeout_ms)))

    def match(self, images: Sequence[Picture], texts: Sequence[str], *, top_k: Optional[int] = None) -> Matches:
        return cast(Matches, self._send(_match(images, texts, top_k=top_k)))

    def rerank(self, query: str, images: Sequence[Picture], *, top_n: Optional[int] = None) -> Reranked:
        return cast(Reranked, self._send(_rerank(query, images, top_n)))

    def store(self, collection: str, key: str, image: Picture) -> Any:
        return self._send(_store(collection, key, image))

    def remove(self, collection: str, key: Optional[str] = None) -> Any:
        """A picture, or without a key the whole collection."""
        return self._send(Request("DELETE", rq.key_path(collection, key)))

    def search(self, collection: str, text: str, *, top_k: Optional[int] = None) -> Any:
        return self._send(_search(collection, text, top_k))

    def version(self) -> Any:
        return self._send(Request("GET", "/version"))

    @overload
    def batch(self, images: Iterable[PictureT], call: None = None, *, concurrency: int = 4,
              progress: Optional[bool] = None) -> Iterator[Outcome[PictureT, Caption]]: ...

    @overload
    def batch(self, images: Iterable[ImageT], call: Callable[[ImageT], ResultT], *, concurrency: int = 4,
              progress: Optional[bool] = None) -> Iterator[Outcome[ImageT, ResultT]]: ...

    def batch(self, images: Iterable[Any], call: Optional[Callable[[Any], Any]] = None, *, concurrency: int = 4,
              progress: Optional[bool] = None) -> Iterator[Outcome[Any, Any]]:
        """call(image) (default: caption) for each, in order, `concurrency` at once; the iterable is read as it is needed.
        A picture that fails has its error in its outcome. progress None: a bar when stderr is a terminal."""
        work = call if call is not None else self.caption
        rq.several(images, "images")
        bar = Progress(len(images) if isinstance(images, Sequence) else None, progress)
        waiting: collections.deque[tuple[Any, concurrent.futures.Future[Any]]] = collections.deque()
        with concurrent.futures.ThreadPoolExecutor(max(1, concurrency)) as pool:
            try:
                for image in images:
                    waiting.append((image, pool.submit(work, image)))
                    if len(waiting) >= 2 * concurrency:
                        yield _home(*waiting.popleft(), bar)
                while waiting:
                    yield _home(*waiting.popleft(), bar)
            finally:
                for _, future in waiting:
                    future.cancel()
                bar.end()

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()


def _home(image: Any, future: concurrent.futures.Future[Any], bar: Progress) -> Outcome[Any, Any]:
    try:
        outcome = Outcome(image, future.result())
    except PICTURE_FAULTS as e:
        outcome = Outcome(image, None, e)
    bar.step()
    return outcome


class AsyncClient(_Settings):
    """Does not block (asyncio); the same methods."""

    def __init__(self, url: str = "http://localhost:8080", key: Optional[str] = None, **more: Any):
        super().__init__(url, key, **more)
        self._http = httpx.AsyncClient(**self.options)

    async def _send(self, request: Request) -> Any:
        for attempt in range(self.retries + 1):
            response: Optional[httpx.Response] = None
            try:
                response = await self._http.request(request.method, request.path, params=request.params,
                                                    content=request.content, json=request.json)
                result, error = rq.outcome(response)
            except httpx.TransportError as e:
                result, error = None, rq.lost(e)
            if error is None:
                return result
            if attempt == self.retries or not error.retryable or error.status == 504:
                raise error
            await asyncio.sleep(rq.wait_s(response, attempt))

    async def caption(self, image: Picture, *, num_beams: Optional[int] = None, num_captions: Optional[int] = None,
                      max_tokens: Optional[int] = None, regions: Optional[bool] = None,
                      timeout_ms: Optional[int] = None) -> Caption:
        return cast(Caption, await self._send(_caption(image, num_beams=num_beams, num_captions=num_captions,
                                                       max_tokens=max_tokens, regions=regions, timeout_ms=timeout_ms)))

    async def ask(self, image: Picture, question: str, *, top_k: Optional[int] = None, regions: Optional[bool] = None,
                  timeout_ms: Optional[int] = None) -> Answer:
        return cast(Answer, await self._send(_ask(image, question, top_k=top_k, regions=regions, timeout_ms=timeout_ms)))

    async def match(self, images: Sequence[Picture], texts: Sequence[str], *, top_k: Optional[int] = None) -> Matches:
        return cast(Matches, await self._send(_match(images, texts, top_k=top_k)))

    async def rerank(self, query: str, images: Sequence[Picture], *, top_n: Optional[int] = None) -> Reranked:
        return cast(Reranked, await self._send(_rerank(query, images, top_n)))

    async def store(self, collection: str, key: str, image: Picture) -> Any:
        return await self._send(_store(collection, key, image))

    async def remove(self, collection: str, key: Optional[str] = None) -> Any:
        return await self._send(Request("DELETE", rq.key_path(collection, key)))

    async def search(self, collection: str, text: str, *, top_k: Optional[int] = None) -> Any:
        return await self._send(_search(collection, text, top_k))

    async def version(self) -> Any:
        return await self._send(Request("GET", "/version"))

    @overload
    def batch(self, images: Iterable[PictureT], call: None = None, *, concurrency: int = 4,
              progress: Optional[bool] = None) -> AsyncIterator[Outcome[PictureT, Caption]]: ...

    @overload
    def batch(self, images: Iterable[ImageT], call: Callable[[ImageT], Awaitable[ResultT]], *, concurrency: int = 4,
              progress: Optional[bool] = None) -> AsyncIterator[Outcome[ImageT, ResultT]]: ...

    async def batch(self, images: Iterable[Any], call: Optional[Callable[[Any], Awaitable[Any]]] = None, *,
                    concurrency: int = 4, progress: Optional[bool] = None) -> AsyncIterator[Outcome[Any, Any]]:
        """As Client.batch."""
        work = call if call is not None else self.caption
        rq.several(images, "images")
        bar = Progress(len(images) if isinstance(images, Sequence) else None, progress)
        gate = asyncio.Semaphore(max(1, concurrency))
        waiting: collections.deque[asyncio.Future[Outcome[Any, Any]]] = collections.deque()

        async def one(image: Any) -> Outcome[Any, Any]:
            async with gate:
                try:
                    outcome = Outcome(image, await work(image))
                except PICTURE_FAULTS as e:
                    outcome = Outcome(image, None, e)
                bar.step()
                return outcome

        try:
            for image in images:
                waiting.append(asyncio.ensure_future(one(image)))
                if len(waiting) >= 2 * concurrency:
                    yield await waiting.popleft()
            while waiting:
                yield await waiting.popleft()
        finally:
            left: list[Any] = list(waiting)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            bar.end()

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.close()
