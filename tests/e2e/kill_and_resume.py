#!/usr/bin/env python3
"""A run killed with SIGKILL at random moments and resumed each time ends with the same weights and artifacts, bit by bit, as one that was
left alone.

    kill_and_resume.py HONE [--kills N] [--seed S] [--of table|texts|language|series|translation] [--job FILE] [--every-steps N]

Without --job the data is made here, so that nothing is downloaded: of a table dense layers are trained, of texts an LSTM that classifies them, of
one running text a language model, of a series a forecast, of pairs of sentences a translation. Each kill hits the worker or `hone` itself.
"""
import argparse
import hashlib
import json
import math
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time


def write_table(path, rng):
    """Four classes from the signs of two sums of eight numbers."""
    with open(path, "w", encoding="utf-8") as out:
        out.write(",".join(f"x{i}" for i in range(8)) + ",side\n")
        for _ in range(3000):
            x = [rng.gauss(0, 1) for _ in range(8)]
            side = "abcd"[(x[0] * x[1] + x[2] > 0) + 2 * (x[3] + x[4] * x[5] > 0)]
            out.write(",".join(f"{v:.4f}" for v in x) + f",{side}\n")


def write_texts(path, rng):
    """Two classes by which of two words comes last; what stands around them is chance."""
    others = [f"word{i}" for i in range(60)]
    with open(path, "w", encoding="utf-8") as out:
        out.write("label\ttext\n")
        for _ in range(600):
            words = rng.choices(others, k=rng.randrange(1, 20)) + ["good", "bad"]
            rng.shuffle(words)
            out.write(f"{'for' if words.index('good') > words.index('bad') else 'against'}\t{' '.join(words)}\n")


def write_language(path, rng):
    """Words of a small language, one behind another."""
    words = ["".join(rng.choices("abcdefgh", k=rng.randrange(2, 7))) for _ in range(40)]
    path.write_text(" ".join(rng.choices(words, k=3000)), encoding="utf-8")


def write_series(path, rng):
    """A rise, a season of 12 and chance."""
    rows = [f"{100 + 0.2 * i + 20 * math.sin(2 * math.pi * i / 12) + rng.gauss(0, 2):.3f}" for i in range(500)]
    path.write_text("value\n" + "\n".join(rows) + "\n", encoding="utf-8")


def write_pairs(path, rng):
    """Sentences of small numbers, said backwards in another language."""
    words = {"one": "un", "two": "deux", "three": "trois", "four": "quatre", "five": "cinq", "six": "six", "seven": "sept"}
    with open(path, "w", encoding="utf-8") as out:
        for _ in range(500):
            said = rng.choices(list(words), k=rng.randrange(1, 9))
            out.write(f"{' '.join(said)}\t{' '.join(words[word] for word in reversed(said))}\n")


# What is made here: a writer, the file's name, and the job without its data's path.
JOBS = {
    "table": (write_table, "table.csv", {
        "classification": {}, "data": {"validation_fraction": 0.1},
        "model": {"layers": [{"dense": {"units": 64, "activation": "RELU"}}, {"batch_norm": {}}, {"dropout": {"rate": 0.1}},
                             {"dense": {"units": 4}}]},
        "training": {"epochs": 300, "batch_size": 16, "seed": 3, "schedule": {"cosine": {}}}}),
    "texts": (write_texts, "texts.tsv", {
        "classification": {"binary": True}, "data": {"validation_fraction": 0.1, "text": {}},
        "model": {"layers": [{"embedding": {"width": 16}}, {"lstm": {"units": 24, "bidirectional": True}},
                             {"dropout": {"rate": 0.1}}, {"dense": {"units": 1}}]},
        "training": {"epochs": 100, "batch_size": 16, "seed": 3, "schedule": {"cosine": {}}}}),
    "language": (write_language, "language.txt", {
        "language_modeling": {"window": 32}, "data": {"text": {"tokenizer": {"characters": {}}}},
        "model": {"preset": {"gpt": {"layers": 1, "heads": 2, "width": 32, "dropout": 0.1}}},
        "training": {"steps": 1000, "batch_size": 8, "seed": 3, "clip_norm": 1, "schedule": {"cosine": {}}}}),
    "series": (write_series, "series.csv", {
        "forecasting": {}, "data": {"validation_fraction": 0.1, "series": {"window": 24, "horizon": 6, "period": 12}},
        "model": {"layers": [{"gru": {"units": 32}}, {"dropout": {"rate": 0.1}}, {"dense": {"units": 6}}]},
        "training": {"epochs": 120, "batch_size": 16, "seed": 3, "schedule": {"cosine": {}}}}),
    "translation": (write_pairs, "pairs.txt", {
        "translation": {"longest": 12, "evaluation_sentences": 10, "scheduled_sampling": {"to": 0.5, "steps": 500}}, "data": {"pairs": {}},
        "model": {"preset": {"seq2seq": {"units": 32, "dropout": 0.1}}},
        "training": {"epochs": 40, "batch_size": 16, "seed": 3, "clip_norm": 1, "schedule": {"cosine": {}}}}),
}


