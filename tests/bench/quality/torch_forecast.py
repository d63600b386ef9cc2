#!/usr/bin/env python3
"""A forecast in PyTorch, trained by a job file of Hone: the same net, windows, cuts in time, scaling, first weights and optimizer.

    torch_forecast.py JOB --seed N [--set a.b=c …]

Prints one line of JSON, the naive forecasts' errors in it: they must be those that Hone reports.
"""
import csv
import pathlib
import sys

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import job as jobs  # noqa: E402
from data_files import find  # noqa: E402
from sequence_nets import SequenceNet, answers, train  # noqa: E402


class Series:
    """A column of a table as windows (engine/data/series.h)."""

    def __init__(self, spec):
        series = spec["series"]
        assert not set(series) - {"target", "time", "window", "horizon", "period", "scaling", "base"}, series
        self.window, self.horizon, self.period = series["window"], series.get("horizon", 1), series.get("period", 1)
        self.base_kind, self.scaling = series.get("base", "ZERO"), series.get("scaling", "STANDARD")
        rows = list(csv.reader(find(spec["dataset"])[0].read_text(encoding="utf-8").splitlines()))
        column = rows[0].index(series["target"])
        self.values = np.array([float(row[column]) for row in rows[1:]])
        count = len(self.values)
        test = count - self.share(spec.get("test_fraction", 0.2), count)
        validation = test - self.share(spec.get("validation_fraction", 0.0), test)
        numbers = np.log(self.values) if self.scaling == "LOG_STANDARD" else self.values
        known = numbers[:validation]
        self.mean, self.deviation = (0.0, 1.0) if self.scaling == "UNSCALED" else (known.mean(), known.std())
        self.scaled = (numbers - self.mean) / self.deviation
        self.unit = np.abs(self.values[self.period:validation] - self.values[:validation - self.period]).mean()
        before = max(self.window, self.period)
        cuts = {"train": (0, validation), "validation": (validation, test), "test": (test, count)}
        self.first = {part: np.arange(max(begin, before), end - self.horizon + 1) for part, (begin, end) in cuts.items()}

    @staticmethod
    def share(fraction, of):
        return int(fraction * of + 0.5)

    def ahead(self, first):
        """The places of what is forecast, [examples, horizon]."""
        return first[:, None] + np.arange(self.horizon)

    def seasonal(self, first):
        return first[:, None] + np.arange(self.horizon) % self.period - self.period

    def base(self, first):
        if self.base_kind == "ZERO":
            return 0.0
        return self.scaled[first - 1][:, None] if self.base_kind == "LAST" else self.scaled[self.seasonal(first)]

    def batch_of(self, part, rows):
        first = self.first[part][rows.numpy()]
        windows = self.scaled[first[:, None] + np.arange(-self.window, 0)]
        targets = self.scaled[self.ahead(first)] - self.base(first)
        return ((torch.tensor(windows, dtype=torch.float32)[:, :, None], torch.full((len(first),), self.window)),
                torch.tensor(targets, dtype=torch.float32))

    def errors(self, prefix, said, first):
        """Of forecasts in the series' own unit, [examples, horizon]."""
        off = said - self.values[self.ahead(first)]
        return {f"test_{prefix}mae": float(np.abs(off).mean()), f"test_{prefix}rmse": float(np.sqrt((off ** 2).mean())),
                f"test_{prefix}mase": float(np.abs(off).mean() / self.unit)}

    def judge(self, outputs):
        """The metrics that Hone's forecasting ends with."""
        first = self.first["test"]
        said = (outputs.double().numpy() + self.base(first)) * self.deviation + self.mean
        metrics = self.errors("", np.exp(said) if self.scaling == "LOG_STANDARD" else said, first)
        metrics |= self.errors("naive_", self.values[first - 1][:, None], first)
        return metrics | (self.errors("seasonal_naive_", self.values[self.seasonal(first)], first) if self.period > 1 else {})


def main():
    _, job = jobs.arguments(__doc__)
    assert job["forecasting"] == {"loss": "MSE"}
    series = Series(job["data"])
    net = SequenceNet(job["model"]["layers"], width=1)
    sizes = {part: len(first) for part, first in series.first.items()}
    train(job, net, series.batch_of, sizes, nn.MSELoss())
    jobs.report(series.judge(answers(net, series.batch_of, sizes, "test")[0]))


main()
