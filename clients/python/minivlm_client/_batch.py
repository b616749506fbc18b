"""Many pictures with a bounded number under way, in order, and a line that shows how far it is."""
from __future__ import annotations

import dataclasses
import sys
import time
from typing import Any, Generic, Optional, TypeVar

from ._request import MiniVLMError, Picture

PictureT = TypeVar("PictureT", bound=Picture)
ImageT = TypeVar("ImageT")
ResultT = TypeVar("ResultT")


@dataclasses.dataclass
class Outcome(Generic[ImageT, ResultT]):
    """Of one picture of a batch: `result`, or the error that the picture had (then `result` is None)."""

    image: ImageT
    result: ResultT
    error: Optional[Exception] = None

    @property
    def ok(self) -> bool:
        return self.error is None


PICTURE_FAULTS = (MiniVLMError, OSError, ValueError)  # of one picture; anything else ends the batch


class Progress:
    """`[#####.....] 12/24  3.1/s  0:04 left` on a terminal, nothing elsewhere."""

    def __init__(self, total: Optional[int], shown: Optional[bool], stream: Any = None):
        self.stream = stream if stream is not None else sys.stderr
        self.shown = self.stream.isatty() if shown is None else shown
        self.total, self.done, self.began = total, 0, time.monotonic()

    def step(self) -> None:
        self.done += 1
        if not self.shown:
            return
        rate = self.done / max(time.monotonic() - self.began, 1e-6)
        line = f"{self.done}  {rate:.1f}/s"
        if self.total:
            filled = 20 * self.done // self.total
            left = int((self.total - self.done) / rate)
            line = f"[{'#' * filled}{'.' * (20 - filled)}] {self.done}/{self.total}  {rate:.1f}/s  {left // 60}:{left % 60:02d} left"
        self.stream.write("\r\x1b[K" + line)
        self.stream.flush()

    def end(self) -> None:
        if self.shown and self.done:
            self.stream.write("\n")
