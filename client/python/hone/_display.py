"""How a job goes, while it is followed: a bar and the curves of its loss in a notebook, a line in a terminal, nothing elsewhere."""
from __future__ import annotations

import html
import math
import shutil
import sys
import time
from typing import Any, Optional

from hone.events import Event, Metrics, Started, StateChange
from hone.resources import JobInfo

_EVERY_SECONDS = 0.2
_WIDTH, _HEIGHT = 640, 200
_MOST_POINTS = 400  # of a drawn curve
_COLOURS = ("#2563eb", "#dc2626")
# What is drawn: the first of these that was measured, and the same of the validation.
_CURVES = ("loss", "mean_return", "generator_loss")


class Display:
    def __init__(self, info: JobInfo):
        self.name = info.display_name or info.name
        self.state, self.message = info.state, info.message
        self.latest: Optional[Metrics] = None
        self._curves: dict[str, list[tuple[int, float]]] = {}
        self._shown = -math.inf
        self._screen = _Notebook() if _in_notebook() else _Terminal() if sys.stderr.isatty() else None

    def take(self, event: Event) -> None:
        if isinstance(event, StateChange):
            self.state, self.message = event.state, event.message
        elif isinstance(event, Started):
            # The attempt goes on after a checkpoint: what the one before it told of later steps is void.
            self._curves = {name: [point for point in curve if point[0] <= event.resumed_from_step] for name, curve in self._curves.items()}
        elif isinstance(event, Metrics):
            self.latest = event
            for name, value in event.values.items():
                self._curves.setdefault(name, []).append((event.step, value))
        if time.monotonic() > self._shown + _EVERY_SECONDS:
            self._show()

    def finish(self, info: JobInfo) -> None:
        self.state, self.message = info.state, info.message
        self._show()
        if self._screen is not None:
            self._screen.end()

    def share(self) -> float:
        """Of the training that is done, 0 to 1."""
        if self.state == "SUCCEEDED":
            return 1.0
        return min(1.0, self.latest.step / self.latest.total_steps) if self.latest and self.latest.total_steps else 0.0

    def line(self) -> str:
        words = [self.name, self.state.lower()]
        if self.latest:
            words.append(f"step {self.latest.step:,} of {self.latest.total_steps:,}")
            words += [f"{name} {points[-1][1]:.4g}" for name, points in self.drawn().items()]
            if self.latest.eta_seconds and self.state == "RUNNING":
                words.append(f"{self.latest.eta_seconds:.0f} s left")
        return "   ".join(filter(None, [*words, self.message]))

    def drawn(self) -> dict[str, list[tuple[int, float]]]:
        first = next((name for name in _CURVES if name in self._curves), next(iter(self._curves), ""))
        return {name: self._curves[name] for name in (first, f"validation_{first}") if name in self._curves}

    def _show(self) -> None:
        self._shown = time.monotonic()
        if self._screen is not None:
            self._screen.show(self)


class _Terminal:
    def show(self, display: Display) -> None:
        line = f"{100 * display.share():3.0f} %  {display.line()}"[:shutil.get_terminal_size().columns - 1]
        print(f"\r{line}\033[K", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        print(file=sys.stderr)


class _Notebook:
    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, display: Display) -> None:
        from IPython.display import HTML
        from IPython.display import display as show

        page = HTML(render_html(display))
        if self._handle is None:
            self._handle = show(page, display_id=True)
        else:
            self._handle.update(page)

    def end(self) -> None:
        pass


def _in_notebook() -> bool:
    """A shell that a kernel runs; one in a terminal draws no pages."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def render_html(display: Display) -> str:
    return (f"<div style='max-width:{_WIDTH}px;font-family:sans-serif;font-size:13px'><div>{html.escape(display.line())}</div>"
            f"<progress value='{display.share():.4f}' max='1' style='width:100%'></progress>{_svg(display.drawn())}</div>")


def _svg(curves: dict[str, list[tuple[int, float]]]) -> str:
    steps = [step for points in curves.values() for step, _ in points]
    values = [value for points in curves.values() for _, value in points]
    if len(steps) < 2:
        return ""
    left, right, low, high = min(steps), max(steps), min(values), max(values)
    lines = []
    for (name, points), colour in zip(curves.items(), _COLOURS):
        every = max(1, len(points) // _MOST_POINTS)
        thinned = points[::every] if (len(points) - 1) % every == 0 else [*points[::every], points[-1]]
        drawn = " ".join(f"{(step - left) / ((right - left) or 1) * _WIDTH:.1f},{(high - value) / ((high - low) or 1) * _HEIGHT:.1f}"
                         for step, value in thinned)
        lines.append(f"<polyline points='{drawn}' fill='none' stroke='{colour}' stroke-width='1.5'><title>{html.escape(name)}</title></polyline>")
    key = " ".join(f"<span style='color:{colour}'>━ {html.escape(name)}</span>" for name, colour in zip(curves, _COLOURS))
    return (f"<svg viewBox='-2 -2 {_WIDTH + 4} {_HEIGHT + 4}' width='100%' style='border:1px solid #ccc'>{''.join(lines)}</svg>"
            f"<div>{key}   {low:.4g} to {high:.4g}, steps {left:,} to {right:,}</div>")
