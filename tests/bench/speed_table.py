"""What `make bench` measured, row by row: ratios, goals, and the table that it ends with. No measuring is done here."""
import dataclasses
import fnmatch
import statistics

SIGNS = {True: "≥", False: "≤"}


def wanted(patterns, name, group=""):
    """Whether a row is asked for: by any of the patterns, separated by commas, with * and ?, or a part of its name or group. "" asks for all."""
    parts = [part.strip() for part in patterns.split(",") if part.strip()]
    return not parts or any(fnmatch.fnmatchcase(name, part) or part in name or part == group for part in parts)


@dataclasses.dataclass
class Goal:
    value: float
    least: bool = True  # else the most

    def reached(self, value):
        return value >= self.value if self.least else value <= self.value

    def verdict(self, value):
        return f"{'ok' if self.reached(value) else 'MISSED'} ({SIGNS[self.least]} {self.value:g})"


@dataclasses.dataclass
class Check:
    """A number of a row beside its ratio, and its goal, if it has one."""
    what: str
    value: float
    goal: Goal | None = None


@dataclasses.dataclass
class Row:
    """One line of the table. Times are medians of the rounds; None where nothing was measured."""
    name: str
    unit: str = "ms"
    ours: float | None = None
    theirs: float | None = None
    way: str = ""               # PyTorch's best
    ratio: float | None = None  # how many times faster ours is
    least_ratio: float | None = None  # of the rounds
    most_ratio: float | None = None
    goal: Goal | None = None
    steps: tuple | None = None   # timed, all rounds together: ours, PyTorch's
    spread: tuple | None = None  # ours, PyTorch's; between the quartiles of the steps' times, a share of the median
    mfu: tuple | None = None     # ours, PyTorch's
    rss_mb: tuple | None = None  # ours, PyTorch's
    checks: list = dataclasses.field(default_factory=list)

    def goals(self):
        """(what, value, goal) of each goal; of a ratio that could not be taken the value is None."""
        found = [("ratio", self.ratio, self.goal)] if self.goal else []
        return found + [(check.what, check.value, check.goal) for check in self.checks if check.goal]

    def missed(self):
        return [(what, value, goal) for what, value, goal in self.goals() if value is not None and not goal.reached(value)]


def median_of(runs, key):
    return statistics.median(run[key] for run in runs)


def pair_of(ours, theirs, key, combine):
    """`combine` of one key of both sides' runs; None where neither has it."""
    both = tuple(combine([run[key] for run in runs]) if runs and key in runs[0] else None for runs in (ours, theirs))
    return None if both == (None, None) else both


def compare(name, ours, theirs, key="step_ms", goal=None, unit="ms", more_is_better=False):
    """The row of a measurement: `ours` a list of runs, one a round, `theirs` such a list for each way of running PyTorch.

    PyTorch's best way is the one with the best median. The ratio is taken round by round, and of these the median.
    """
    row = Row(name, unit, ours=median_of(ours, key), goal=goal)
    best = []
    if theirs:
        row.way = (max if more_is_better else min)(theirs, key=lambda way: median_of(theirs[way], key))
        best = theirs[row.way]
        row.theirs = median_of(best, key)
        ratios = [o[key] / t[key] if more_is_better else t[key] / o[key] for o, t in zip(ours, best)]
        row.ratio, row.least_ratio, row.most_ratio = statistics.median(ratios), min(ratios), max(ratios)
    row.steps = pair_of(ours, best, "steps", sum)
    row.spread = pair_of(ours, best, "spread", statistics.median)
    row.rss_mb = pair_of(ours, best, "peak_rss_mb", statistics.median)
    if "mfu" in ours[0]:
        # The same operations over the same product's rate, in PyTorch's time.
        theirs_mfu = statistics.median(o["mfu"] * o[key] / t[key] for o, t in zip(ours, best)) if best else None
        row.mfu = median_of(ours, "mfu"), theirs_mfu
    return row


def add_rss_goal(row, most):
    """Our peak memory as a share of PyTorch's, and the most that it should be."""
    if row.rss_mb and None not in row.rss_mb:
        row.checks.append(Check("RSS ÷ PyTorch's", row.rss_mb[0] / row.rss_mb[1], Goal(most, least=False)))


def number(value):
    """Three digits or all before the point: 0.0123, 2.49, 65,100."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-3 or value == 0 else f"{value:.1e}"


def both(pair, write):
    return " / ".join("–" if value is None else write(value) for value in pair) if pair else "–"


COLUMNS = ["row", "ours", "PyTorch's best", "ratio (rounds)", "goal", "RSS MB, ours / PyTorch's", "steps timed", "spread", "MFU", "besides"]


def cells(row):
    goal = "–"
    if row.goal:
        goal = row.goal.verdict(row.ratio) if row.ratio is not None else f"not measured ({SIGNS[row.goal.least]} {row.goal.value:g})"
    checks = [f"{check.what} {number(check.value)}" + (f" {check.goal.verdict(check.value)}" if check.goal else "") for check in row.checks]
    return [row.name,
            "–" if row.ours is None else f"{number(row.ours)} {row.unit}".strip(),
            "–" if row.theirs is None else f"{number(row.theirs)} {row.way}".strip(),
            "–" if row.ratio is None else f"{row.ratio:.2f} × ({row.least_ratio:.2f}–{row.most_ratio:.2f})",
            goal, both(row.rss_mb, lambda mb: f"{mb:.0f}"), both(row.steps, str), both(row.spread, lambda share: f"{100 * share:.0f} %"),
            both(row.mfu, lambda share: f"{100 * share:.0f} %"), "; ".join(checks) or "–"]


def markdown(rows):
    """The table, and behind it what was missed."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    missed = [f"{row.name}: {what} {number(value)} instead of {SIGNS[goal.least]} {goal.value:g}"
              for row in rows for what, value, goal in row.missed()]
    reached = sum(value is not None and goal.reached(value) for row in rows for _, value, goal in row.goals())
    lines += ["", f"{reached} of {sum(len(row.goals()) for row in rows)} goals reached" + ("; missed:" if missed else "")]
    return "\n".join(lines + [f"- {one}" for one in missed])


def as_json(rows, about):
    """For a file: `about` the run, then the rows, each goal with whether it is reached."""
    stored = []
    for row in rows:
        entry = dataclasses.asdict(row)
        del entry["goal"], entry["checks"]
        entry["goals"] = [{"what": what, "value": value, "goal": goal.value, "least": goal.least,
                           "reached": None if value is None else goal.reached(value)} for what, value, goal in row.goals()]
        entry["besides"] = {check.what: check.value for check in row.checks if not check.goal}
        stored.append({key: value for key, value in entry.items() if value not in (None, [], {}, "")})
    return {**about, "rows": stored}
