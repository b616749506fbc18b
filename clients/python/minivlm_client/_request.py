"""Requests as data, and what an answer means: shared by the client that blocks and the one that does not."""
from __future__ import annotations

import base64
import dataclasses
import datetime
import email.utils
import os
import random
import re
import urllib.parse
from collections.abc import Mapping
from typing import Any, Optional, Union

import httpx

Picture = Union[bytes, str, "os.PathLike[str]", Mapping[str, str]]
"""Bytes, the path of a file, or {"id": ...} of an earlier answer."""

LONGEST_WAIT_S = 30.0


class MiniVLMError(Exception):
    """What the service refused, in its words.

    status (0: it was not reached), code and param are those of docs/api.md, `retryable` says whether the same request may
    succeed later."""

    def __init__(self, message: str, status: int = 0, code: str = "unreachable", param: Optional[str] = None,
                 request_id: Optional[str] = None, retryable: bool = False):
        super().__init__(message)
        self.message, self.status, self.code, self.param = message, status, code, param
        self.request_id, self.retryable = request_id, retryable


@dataclasses.dataclass
class Request:
    method: str
    path: str
    params: dict[str, Any] = dataclasses.field(default_factory=dict)
    content: Optional[bytes] = None
    json: Any = None


def address(url: str) -> str:
    return url if "://" in url else f"http://{url}"


def picture(image: Picture) -> Union[bytes, Mapping[str, str]]:
    if isinstance(image, Mapping):
        return image
    if isinstance(image, (bytes, bytearray, memoryview)):
        return bytes(image)
    if not isinstance(image, (str, os.PathLike)):
        raise TypeError(f"a picture is bytes, the path of a file, or {{'id': ...}} of an earlier answer, not {type(image).__name__}")
    text = os.fspath(image)
    if re.match(r"https?://", str(text)):
        raise ValueError(f"{text}: the service fetches no addresses; pass the picture's bytes or a file")
    with open(text, "rb") as file:
        return file.read()


def several(items: Any, name: str) -> Any:
    """A text in place of a list of texts, or a path in place of a list of paths, would be taken letter by letter."""
    if isinstance(items, (str, bytes, bytearray, memoryview, os.PathLike, Mapping)):
        raise TypeError(f"{name} is a list, not one {type(items).__name__}: put it into brackets, [{name[:-1]}]")
    return items


def in_json(image: Picture) -> Any:
    given = picture(image)
    return base64.b64encode(given).decode() if isinstance(given, bytes) else dict(given)


def given(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in parameters.items() if value is not None}


def with_picture(path: str, image: Picture, method: str = "POST", **parameters: Any) -> Request:
    content = picture(image)
    if isinstance(content, bytes):
        return Request(method, path, given(parameters), content)
    return Request(method, path, json={"image": dict(content), **given(parameters)})


def key_path(collection: str, key: Optional[str] = None) -> str:
    """Addresses lose parts "." and ".." on the way: images/.. would be the collection itself."""
    parts = [] if key is None else key.split("/")
    if any(part in (".", "..") for part in (collection, *parts)):
        raise ValueError('neither a collection nor a part of a key can be "." or ".."')
    image = "" if key is None else "/images/" + "/".join(urllib.parse.quote(part, safe="") for part in parts)
    return f"/collections/{urllib.parse.quote(collection, safe='')}{image}"


PASSING = (429, 502, 503, 504)  # from whoever says no more than the status


def error_of(response: httpx.Response) -> MiniVLMError:
    try:
        e = response.json()["error"]
        return MiniVLMError(e["message"], response.status_code, e["code"], e.get("param"), e.get("request_id"),
                            bool(e.get("retryable", response.status_code in PASSING)))
    except (ValueError, KeyError, TypeError):  # something in between answered
        return MiniVLMError(f"status {response.status_code}: {response.text[:200]}", response.status_code, "not_ours",
                            retryable=response.status_code in PASSING)


def lost(e: httpx.TransportError) -> MiniVLMError:
    """No answer: the connection was lost, which may pass, or the caller's own patience is at its end."""
    is_late = isinstance(e, httpx.TimeoutException) and not isinstance(e, httpx.ConnectTimeout)
    where = f"{e.request.url.scheme}://{e.request.url.netloc.decode()}"
    hint = "; is the server running?" if isinstance(e, httpx.ConnectError) else ""
    return MiniVLMError(f"{where}: {type(e).__name__}: {e}{hint}", code="timeout" if is_late else "unreachable", retryable=not is_late)


def retry_after_s(headers: Mapping[str, str]) -> Optional[float]:
    """Retry-After in seconds, or as a date, which proxies send: counted from the answer's own Date, as clocks differ."""
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
        return float(value)
    then, now = _date(value), _date(headers.get("Date", "")) or datetime.datetime.now(datetime.timezone.utc)
    return max(0.0, (then - now).total_seconds()) if then is not None else None


def _date(value: str) -> Optional[datetime.datetime]:
    try:
        date = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=datetime.timezone.utc)


def wait_s(response: Optional[httpx.Response], attempt: int) -> float:
    """Before the next attempt: what the service says (Retry-After), else half a second, one, two, ..."""
    told = retry_after_s(response.headers) if response is not None else None
    wait = told if told is not None else 0.5 * 2.0**attempt
    return min(wait, LONGEST_WAIT_S) * random.uniform(1.0, 1.25)  # not all clients at once


def outcome(response: httpx.Response) -> tuple[Any, Optional[MiniVLMError]]:
    if response.status_code >= 400:
        return None, error_of(response)
    try:
        return response.json(), None
    except ValueError:  # something in between answered: a page to sign in on, for example
        return None, MiniVLMError(f"no answer of this service: {response.text[:200]}", response.status_code, "not_ours")
