"""What the service answers, as the keys of its JSON (docs/api.md); keys that only some requests bring are optional."""
from __future__ import annotations

from typing import Any, Optional, TypedDict


class ImageInfo(TypedDict):
    id: str
    width: int
    height: int
    warnings: list[str]


class _Common(TypedDict):
    image: ImageInfo
    model: str


class ScoredCaption(TypedDict):
    text: str
    score: float


class _CaptionMore(TypedDict, total=False):
    regions: list[Any]
    explain: Any


class Caption(_Common, _CaptionMore):
    caption: str
    score: float
    captions: list[ScoredCaption]
    usage: Any


class ScoredAnswer(TypedDict):
    answer: str
    score: float


class Answer(_Common, _CaptionMore):
    question: str
    answer: str
    score: float
    answers: list[ScoredAnswer]


class Match(TypedDict):
    image: int
    text: int
    score: float
    relevance_score: float


class Matches(TypedDict):
    scores: list[Optional[list[float]]]  # None: the picture failed
    results: list[Match]
    images: list[Any]
    model: str


class RerankedDocument(TypedDict):
    index: int
    relevance_score: float


class Reranked(TypedDict):
    results: list[RerankedDocument]
    model: str
