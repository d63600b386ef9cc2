"""The curves of a job as arrays."""
from __future__ import annotations

from array import array
from typing import Any, Iterator, Mapping, Sequence

try:
    import numpy
except ImportError:
    numpy = None  # type: ignore[assignment, unused-ignore]


class History(Mapping[str, Any]):
    """What was measured, by step. `history["loss"]` has a value for each of `steps`; NaN where that was not measured then. Arrays are numpy's where numpy is
    installed, else of the standard library's array.array.

    `total_points` is the number of points before the server thinned them; `curve` leaves out what was not measured, `to_pandas` makes a table.
    """

    def __init__(self, points: Sequence[Any], total_points: int):
        """Of hone.v1.Metrics, by step."""
        self.total_points = total_points
        self.steps = _array("q", [point.step for point in points])
        self.epochs = _array("d", [point.epoch for point in points])
        self.active_seconds = _array("d", [point.active_seconds for point in points])
        names = sorted({name for point in points for name in point.values})
        self._values = {name: _array("d", [point.values[name] if name in point.values else float("nan") for point in points]) for name in names}

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"History({len(self.steps)} of {self.total_points} points: {', '.join(self) or 'nothing yet'})"

    def curve(self, name: str) -> tuple[Any, Any]:
        """The steps at which `name` was measured, and its values there."""
        there = [(step, value) for step, value in zip(self.steps, self[name]) if value == value]
        return _array("q", [step for step, _ in there]), _array("d", [value for _, value in there])

    def to_pandas(self) -> Any:
        """A pandas.DataFrame with a row for each step and a column for each metric. ImportError without pandas."""
        import pandas

        return pandas.DataFrame(
            {"epoch": list(self.epochs), "active_seconds": list(self.active_seconds), **{name: list(self[name]) for name in self}},
            index=pandas.Index(list(self.steps), name="step"))


def _array(kind: str, values: Sequence[Any]) -> Any:
    return array(kind, values) if numpy is None else numpy.array(values, dtype=numpy.int64 if kind == "q" else numpy.float64)