def made_job(folder, of, rng):
    write, name, job = JOBS[of]
    write(folder / name, rng)
    path = folder / "job.json"
    path.write_text(json.dumps({"display_name": "killed", **job, "data": {"path": str(folder / name), **job["data"]}}), encoding="utf-8")
    return path


MOST_RUNS = 12


def children(pid):
    """Every process under `pid`, itself not included."""
    below = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # it has ended meanwhile
        below.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, open_pids = [], [pid]
    while open_pids:
        found += (more := below.get(open_pids.pop(), []))
        open_pids += more
    return found


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def await_end(pids):
    deadline = time.monotonic() + 60
    while any(alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            sys.exit(f"FAIL: the worker {pids} outlives the hone that was killed")
        time.sleep(0.01)


def newest_step(run_dir):
    steps = [int(p.name[5:]) for p in (run_dir / "checkpoints").glob("step-*")]
    return max(steps, default=0)


def sha256(run_dir):
    return hashlib.sha256((run_dir / "model" / "model.safetensors").read_bytes()).hexdigest()


def artifacts(run_dir):
    """path → SHA-256 of what the run left beside its model."""
    folder = run_dir / "artifacts"
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def finish(command, log):
    with open(log, "ab") as out:
        code = subprocess.run(command, stdout=out, stderr=out, timeout=600, check=False).returncode
    if code != 0:
        sys.stderr.write(pathlib.Path(log).read_text(errors="replace")[-3000:])
        sys.exit(f"FAIL: {' '.join(map(str, command))} ended with {code}")


def kill_once(command, log, run_dir, target, rng):
    """Starts `command`; kills it a random while after the checkpoints have reached `target` steps (or, at 0, while it starts).
    False if it ended before."""
    with open(log, "ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    while target > 0 and newest_step(run_dir) < target and process.poll() is None:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.6) if target == 0 else rng.uniform(0, 0.03))
    workers = children(process.pid)
    if process.poll() is not None:
        return False
    victim = process.pid if not workers or rng.random() < 0.5 else workers[0]
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        pass
    code = process.wait(timeout=60)
    await_end(workers)
    who = "hone" if victim == process.pid else "hone-worker"
    print(f"  killed {who} at step {newest_step(run_dir)} or later, hone ended with {code}", flush=True)
    return code != 0


def kill_and_finish(run, begin, run_dir, log, kills, total, rng):
    """One run in `run_dir`, killed up to `kills` times and resumed each time until it ends; returns how many kills hit it."""
    # Moments in the order of their steps; some fall before the first checkpoint or into a start.
    targets = sorted(0 if rng.random() < 0.2 else rng.randrange(total) for _ in range(kills))
    hit = 0
    for target in targets:
        if not kill_once([*run, *go_on(begin, run_dir)], log, run_dir, target, rng):
            break  # it has ended
        hit += 1
    finish([*run, *go_on(begin, run_dir)], log)
    return hit


def go_on(begin, run_dir):
    """The arguments that resume the run in `run_dir`, or those that begin it."""
    return ["--resume", run_dir] if (run_dir / "job.yaml").exists() else begin


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("hone")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--of", choices=JOBS, default="table")
    parser.add_argument("--job", type=pathlib.Path)
    parser.add_argument("--every-steps", type=int, default=500)
    args = parser.parse_args()
    print(f"seed {args.seed}: {args.kills} kills", flush=True)
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        job = args.job or made_job(folder, args.of, random.Random(1))
        log = folder / "log"
        options = ["--set", f"training.checkpoints.every_steps={args.every_steps}", "--threads", "2"]
        whole = folder / "whole"
        finish([args.hone, "run", job, "--run-dir", whole, *options], log)
        total, undisturbed = newest_step(whole), (sha256(whole), artifacts(whole))
        # A run that ends before its kills are over is followed by another from the start, so that no machine is too fast for this test.
        kills, runs = 0, 0
        while kills < args.kills and runs < MOST_RUNS:
            killed = folder / f"killed-{runs}"
            runs += 1
            kills += kill_and_finish([args.hone, "run"], [job, "--run-dir", killed, *options], killed, log, args.kills - kills, total, rng)
            if (now := (sha256(killed), artifacts(killed))) != undisturbed:
                sys.exit(f"FAIL: the weights or artifacts differ:\n  {undisturbed} left alone\n  {now} killed")
        print(f"{kills} kills hit {runs} runs of {total} steps\n  {undisturbed[0]} each time", flush=True)
        if kills < args.kills:
            sys.exit(f"FAIL: only {kills} of {args.kills} kills hit a running job within {runs} runs")


main()
