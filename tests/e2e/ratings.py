#!/usr/bin/env python3
"""Recommendation as its users meet it: a table of ratings uploaded, checked, learned by the server and here, and asked for lists.

    ratings.py HONED HONE SOURCE_DIR
"""
import json
import pathlib
import random
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from learned import EXAMPLES, AtServer, hone  # noqa: E402

JOB = EXAMPLES / "ratings.yaml"
USERS, ITEMS = 40, 30


def likes(user, item):
    return user % 2 == item % 2


def write_ratings(path):
    """Two kinds of users and of films; each likes their own kind."""
    rng = random.Random(7)
    rows = ["who,film,stars,title"]
    for user in range(USERS):
        for item in range(ITEMS):
            if rng.random() < 0.5:
                stars = (4.0 if likes(user, item) else 2.0) + rng.gauss(0, 0.2)
                rows.append(f"u{user},{item},{stars:.2f},{'Even' if item % 2 == 0 else 'Odd'} film {item}")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


OF_OWN = ["--set", "data.ratings.name=title", "--set", "training.epochs=40", "--set", "training.batch_size=32",
          "--set", "training.checkpoints.every_seconds=0"]


class Ratings(AtServer):
    @classmethod
    def prepare(cls):
        write_ratings(cls.folder / "films.csv")
        cls.begin(cls.at_server("data", "put", "films", cls.folder / "films.csv"))
        cls.job = cls.submit(JOB, "--set", "data.dataset=films", *OF_OWN)

    def list_of(self, answer):
        return self.predictions(answer)[0]["recommendation"]

    def test_the_job_ends_with_its_errors_in_stars(self):
        final = self.job["evaluation"]["metrics"]
        self.assertLess(final["test_rmse"], 0.5)
        self.assertLess(final["test_mae"], final["test_rmse"])
        self.assertNotIn("rmse_over_floor", final)

    def test_the_model_lists_what_a_user_has_not_rated_first(self):
        found = self.list_of(self.at_server("--output", "json", "predict", self.job["model"], "--user", "u7", "--top", ITEMS))
        rated = [item.get("rated", False) for item in found["items"]]
        self.assertEqual(rated, sorted(rated))
        self.assertGreater(sum(rated), 3)
        fresh = [int(item["id"]) for item in found["items"] if not item.get("rated", False)]
        self.assertTrue(all(likes(7, item) for item in fresh[:3]), fresh)
        self.assertIn("Odd film", found["items"][0]["name"])

    def test_an_unknown_user_is_answered_by_the_means_and_told_so(self):
        found = self.list_of(self.at_server("--output", "json", "predict", self.job["model"], "--user", "nobody"))
        self.assertTrue(found["unknown_user"])
        self.assertEqual(len(found["items"]), 10)
        shown = self.at_server("predict", self.job["model"], "--user", "nobody")
        self.assertIn("not known", shown.stdout)

    def test_a_table_of_pairs_is_answered_with_ratings(self):
        (self.folder / "pairs.csv").write_text("who,film\nu1,1\nu1,2\nnobody,1\n", encoding="utf-8")
        answer = self.at_server("--output", "json", "predict", self.job["model"], "--csv", self.folder / "pairs.csv")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        values = [p["regression"]["values"][0] for p in json.loads(answer.stdout.splitlines()[-1])["predictions"]]
        self.assertGreater(values[0], values[1] + 1)
        self.assertLess(abs(values[2] - 3), 0.7)

    def test_a_picture_is_none_of_its_questions(self):
        answer = self.at_server("predict", self.job["model"], EXAMPLES / "seven.png")
        self.assertEqual(answer.returncode, 2, answer.stdout)
        self.assertIn("recommends items", answer.stderr)

    def test_a_run_here_answers_as_the_server_does(self):
        done = hone("run", JOB, "--set", "data.dataset=", "--set", f"data.path={self.folder / 'films.csv'}", *OF_OWN,
                    "--run-dir", self.folder / "run")
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr)
        here = self.list_of(hone("--output", "json", "predict", self.folder / "run", "--user", "u7"))
        there = self.list_of(self.at_server("--output", "json", "predict", self.job["model"], "--user", "u7"))
        self.assertEqual(here, there)

    def test_the_upload_is_checked_and_shown(self):
        checked = self.at_server("data", "check", "films")
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
        shown = self.at_server("data", "show", "films", "--rows", "2")
        self.assertIn("stars", shown.stdout)

    def test_the_plan_has_the_tables_of_users_and_items(self):
        plan = hone("plan", JOB, "--no-measure", "--output", "json")
        self.assertEqual(plan.returncode, 0, plan.stderr)
        layers = {layer["name"]: layer for layer in json.loads(plan.stdout.splitlines()[-1])["layers"]}
        self.assertEqual(int(layers["user_factors"]["weights"]), 3 * 600)
        self.assertEqual(int(layers["item_bias"]["weights"]), 400)

    def test_bad_ratings_are_refused_with_what_is_wrong(self):
        cases = {
            "u,i,r\nann,1,3\nann,2,4\n": "of one user, 'ann'",
            "u,i,r\nann,1,3\nbob,2,3\n": "all 2 ratings are 3",
            "u,i,r\n1,1,3\n-4,2,5\n": "line 3, column 'u': the id '-4' is negative",
        }
        for number, (text, said) in enumerate(cases.items()):
            (self.folder / "bad.csv").write_text(text, encoding="utf-8")
            done = hone("run", JOB, "--set", "data.dataset=", "--set", f"data.path={self.folder / 'bad.csv'}",
                        "--run-dir", self.folder / f"bad-{number}")
            self.assertNotEqual(done.returncode, 0, text)
            self.assertIn(said, done.stdout + done.stderr)
        done = hone("run", JOB, "--set", "data.ratings.user=nobody", "--set", "data.dataset=", "--set",
                    f"data.path={self.folder / 'films.csv'}", "--run-dir", self.folder / "bad")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("there is no column 'nobody' (data.ratings.user)", done.stdout + done.stderr)

    def test_implicit_feedback_ends_with_the_quality_of_lists(self):
        done = hone("run", JOB, "--set", "data.dataset=", "--set", f"data.path={self.folder / 'films.csv'}", *OF_OWN,
                    "--set", "recommendation.feedback=IMPLICIT", "--set", "data.ratings.at_least=3",
                    "--set", "data.ratings.split=LEAVE_ONE_OUT", "--output", "json", "--run-dir", self.folder / "implicit")
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr)
        final = json.loads(done.stdout.splitlines()[-1])["evaluation"]["metrics"]
        self.assertGreater(final["test_hit_rate"], 0.8)
        self.assertGreater(final["test_ndcg"], 0.3)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
