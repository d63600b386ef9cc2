"""What happens to a job, in order: one class for each kind of event."""
from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Optional

from hone._convert import convert
from hone.resources import Evaluation, Plan


@dataclass(frozen=True)
class Event:
    """Of every event. One that is only this is of a kind that this version of the client does not know."""

    sequence: int  # 1, 2, 3, … within a job
    time: datetime
    attempt: int


@dataclass(frozen=True)
class StateChange(Event):
    state: str
    end_reason: str  # set at the end
    message: str


@dataclass(frozen=True)
class Started(Event):
    """The worker has planned and loaded everything; training begins."""

    plan: Optional[Plan]
    resumed_from_step: int  # 0: from the start
    engine: str


@dataclass(frozen=True)
class Metrics(Event):
    """One point of the curves."""

    step: int
    epoch: float
    samples: int
    active_seconds: float
    total_steps: int
    eta_seconds: float
    values: dict[str, float]  # by name, such as `loss`
    non_finite: list[str]  # names whose value was NaN or infinite


@dataclass(frozen=True)
class LayerNorms:
    name: str
    gradient_norm: float
    weight_norm: float
    dead_share: float  # −1 where that makes no sense
    verdict: str  # "", "vanishing", "exploding", "dead"


@dataclass(frozen=True)
class LayerStatistics(Event):
    step: int
    layers: list[LayerNorms]


@dataclass(frozen=True)
class CheckpointWritten(Event):
    step: int
    path: str
    bytes: int
    seconds: float
    best: bool


@dataclass(frozen=True)
class Log(Event):
    severity: str  # INFO, WARNING, ERROR
    text: str


@dataclass(frozen=True)
class Split:
    name: str
    examples: int
    classes: dict[str, int]


@dataclass(frozen=True)
class Dropped:
    reason: str
    count: int


@dataclass(frozen=True)
class DataReport(Event):
    """What the preparation of the data found and dropped."""

    source: str
    splits: list[Split]
    dropped: list[Dropped]
    notes: list[str]


@dataclass(frozen=True)
class Evaluated(Event):
    evaluation: Evaluation


@dataclass(frozen=True)
class ArtifactWritten(Event):
    kind: str  # such as "model", "samples"
    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Gap(Event):
    """Events that were not sent: they are no longer kept, or the server has no room for them. `sequence` is the number of the last one of them, `time`
    when this client was told."""

    from_sequence: int


# By the name of the field in hone.v1.Event.
_KINDS: dict[str, type[Event]] = {
    "state": StateChange,
    "started": Started,
    "metrics": Metrics,
    "layer_statistics": LayerStatistics,
    "checkpoint": CheckpointWritten,
    "log": Log,
    "data_report": DataReport,
    "artifact": ArtifactWritten,
}


def event_of(message: Any) -> Event:
    """The class of a hone.v1.Event's kind, with its values."""
    common = {"sequence": message.sequence, "time": message.time.ToDatetime(tzinfo=timezone.utc), "attempt": message.attempt}
    kind = message.WhichOneof("kind")
    if kind == "evaluation":
        return Evaluated(**common, evaluation=convert(Evaluation, message.evaluation))
    if kind in _KINDS:
        return convert(_KINDS[kind], getattr(message, kind), **common)
    return Event(**common)


def gap_of(message: Any) -> Gap:
    """Of a WatchJobResponse.Gap."""
    return Gap(sequence=message.to_sequence, time=datetime.now(timezone.utc), attempt=0, from_sequence=message.from_sequence)
