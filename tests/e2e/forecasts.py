#!/usr/bin/env python3
"""A series as its users meet it: a table uploaded and learned by the server, another learned here, both asked for what comes next.

    forecasts.py HONED HONE SOURCE_DIR
"""
import json
import math
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from learned import EXAMPLES, AtServer, here, hone  # noqa: E402

JOB = EXAMPLES / "airline-lstm.yaml"
MONTHS = 180
OF_OWN = ["--set", "data.series.target=sold", "--set", "data.series.time=month", "--set", "training.epochs=10",
          "--set", "training.optimizer.adam.learning_rate=0.01", "--set", "training.checkpoints.every_seconds=0"]


def sold(month):
    """Twice as much in ten years, and half as much again in summer as in winter."""
    return 100 * 2 ** (month / 120) * (1 + 0.2 * math.sin(2 * math.pi * month / 12))


def table(months):
    rows = [f"{1990 + month // 12}-{month % 12 + 1:02},{sold(month):.3f}" for month in range(months)]
    return "month,sold\n" + "\n".join(rows) + "\n"


class Forecasts(AtServer):
    @classmethod
    def prepare(cls):
        cls.csv = cls.folder / "sales.csv"
        cls.csv.write_text(table(MONTHS), encoding="utf-8")
        cls.job = cls.submit(JOB, *here(cls.csv), *OF_OWN)

    def forecast(self, answer):
        return self.predictions(answer)[0]["forecast"]

    def test_the_job_ends_better_than_the_naive_forecasts(self):
        metrics = self.job["evaluation"]["metrics"]
        self.assertLess(metrics["test_mae"], metrics["test_naive_mae"])
        self.assertLess(metrics["test_mase"], metrics["test_seasonal_naive_mase"])

    def test_the_model_is_asked_for_the_next_year(self):
        forecast = self.forecast(self.at_server("--output", "json", "predict", self.job["model"], "--series", self.csv))
        self.assertEqual(forecast["target"], "sold")
        self.assertEqual(forecast["times"], [f"2005-{month:02}" for month in range(1, 13)])
        for ahead, value in enumerate(forecast["values"]):
            self.assertLess(abs(value - sold(MONTHS + ahead)), 0.1 * value)

    def test_a_forecast_is_drawn_behind_the_history(self):
        answer = self.at_server("predict", self.job["model"], "--series", self.csv)
        self.assertEqual(answer.returncode, 0, answer.stdout + answer.stderr)
        self.assertIn("2004-12", answer.stdout)
        self.assertIn("━ forecast", answer.stdout)
        self.assertIn("2005-12", answer.stdout)

    def test_a_series_is_learned_here_and_answers_too(self):
        done = hone("run", JOB, *here(self.csv), *OF_OWN, "--run-dir", self.folder / "run")
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr)
        self.assertIn("MASE", done.stdout)
        self.assertEqual(len(self.forecast(hone("--output", "json", "predict", self.folder / "run", "--series", self.csv))["values"]), 12)

    def test_the_plan_knows_the_points(self):
        plan = hone("plan", JOB, *here(self.csv), *OF_OWN, "--no-measure", "--output", "json")
        self.assertEqual(plan.returncode, 0, plan.stderr)
        layers = {layer["name"]: layer for layer in json.loads(plan.stdout.splitlines()[-1])["layers"]}
        self.assertEqual(int(layers["lstm_1"]["weights"]), 4 * 16 * (1 + 16))

    def test_a_series_that_is_too_short_to_ask_is_refused(self):
        short = self.folder / "short.csv"
        short.write_text(table(20), encoding="utf-8")
        answer = self.at_server("predict", self.job["model"], "--series", short)
        self.assertNotEqual(answer.returncode, 0)
        self.assertIn("has 20 points; the model needs the last 24", answer.stdout + answer.stderr)

    def test_bad_series_are_refused_with_what_is_wrong(self):
        good = table(MONTHS).splitlines()
        cases = {
            "\n".join([*good[:50], good[50].split(",")[0] + ",", *good[51:]]): "line 51, column 'sold': the value is missing",
            "\n".join([*good[:50], good[50].split(",")[0] + ",much", *good[51:]]): "line 51, column 'sold': 'much' is not a number",
            "\n".join([*good[:50], good[49], *good[51:]]): "line 51, column 'month'",
            "\n".join(good[:40]): "a window of 24 and a horizon of 12 need at least 36",
            "\n".join([good[0].replace("sold", "bought"), *good[1:]]): "there is no column 'sold'",
            "\n".join([good[0], *(row.split(",")[0] + ",5" for row in good[1:])]): "column 'sold' is 5",
        }
        for number, (text, said) in enumerate(cases.items()):
            (self.folder / "bad.csv").write_text(text + "\n", encoding="utf-8")
            done = hone("run", JOB, *here(self.folder / "bad.csv"), *OF_OWN, "--run-dir", self.folder / f"bad-{number}")
            self.assertNotEqual(done.returncode, 0, said)
            self.assertIn(said, done.stdout + done.stderr)

    def test_a_horizon_of_nothing_is_refused(self):
        done = hone("run", JOB, *here(self.csv), *OF_OWN, "--set", "data.series.horizon=0", "--run-dir", self.folder / "nothing")
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertIn("data.series.horizon", done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
