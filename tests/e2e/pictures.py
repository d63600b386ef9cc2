#!/usr/bin/env python3
"""Pictures drawn by a GAN, as a user meets it: hone run, the grids, hone generate here and by a server, the artifacts, what is refused.

    pictures.py HONED HONE SOURCE_DIR

The data are 600 pictures of bars made here, in the place of the catalogue's MNIST: ten classes, told by where the bar is.
"""
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from bars import CLASSES, SIZE, write_mnist  # noqa: E402
from honed import LONGEST_SECONDS, Honed  # noqa: E402

HONED, HONE, SOURCE = sys.argv[1:4]
# The examples, cut: fewer steps, smaller networks, fewer drawings.
CUT = ["--set", "training.epochs=3", "--set", "data.limit=500", "--set", "image_generation.evaluation.drawings=500", "--threads", "2"]
SMALL = ["--set", "model.preset.dcgan.generator_filters=[8,4]", "--set", "model.preset.dcgan.discriminator_filters=[4,8]"]


def png_size(data):
    assert data[:8] == b"\x89PNG\r\n\x1a\n", "no PNG file"
    return struct.unpack(">II", data[16:24])


class Pictures(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="hone-pictures-")
        cls.addClassCleanup(scratch.cleanup)
        cls.folder = pathlib.Path(scratch.name)
        write_mnist(cls.folder / "mirror" / "mnist", random.Random(5))
        cls.environment = dict(os.environ, HONE_DATA_DIR=str(cls.folder / "mirror"))
        cls.run_dir = cls.folder / "run"
        cls.example = pathlib.Path(SOURCE) / "client" / "examples" / "mnist-dcgan.yaml"
        cls.done = cls.hone("--output", "json", "run", cls.example, "--run-dir", cls.run_dir, *CUT, *SMALL)

    @classmethod
    def hone(cls, *arguments):
        return subprocess.run([HONE, *map(str, arguments)], capture_output=True, text=True, timeout=3 * LONGEST_SECONDS, check=False,
                              env=cls.environment)

    def setUp(self):
        self.assertEqual(self.done.returncode, 0, self.done.stdout[-2000:] + self.done.stderr)

    def generate(self, *arguments, model=None, name="drawings.png"):
        out = self.folder / name
        done = self.hone("generate", model or self.run_dir, "--out", out, *arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return out.read_bytes()

    def test_the_run_ends_with_the_metrics_of_the_classifier_and_a_grid_of_each_epoch(self):
        metrics = json.loads(self.done.stdout.splitlines()[-1])["evaluation"]["metrics"]
        for name in ("frechet_distance", "class_share_min", "class_share_min_confident", "classifier_confidence", "variety"):
            self.assertIn(name, metrics)
        self.assertGreater(metrics["frechet_distance"], 0)
        grids = sorted((self.run_dir / "artifacts" / "samples").glob("*.png"))
        self.assertEqual(len(grids), 3)
        self.assertEqual(png_size(grids[0].read_bytes()), (8 * SIZE + 7 * 2,) * 2)
        shares = (self.run_dir / "artifacts" / "evaluation" / "class-shares.csv").read_text().splitlines()
        self.assertEqual(len(shares), 1 + CLASSES)
        self.assertAlmostEqual(sum(float(line.split(",")[1]) for line in shares[1:]), 1, delta=1e-4)

    def with_classifier(self, path, name):
        run_dir = self.folder / name
        return run_dir, self.hone("--output", "json", "run", self.example, "--run-dir", run_dir, *CUT, *SMALL, "--set", "training.epochs=1",
                                  "--set", f"image_generation.evaluation.path={path}")

    def test_a_classifier_that_a_path_names_judges_and_none_is_trained(self):
        run_dir, done = self.with_classifier(self.run_dir / "helper", "judged")
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr)
        self.assertGreater(json.loads(done.stdout.splitlines()[-1])["evaluation"]["metrics"]["frechet_distance"], 0)
        self.assertFalse((run_dir / "helper").exists())

    def test_a_path_that_leads_to_no_classifier_is_named(self):
        _, done = self.with_classifier(self.folder / "nowhere", "not-judged")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("nowhere", done.stdout + done.stderr)

    def test_the_same_seed_draws_the_same_pictures_and_another_one_others(self):
        first = self.generate("--count", 9, "--seed", 3)
        self.assertEqual(png_size(first), (3 * SIZE + 2 * 2,) * 2)
        self.assertEqual(self.generate("--count", 9, "--seed", 3), first)
        self.assertNotEqual(self.generate("--count", 9, "--seed", 4), first)

    def test_the_way_from_one_seed_to_another_is_a_strip(self):
        self.assertEqual(png_size(self.generate("--seed", 1, "--to-seed", 2, "--count", 6)), (6 * SIZE + 5 * 2, SIZE))

    def test_a_class_is_refused_by_a_model_that_knows_none(self):
        done = self.hone("generate", self.run_dir, "--class", "7", "--out", self.folder / "none.png")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("does not draw by class", done.stderr)
        self.assertFalse((self.folder / "none.png").exists())

    def test_a_picture_is_no_question_to_a_model_that_draws(self):
        done = self.hone("predict", self.run_dir, pathlib.Path(SOURCE) / "client" / "examples" / "seven.png")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("draws pictures", done.stderr)

    def test_drawn_by_class_each_class_has_its_drawings(self):
        run_dir = self.folder / "by-class"
        done = self.hone("run", self.example.with_name("fashion-dcgan.yaml"), "--run-dir", run_dir, *CUT, *SMALL,
                         "--set", "data.dataset=mnist", "--set", "training.epochs=1", "--set", "image_generation.evaluation.drawings=0")
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr)
        sevens = self.generate("--count", 4, "--class", "7", model=run_dir)
        self.assertNotEqual(sevens, self.generate("--count", 4, "--class", "1", model=run_dir))
        done = self.hone("generate", run_dir, "--class", "eleven", "--out", self.folder / "none.png")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("there is no class eleven", done.stderr)

    def test_the_dense_generator_draws_after_a_cut_of_its_example(self):
        run_dir = self.folder / "dense"
        done = self.hone("run", self.example.with_name("mnist-gan.yaml"), "--run-dir", run_dir, *CUT, "--set", "training.epochs=2",
                         "--set", "image_generation.evaluation.drawings=0", "--set", "model.preset.gan.generator_units=[16,16]",
                         "--set", "model.preset.gan.discriminator_units=[16]")
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr)
        self.assertEqual(len(list((run_dir / "artifacts" / "samples").glob("*.png"))), 2)
        self.assertEqual(png_size(self.generate("--count", 4, model=run_dir, name="dense.png")), (2 * SIZE + 2,) * 2)

    def test_a_server_trains_keeps_the_grids_and_draws_as_its_model_does_here(self):
        server = Honed(HONED, self.folder / "server", environment=self.environment)
        self.addCleanup(server.stop)
        hone = lambda *arguments: self.hone("--server", server.address, *arguments)  # noqa: E731
        done = hone("--output", "json", "submit", self.example, "--follow", *CUT[:-2], *SMALL, "--set", "training.threads=1",
                    "--set", "image_generation.evaluation.drawings=0")
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr)
        job = json.loads(done.stdout.splitlines()[-1])
        listed = hone("jobs", "artifacts", job["name"])
        self.assertEqual(listed.stdout.count("samples/step-"), 3, listed.stdout + listed.stderr)
        drawn = self.generate_on(server, job["model"], "--count", 40, "--seed", 5)
        self.assertEqual(hone("models", "export", job["model"], self.folder / "exported").returncode, 0)
        self.assertEqual(self.generate("--count", 40, "--seed", 5, model=self.folder / "exported", name="here.png"), drawn)
        refused = hone("generate", job["model"], "--class", "7", "--out", self.folder / "none.png")
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("does not draw by class", refused.stderr)

    def generate_on(self, server, model, *arguments):
        out = self.folder / "there.png"
        done = self.hone("--server", server.address, "generate", model, "--out", out, *arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return out.read_bytes()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
