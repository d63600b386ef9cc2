#!/usr/bin/env python3
"""An agent as its users meet it: submitted without a data set, watched, its way among the artifacts and drawn by `hone predict`; and the
same by `hone run`, without a server.

    agent.py HONED HONE SOURCE_DIR
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from honed import LONGEST_SECONDS, Honed, run_tests  # noqa: E402

HONED, HONE, SOURCE = sys.argv[1:4]
EXAMPLES = pathlib.Path(SOURCE) / "client" / "examples"
MAZE = "S...#\n.##..\n...#.\n.#.T.\n...#G\n"
OTHER_MAZE = "S......\n.####..\n......#\n.##.#..\n....#..\n.#.....\n...#..G\n"
# The larger examples' first steps: enough for updates and two evaluations.
FEW_STEPS = [part for setting in ("training.steps=4000", "reinforcement_learning.learning_starts=800", "reinforcement_learning.evaluate_every=2000",
                                  "reinforcement_learning.evaluation_episodes=20", "reinforcement_learning.final_episodes=20")
             for part in ("--set", setting)]
# The listing's job, whose thousand episodes take less than a second, from any start.
CUT = ["--set", "reinforcement_learning.maze.any_start=true"]


class Agent(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.server = Honed(HONED, cls.folder)
        cls.maze = cls.folder / "maze.txt"
        cls.maze.write_text(MAZE, encoding="utf-8")
        cls.submitted = cls.hone("--output", "json", "submit", EXAMPLES / "listing-dqn.yaml", "--follow", *CUT)
        cls.job = json.loads(cls.submitted.stdout.splitlines()[-1]) if cls.submitted.returncode == 0 else None

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.scratch.cleanup()

    def setUp(self):
        self.assertEqual(self.submitted.returncode, 0, self.submitted.stdout[-2000:] + self.submitted.stderr)

    @classmethod
    def hone(cls, *arguments):
        return subprocess.run([HONE, "--server", cls.server.address, *map(str, arguments)], capture_output=True, text=True,
                              timeout=3 * LONGEST_SECONDS, check=False, cwd=cls.folder, env=dict(os.environ, HONE_DATA_DIR=""))

    def predict(self, model, text=MAZE):
        file = self.folder / "asked.txt"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return self.hone("--output", "json", "predict", model, "--maze", file)

    def test_a_job_without_a_data_set_ends_with_its_final_metrics(self):
        final = self.job["evaluation"]["metrics"]
        self.assertGreaterEqual(final["success_rate"], 0.9)
        self.assertLessEqual(final["path_ratio"], 1.1)
        for name in ("mean_return", "episode_length"):
            self.assertGreater(final[name], 0, name)

    def test_its_metrics_tell_how_it_explores(self):
        table = self.hone("metrics", self.job["name"], "--csv")
        for name in ("epsilon", "recent_return", "recent_success_rate", "mean_q", "validation_success_rate"):
            self.assertIn(name, table.stdout.splitlines()[0])

    def test_the_way_is_drawn_into_the_log_and_left_as_a_picture(self):
        self.assertIn("\\n", self.submitted.stdout)
        self.assertIn("of the starts are solved", self.submitted.stdout)
        got = self.hone("jobs", "artifacts", self.job["name"], "get", "paths/final.png", "--to", self.folder / "got")
        self.assertEqual(got.returncode, 0, got.stderr)
        files = list((self.folder / "got").rglob("final.png"))
        self.assertEqual(files[0].read_bytes()[1:4], b"PNG")

    def test_predict_gives_the_path_and_the_value_of_every_cell(self):
        asked = self.predict(self.job["model"])
        self.assertEqual(asked.returncode, 0, asked.stderr)
        path = json.loads(asked.stdout)["predictions"][0]["path"]
        self.assertTrue(path["solved"])
        self.assertEqual(len(path["cells"]) - 1, int(path["shortest"]))
        self.assertEqual(len(path["values"]), 25)
        self.assertGreater(path["values"][19], path["values"][0])  # beside the goal, and at the start

    def test_predict_draws_the_path(self):
        asked = self.hone("predict", self.job["model"], "--maze", self.maze)
        self.assertEqual(asked.returncode, 0, asked.stderr)
        self.assertIn("██", asked.stdout)
        self.assertIn("8 steps, the shortest way has 8", asked.stdout)

    def test_a_maze_that_cannot_be_read_is_named_with_line_and_column(self):
        for text, why in ((MAZE.replace("S", "."), "there is no start"),
                          ("S#\n#G\n", "line 1, column 1: there is no way"),
                          (MAZE.replace("...#.", "..\t#."), "line 3, column 3: a cell must be one of"),
                          ("." * (10 << 20), "at most 32 lines of 32 cells"),
                          (b"S.\n\xff.\n.G\n", "line 2 is not UTF-8")):
            asked = self.predict(self.job["model"], text)
            self.assertNotEqual(asked.returncode, 0)
            self.assertIn(why, asked.stdout + asked.stderr)

    def test_a_maze_other_than_the_one_it_has_learned_is_refused(self):
        asked = self.predict(self.job["model"], MAZE.replace("T", "."))
        self.assertNotEqual(asked.returncode, 0)
        self.assertIn("line 4, column 4", asked.stdout + asked.stderr)

    def test_a_job_with_a_maze_without_a_way_is_refused_with_line_and_column(self):
        refused = self.hone("submit", EXAMPLES / "listing-dqn.yaml", "--set", "reinforcement_learning.maze.text=S#\n#G\n")
        self.assertEqual(refused.returncode, 2, refused.stdout + refused.stderr)
        self.assertIn("reinforcement_learning.maze.text: line 1, column 1: there is no way", refused.stdout + refused.stderr)

    def test_a_data_set_is_refused(self):
        refused = self.hone("submit", EXAMPLES / "cart-pole-dqn.yaml", "--set", "data.dataset=mnist")
        self.assertEqual(refused.returncode, 2, refused.stdout + refused.stderr)
        self.assertIn("an agent learns from its environment", refused.stdout + refused.stderr)

    def test_the_plan_of_each_example_is_known_before_it_runs(self):
        files = [EXAMPLES / f"{name}.yaml" for name in ("maze-dqn", "listing-dqn", "cart-pole-dqn", "cart-pole-ppo", "unseen-mazes-dqn")]
        plan = self.hone("plan", "--no-measure", *files)
        self.assertEqual(plan.returncode, 0, plan.stderr)
        self.assertIn("target.dense_1", plan.stdout)

    def test_the_maze_of_the_example_is_trained_in_and_its_way_is_left_as_a_picture(self):
        run = self.hone("--output", "json", "run", EXAMPLES / "maze-dqn.yaml", "--run-dir", self.folder / "maze", *FEW_STEPS)
        self.assertEqual(run.returncode, 0, run.stdout[-2000:] + run.stderr)
        self.assertIn("success_rate", json.loads(run.stdout.splitlines()[-1])["evaluation"]["metrics"])
        self.assertEqual((self.folder / "maze" / "artifacts" / "paths" / "final.png").read_bytes()[1:4], b"PNG")

    def test_a_maze_that_is_a_file_here_is_learned_on_the_server(self):
        submitted = self.hone("--output", "json", "submit", EXAMPLES / "maze-dqn.yaml", "--follow", *FEW_STEPS,
                              "--set", f"reinforcement_learning.maze.path={self.maze}")
        self.assertEqual(submitted.returncode, 0, submitted.stdout[-2000:] + submitted.stderr)
        asked = self.predict(json.loads(submitted.stdout.splitlines()[-1])["model"])
        self.assertEqual(asked.returncode, 0, asked.stderr)

    def test_a_maze_file_without_a_way_is_refused_by_its_name(self):
        file = self.folder / "no-way.txt"
        file.write_text("S#\n#G\n", encoding="utf-8")
        for command in ("run", "submit"):
            refused = self.hone(command, EXAMPLES / "listing-dqn.yaml", "--set", f"reinforcement_learning.maze.path={file}")
            self.assertEqual(refused.returncode, 2, refused.stdout + refused.stderr)
            self.assertIn(f"reinforcement_learning.maze.path: {file}: line 1, column 1: there is no way", refused.stdout + refused.stderr)

    def test_an_agent_of_unseen_mazes_is_asked_about_one_of_its_size(self):
        smaller = [part for i in range(3) for part in ("--set", f"model.layers[{i}].conv2d.filters=4")]
        run = self.hone("run", EXAMPLES / "unseen-mazes-dqn.yaml", "--run-dir", self.folder / "unseen", *FEW_STEPS, *smaller,
                        "--set", "model.layers[4].dense.units=16")
        self.assertEqual(run.returncode, 0, run.stdout[-2000:] + run.stderr)
        asked = self.predict(self.folder / "unseen", OTHER_MAZE)
        self.assertEqual(asked.returncode, 0, asked.stderr)
        self.assertEqual(len(json.loads(asked.stdout)["predictions"][0]["path"]["values"]), 49)

    def test_run_trains_here_and_the_model_says_what_each_action_is_worth(self):
        run = self.hone("run", EXAMPLES / "cart-pole-dqn.yaml", "--run-dir", self.folder / "pole", "--set", "training.steps=3000",
                        "--set", "reinforcement_learning.learning_starts=500", "--set", "reinforcement_learning.evaluation_episodes=10")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        rows = self.folder / "rows.csv"
        rows.write_text("position,velocity,angle,angular_velocity\n0.1,0,0.05,-0.2\n", encoding="utf-8")
        asked = self.hone("--output", "json", "predict", self.folder / "pole", "--csv", rows)
        self.assertEqual(asked.returncode, 0, asked.stderr)
        self.assertEqual(len(json.loads(asked.stdout)["predictions"][0]["regression"]["values"]), 2)

    def test_a_policy_is_learned_on_the_server_and_says_how_probable_each_action_is(self):
        submitted = self.hone("--output", "json", "submit", EXAMPLES / "cart-pole-ppo.yaml", "--follow", "--set", "training.steps=4096",
                              "--set", "reinforcement_learning.evaluate_every=2048", "--set", "reinforcement_learning.evaluation_episodes=10")
        self.assertEqual(submitted.returncode, 0, submitted.stdout[-2000:] + submitted.stderr)
        job = json.loads(submitted.stdout.splitlines()[-1])
        self.assertGreater(job["evaluation"]["metrics"]["mean_return"], 0)
        heads = self.hone("metrics", job["name"], "--csv").stdout.splitlines()[0]
        for name in ("entropy", "policy_divergence", "clipped_share", "value_error", "recent_return"):
            self.assertIn(name, heads)
        rows = self.folder / "poles.csv"
        rows.write_text("position,velocity,angle,angular_velocity\n0.1,0,0.05,-0.2\n", encoding="utf-8")
        asked = self.hone("--output", "json", "predict", job["model"], "--csv", rows)
        self.assertEqual(asked.returncode, 0, asked.stderr)
        self.assertAlmostEqual(sum(json.loads(asked.stdout)["predictions"][0]["regression"]["values"]), 1, places=5)


if __name__ == "__main__":
    run_tests()
