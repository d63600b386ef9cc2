#!/usr/bin/env python3
"""`tests/bench/run` with programs that stand in for ours and for PyTorch's: what is run, compared and stored."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

RUN = pathlib.Path(__file__).resolve().parent / "run"
# Each prints what it was called with into a list, and answers as its program would.
BENCH = {"instruction_sets": "AVX512_BF16", "f32_gflops": 200, "bf16_gflops": 400, "onednn": "oneDNN", "step_ms": 1.0, "mfu": 0.5,
         "step_over_sum": 1.0, "steps": 10, "spread": 0.1, "peak_rss_mb": 20.0}
SEQUENCES = {"step_ms": 10.0, "steps": 10, "spread": 0.1, "tokens": 100, "rows_over_tokens": 1.01, "shapes": 1, "mfu": 0.5, "peak_rss_mb": 100.0}
# In bf16 PyTorch's eager way is its best, in f32 the compiled one.
PYTORCHS = {("f32", "eager"): 40.0, ("f32", "compile"): 30.0, ("bf16", "eager"): 20.0, ("bf16", "compile"): 50.0}


def stand_in(path, answer):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\nimport json, sys\nopen({str(path.parent / 'calls')!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
                    f"a = sys.argv[1:]\n{answer}\n", encoding="utf-8")
    path.chmod(0o755)


class Runs(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        stand_in(self.folder / "bin" / "hone-bench", f"print(json.dumps({BENCH!r}))")
        stand_in(self.folder / "bin" / "hone-bench-sequences", f"print(json.dumps({SEQUENCES!r}))")
        # Three times as long by products as by ours: a fifth of it forward.
        stand_in(self.folder / "bin" / "hone-bench-attention",
                 "step = 15.0 if a[2] == 'products' else 5.0\n"
                 "print(json.dumps({'step_ms': step, 'steps': 10, 'spread': 0.1, 'forward_ms': step / 5, 'backward_ms': 4 * step / 5, 'gflops': 100}))")
        stand_in(self.folder / "bin" / "hone-bench-gan", f"print(json.dumps({BENCH!r} | {{'step_ms': 10.0}}))")
        self.pytorch_has(100)

    def pytorch_has(self, tokens):
        # The interpreter, which is asked for pip and torch first; then torch_sequences.py NET PRECISION MODE SECONDS.
        answer = (f"if a[0] in ('-m', '-c'): sys.exit(0)\ntimes = {PYTORCHS!r}\n"
                  # torch_gan.py NET BATCH PRECISION MODE: there bf16 is slow and f32 the best.
                  "gan = 'torch_gan' in a[0]\nprecision, mode = a[3:5] if gan else a[2:4]\n"
                  "step = times.get((precision, mode), 90.0) * (2 if gan and precision == 'bf16' else 1)\n"
                  f"print(json.dumps({{'step_ms': step, 'steps': 5, 'spread': 0.2, 'tokens': {tokens}, 'rows_over_tokens': 1.7,"
                  "'peak_rss_mb': 1000.0, 'forward_ms': 2.0, 'torch': '0.0'}))")
        stand_in(self.folder / "venv" / "bin" / "python", answer)

    def run_bench(self, *arguments):
        return subprocess.run([sys.executable, RUN, self.folder / "bin", "--rounds", "2", "--seconds", "0.1", *arguments], text=True,
                              capture_output=True, check=False, env={**os.environ, "HONE_TORCH_VENV": str(self.folder / "venv")})

    def stored(self, *arguments):
        done = self.run_bench(*arguments, "--store", self.folder / "table.json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads((self.folder / "table.json").read_text(encoding="utf-8"))

    def test_each_precision_is_held_against_its_rivals_best(self):
        rows = self.stored("--rows", "lstm")["rows"]
        self.assertEqual([(row["name"], row["way"], row["ratio"]) for row in rows], [("lstm f32", "compile f32", 3.0), ("lstm bf16", "eager bf16", 2.0)])

    def test_generators_are_held_against_pytorchs_best_precision(self):
        rows = self.stored("--rows", "dcgan*")["rows"]
        self.assertEqual([(row["name"], row["way"], row["ratio"]) for row in rows],
                         [("dcgan b64 f32", "compile f32", 3.0), ("dcgan b64 bf16", "compile f32", 3.0)])

    def test_f32_alone_runs_nothing_in_bf16(self):
        self.stored("--rows", "lstm f32")
        for side in ("bin", "venv/bin"):
            calls = (self.folder / side / "calls").read_text(encoding="utf-8")
            self.assertNotIn("bf16", calls)

    def test_the_goals_are_those_for_the_processor_that_is_found(self):
        f32, bf16 = self.stored("--rows", "lstm")["rows"]
        self.assertEqual(f32["goals"][0], {"what": "ratio", "value": 3.0, "goal": 1.4, "least": True, "reached": True})
        self.assertNotIn("ratio", [goal["what"] for goal in bf16["goals"]])

    def test_attention_stands_beside_pytorchs_and_the_products(self):
        rows = self.stored("--rows", "attention minilm*")["rows"]
        self.assertEqual([(row["name"], row["way"], row["ratio"]) for row in rows],
                         [("attention minilm f32", "compile f32", 6.0), ("attention minilm bf16", "eager bf16", 4.0)])
        self.assertEqual([(row["besides"]["× oneDNN's products"], row["besides"]["forward ms"]) for row in rows], [(3.0, 1.0), (3.0, 1.0)])

    def test_sides_with_different_tokens_are_not_compared(self):
        self.pytorch_has(101)
        done = self.run_bench("--rows", "lstm f32")
        self.assertEqual(done.returncode, 1)
        self.assertIn("lstm f32: ours has 100 tokens in a mean step, PyTorch's 101", done.stderr)

    def test_a_file_that_ends_with_md_has_the_table(self):
        self.assertEqual(self.run_bench("--rows", "gru f32", "--store", self.folder / "table.md").returncode, 0)
        self.assertIn("| gru f32 | 10 ms | 30 compile f32 | 3.00 × (3.00–3.00) | MISSED (≥ 4) |", (self.folder / "table.md").read_text(encoding="utf-8"))

    def test_rows_that_there_are_not_are_refused(self):
        done = self.run_bench("--rows", "lstn")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("no row fits 'lstn'", done.stderr)


unittest.main()
