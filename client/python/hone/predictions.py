"""What a model is asked, and what it answers: one class for each kind of answer."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Optional, Union

from hone._convert import convert, enum_name
from hone.v1 import prediction_pb2

# What `predict` takes: a text; a pair of texts; a picture as bytes of a PNG or JPEG file, or as the path of one; a row of a table by column name; or, for
# all else (users, mazes, series), the message of the wire.
Input = Union[str, "tuple[str, str]", bytes, Path, Mapping[str, Any], prediction_pb2.PredictInput]


@dataclass(frozen=True)
class ClassProbability:
    name: str
    probability: float


@dataclass(frozen=True)
class Classification:
    classes: list[ClassProbability]  # the most probable first

    @property
    def best(self) -> str:
        return self.classes[0].name


@dataclass(frozen=True)
class Labelled:
    """Of a model whose examples may have several classes, or none."""

    classes: list[ClassProbability]
    threshold: float  # from this probability on the text has the class


@dataclass(frozen=True)
class Regression:
    values: list[float]  # one for each target, in its own unit


@dataclass(frozen=True)
class RecommendedItem:
    id: str
    name: str
    score: float
    rated: bool


@dataclass(frozen=True)
class Recommendation:
    items: list[RecommendedItem]  # the best first
    unknown_user: bool


@dataclass(frozen=True)
class MazePath:
    """The way of an agent through a maze, whose cells are numbered row by row."""

    height: int
    width: int
    rows: list[str]
    values: list[float]
    best_moves: list[int]  # 0 up, 1 right, 2 down, 3 left
    cells: list[int]
    solved: bool
    shortest: int


@dataclass(frozen=True)
class Forecast:
    target: str
    history: list[float]
    history_times: list[str]
    times: list[str]
    values: list[float]


@dataclass(frozen=True)
class MaskedWord:
    tokens: list[ClassProbability]  # the most probable first


@dataclass(frozen=True)
class Filled:
    masks: list[MaskedWord]


@dataclass(frozen=True)
class Embedded:
    values: list[float]  # a vector of length 1
    similarity: Optional[float]  # of a pair of texts


@dataclass(frozen=True)
class TaggedWord:
    text: str
    tag: str
    probability: float


@dataclass(frozen=True)
class Tagged:
    words: list[TaggedWord]


@dataclass(frozen=True)
class Picture:
    png: bytes


@dataclass(frozen=True)
class Translation:
    text: str
    score: float
    ended: bool


@dataclass(frozen=True)
class Translated:
    translations: list[Translation]  # the best first


@dataclass(frozen=True)
class Written:
    text: str
    end: str  # "": it goes on


@dataclass(frozen=True)
class TextPiece:
    """A piece of a text that is being written; str() of it is its text."""

    text: str
    end: str  # of the last one: COUNT, STOP, END_OF_TEXT
    tokens: int  # written so far

    def __str__(self) -> str:
        return self.text


Prediction = Union[
    Classification, Labelled, Regression, Recommendation, MazePath, Forecast, Filled, Embedded, Tagged, Picture, Translated, Written
]

# By the name of the field in hone.v1.Prediction.
_KINDS: dict[str, Any] = {
    "classification": Classification,
    "regression": Regression,
    "recommendation": Recommendation,
    "picture": Picture,
    "path": MazePath,
    "writing": Written,
    "forecast": Forecast,
    "translated": Translated,
    "filled": Filled,
    "embedded": Embedded,
    "tagged": Tagged,
    "labelled": Labelled,
}


def prediction_of(message: Any) -> Prediction:
    """Of a hone.v1.Prediction. ValueError: of a kind that this version does not know."""
    kind = message.WhichOneof("result")
    if kind not in _KINDS:
        raise ValueError("the server answers with a result that this version of hone-client does not know; a newer one does")
    found: Prediction = convert(_KINDS[kind], getattr(message, kind))
    return found


def text_piece_of(message: Any) -> TextPiece:
    """Of a hone.v1.GenerateResponse."""
    return TextPiece(text=message.text, end=enum_name(message, "end"), tokens=message.tokens)


def input_of(value: Input, beams: int = 0) -> prediction_pb2.PredictInput:
    """The message of what is asked. TypeError where it is of no kind that Input names."""
    if isinstance(value, prediction_pb2.PredictInput):
        return value
    message = prediction_pb2.PredictInput(beams=beams)
    if isinstance(value, str):
        message.text = value
    elif isinstance(value, bytes):
        message.image = value
    elif isinstance(value, Path):
        message.image = value.read_bytes()
    elif isinstance(value, tuple):
        message.text_pair.text, message.text_pair.second = value
    elif isinstance(value, Mapping):
        # A missing cell is an empty one; NaN is what pandas has for it.
        message.record.cells.update({str(name): "" if cell is None or cell != cell else str(cell) for name, cell in value.items()})
    else:
        raise TypeError(f"an input must be a text, a pair of texts, a picture (bytes or a Path), a row (a dict) or a PredictInput; got {type(value).__name__}")
    return message
