#!/usr/bin/env python3
"""A run killed with SIGKILL at random moments and resumed each time ends with the same bits as one that was left alone: its model, its
artifacts and its last checkpoint, which has the optimizer's state and what the task remembers, such as an agent's replay.

    kill_and_resume.py HONE [--kills N] [--seed S] [--of WHAT] [--job FILE] [--every-steps N] [--checkpoint NAME] [--lose-newest]
                       [--set a.b=c]…

Without --job the data is made here, so that nothing is downloaded; all but the phrases of `films`. WHAT is one of
    table        dense layers
    texts        an LSTM that classifies them
    language     a language model of one running text
    series       a forecast
    translation  of pairs of sentences
    pictures     a generator and a discriminator, judged by a classifier that the run trains first
    agent        deep Q-learning with a replay, in a maze
    adapters     low-rank adapters of a BERT in Hugging Face's form, whose weights stay in their file
    films        all weights of a BERT, with dropout, on phrases of SST-2; needs HONE_DATA_DIR and --checkpoint minilm-l6
    chat         low-rank adapters of a Llama, on conversations that are packed; two batches are added up for a step
    preferences  low-rank adapters of a Llama, on answers of which one is preferred
With --checkpoint the job begins with a real checkpoint instead of the one that is made here: a folder's name in HONE_CHECKPOINT_DIR or
~/.cache/hone/checkpoints. Each kill hits the worker or `hone` itself. With --lose-newest the newest checkpoint is deleted behind every other kill,
so that the run goes on from the one before. Exit code 77: a real checkpoint or real data are not there.
"""
import argparse
import array
import base64
import copy
import hashlib
import itertools
import json
import math
import os
import pathlib
import random
import shutil
import signal
import struct
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


OTHER_WORDS = [f"word{i}" for i in range(60)]


def write_texts(path, rng):
    """Two classes by which of two words comes last; what stands around them is chance."""
    with open(path, "w", encoding="utf-8") as out:
        out.write("label\ttext\n")
        for _ in range(600):
            words = rng.choices(OTHER_WORDS, k=rng.randrange(1, 20)) + ["good", "bad"]
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


def write_pictures(path, rng):
    """600 and 200 grey pictures of 12×12 as MNIST's files: class c has a bright row at 1 + c."""
    size, classes = 12, 10
    path.mkdir()
    for part, count in (("train", 600), ("t10k", 200)):
        pixels, labels = bytearray(), bytes(i % classes for i in range(count))
        for kind in labels:
            for y in range(size):
                pixels += bytes(rng.randrange(180, 256) if y == 1 + kind else rng.randrange(20) for _ in range(size))
        (path / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, count, size, size) + pixels)
        (path / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + labels)


def write_chats(path, rng):
    """Conversations of one or two questions: what is asked for is repeated."""
    with open(path, "w", encoding="utf-8") as out:
        for _ in range(300):
            turns = []
            for _ in range(rng.randrange(1, 3)):
                letters = "".join(rng.choices("abcde", k=rng.randrange(1, 6)))
                turns += [{"role": "user", "content": f"say {letters}"}, {"role": "assistant", "content": letters}]
            out.write(json.dumps({"messages": turns}) + "\n")


def write_preferences(path, rng):
    """The preferred answer repeats what is asked for, the other one is turned round."""
    with open(path, "w", encoding="utf-8") as out:
        for _ in range(200):
            letters = "".join(rng.sample("abcdefgh", k=rng.randrange(2, 6)))
            out.write(json.dumps({"prompt": f"say {letters}", "chosen": letters, "rejected": letters[::-1]}) + "\n")


SKIPPED = 77  # the exit code that ctest takes for it


def real(what, path):
    """What is not made here."""
    if not path.exists():
        print(f"skipped: there is no {what} {path}", file=sys.stderr)
        sys.exit(SKIPPED)
    return path


def real_checkpoint(name):
    folder = pathlib.Path(os.environ.get("HONE_CHECKPOINT_DIR") or pathlib.Path.home() / ".cache" / "hone" / "checkpoints")
    return real("checkpoint (HONE_CHECKPOINT_DIR)", folder / name)


def write_films(path, _):
    """The first 500 phrases of SST-2."""
    phrases = real("data set (HONE_DATA_DIR)", pathlib.Path(os.environ.get("HONE_DATA_DIR", "")) / "sst2" / "train.tsv")
    with open(phrases, encoding="utf-8") as lines:
        path.write_text("".join(itertools.islice(lines, 501)), encoding="utf-8")


def write_checkpoint(path, rng, kind, changed, left_out):
    """A folder as transformers writes one, its numbers drawn here; what it has beside is the caller's."""
    golden = pathlib.Path(__file__).resolve().parent.parent / "golden" / "huggingface.json"
    known = json.loads(golden.read_text(encoding="utf-8"))[kind]
    path.mkdir()
    (path / "config.json").write_text(json.dumps({**known["config"], **changed}), encoding="utf-8")
    header, data = {"__metadata__": {"format": "pt"}}, bytearray()
    for parameter in known["parameters"]:
        name, shape = parameter["name"], parameter["shape"]
        if name.startswith(left_out):
            continue
        if shape[0] == known["config"]["vocab_size"]:
            shape = [changed["vocab_size"], *shape[1:]]
        numbers = array.array("f", (parameter["offset"] + parameter["scale"] * rng.uniform(-1, 1) for _ in range(math.prod(shape))))
        begin = len(data)
        data += numbers.tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (path / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_bert(path, rng):
    """A BERT without a head, that knows the words of write_texts."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", *OTHER_WORDS]
    write_checkpoint(path, rng, "bert", {"vocab_size": len(words)}, ("classifier.",))
    (path / "vocab.txt").write_text("".join(word + "\n" for word in words), encoding="utf-8")


def write_llama(path, rng):
    """A Llama that chats: its tokens are single bytes and the marks of ChatML."""
    marks = ["<|im_start|>", "<|im_end|>"]
    letters = [chr(c) for c in range(ord("!"), ord("~") + 1)] + ["\u0120", "\u010a"]  # space and line feed, as byte-level tokenizers write them
    ids = {token: number for number, token in enumerate(letters + marks)}
    write_checkpoint(path, rng, "llama", {"vocab_size": len(ids), "max_position_embeddings": 128, "bos_token_id": ids[marks[0]],
                                          "eos_token_id": ids[marks[1]]}, ())
    bytes_ = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    added = [{"id": ids[mark], "content": mark, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": True} for mark in marks]
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
             "fuse_unk": False, "byte_fallback": False, "vocab": {letter: ids[letter] for letter in letters}, "merges": []}
    (path / "tokenizer.json").write_text(json.dumps(
        {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None, "pre_tokenizer": bytes_,
         "post_processor": None, "decoder": bytes_, "model": model}), encoding="utf-8")
    (path / "tokenizer_config.json").write_text(json.dumps({
        "bos_token": marks[0], "eos_token": marks[1],
        "chat_template": "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
                         "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"}), encoding="utf-8")


# What is made here: the files by name, each with its writer, and the job, in which FOLDER is where they lie.
JOBS = {
    "table": ({"table.csv": write_table}, {
        "classification": {}, "data": {"path": "FOLDER/table.csv", "validation_fraction": 0.1},
        "model": {"layers": [{"dense": {"units": 64, "activation": "RELU"}}, {"batch_norm": {}}, {"dropout": {"rate": 0.1}},
                             {"dense": {"units": 4}}]},
        "training": {"epochs": 300, "batch_size": 16, "seed": 3, "schedule": {"cosine": {}}}}),
    "texts": ({"texts.tsv": write_texts}, {
        "classification": {"binary": True}, "data": {"path": "FOLDER/texts.tsv", "validation_fraction": 0.1, "text": {}},
        "model": {"layers": [{"embedding": {"width": 16}}, {"lstm": {"units": 24, "bidirectional": True}},
                             {"dropout": {"rate": 0.1}}, {"dense": {"units": 1}}]},
        "training": {"epochs": 100, "batch_size": 16, "seed": 3, "schedule": {"cosine": {}}}}),
    "language": ({"language.txt": write_language}, {
        "language_modeling": {"window": 32}, "data": {"path": "FOLDER/language.txt", "text": {"tokenizer": {"characters": {}}}},
        "model": {"preset": {"gpt": {"layers": 1, "heads": 2, "width": 32, "dropout": 0.1}}},
        "training": {"steps": 1000, "batch_size": 8, "seed": 3, "clip_norm": 1, "schedule": {"cosine": {}}}}),
    "series": ({"series.csv": write_series}, {
        "forecasting": {},
        "data": {"path": "FOLDER/series.csv", "validation_fraction": 0.1, "series": {"window": 24, "horizon": 6, "period": 12}},
        "model": {"layers": [{"gru": {"units": 32}}, {"dropout": {"rate": 0.1}}, {"dense": {"units": 6}}]},
        "training": {"epochs": 120, "batch_size": 16, "seed": 3, "schedule": {"cosine": {}}}}),
    "translation": ({"pairs.txt": write_pairs}, {
        "translation": {"longest": 12, "evaluation_sentences": 10, "scheduled_sampling": {"to": 0.5, "steps": 500}},
        "data": {"path": "FOLDER/pairs.txt", "pairs": {}},
        "model": {"preset": {"seq2seq": {"units": 32, "dropout": 0.1}}},
        "training": {"epochs": 40, "batch_size": 16, "seed": 3, "clip_norm": 1, "schedule": {"cosine": {}}}}),
    "pictures": ({"pictures": write_pictures}, {
        "image_generation": {"latent": 8, "instance_noise": 0.1, "instance_noise_steps": 600, "discriminator_steps": 2,
                             "evaluation": {"drawings": 200}},
        "data": {"path": "FOLDER/pictures"},
        "model": {"preset": {"dcgan": {"generator_filters": [8, 4], "discriminator_filters": [4, 8]}}},
        "training": {"epochs": 40, "batch_size": 20, "seed": 3, "optimizer": {"adam": {"learning_rate": 0.0005, "beta1": 0.5}}}}),
    # 4,000 rounds, of which each takes a step in every copy of the maze; the replay is full after 750.
    "agent": ({}, {
        "reinforcement_learning": {"maze": {"height": 5, "width": 5, "loops": 0.5, "seed": 3}, "copies": 4, "train_every": 4,
                                   "learning_starts": 1000, "replay": {"capacity": 3000, "prioritized": True},
                                   "target": {"copy_every": 400}, "double_q": True, "n_step": 3, "evaluate_every": 4000},
        "model": {"layers": [{"dense": {"units": 32, "activation": "RELU"}}, {"dense": {"units": 4}}]},
        "training": {"steps": 16000, "batch_size": 32, "seed": 3, "optimizer": {"adam": {"learning_rate": 0.001}}}}),
    "adapters": ({"texts.tsv": write_texts, "bert": write_bert}, {
        "classification": {"binary": True}, "data": {"path": "FOLDER/texts.tsv", "validation_fraction": 0.1, "text": {}},
        "model": {"pretrained": {"path": "FOLDER/bert", "lora": {"rank": 4, "alpha": 8, "dropout": 0.1}}},
        "training": {"epochs": 50, "batch_size": 16, "seed": 3, "clip_norm": 1, "schedule": {"cosine": {}}}}),
    "films": ({"films.tsv": write_films}, {
        "classification": {}, "data": {"path": "FOLDER/films.tsv", "validation_fraction": 0.1, "text": {"max_tokens": 64}},
        "model": {"pretrained": {"path": ""}},
        "training": {"epochs": 3, "batch_size": 32, "seed": 3, "clip_norm": 1, "schedule": {"linear": {}},
                     "optimizer": {"adamw": {"learning_rate": 0.00005, "weight_decay": 0.01}}}}),
    "chat": ({"chats.jsonl": write_chats, "llama": write_llama}, {
        "language_modeling": {"window": 96, "documents": "PACKED"},
        "data": {"path": "FOLDER/chats.jsonl", "validation_fraction": 0.1, "chat": {}},
        "model": {"pretrained": {"path": "FOLDER/llama", "lora": {"rank": 4, "alpha": 8, "dropout": 0.1}}},
        "training": {"epochs": 15, "batch_size": 4, "accumulate_batches": 2, "seed": 3, "clip_norm": 1, "schedule": {"linear": {}},
                     "optimizer": {"adamw": {"learning_rate": 0.0002}}}}),
    "preferences": ({"preferences.jsonl": write_preferences, "llama": write_llama}, {
        "preference_optimization": {"window": 96}, "data": {"path": "FOLDER/preferences.jsonl", "validation_fraction": 0.1},
        "model": {"pretrained": {"path": "FOLDER/llama", "lora": {"rank": 4, "alpha": 8, "dropout": 0.1}}},
        "training": {"epochs": 30, "batch_size": 8, "seed": 3, "clip_norm": 1, "schedule": {"linear": {}},
                     "optimizer": {"adamw": {"learning_rate": 0.0002}}}}),
}
# What the last checkpoint of such a run must have beside weights and optimizer, so that it can be compared.
SECTIONS = {"agent": {"replay", "episodes"}}


def made_job(folder, of, checkpoint, rng):
    files, job = copy.deepcopy(JOBS[of])
    for name, write in files.items():
        write(folder / name, rng)
    if checkpoint is not None:
        job["model"]["pretrained"]["path"] = str(real_checkpoint(checkpoint))
    path = folder / "job.json"
    path.write_text(json.dumps({"display_name": "killed", **job}).replace("FOLDER", str(folder)), encoding="utf-8")
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


def steps_kept(run_dir):
    return sorted(int(p.name[5:]) for p in (run_dir / "checkpoints").glob("step-*"))


def newest_step(run_dir):
    return max(steps_kept(run_dir), default=0)


def checkpoint_folder(run_dir, step):
    return run_dir / "checkpoints" / f"step-{step:08d}"


def lose_newest(run_dir):
    """Deletes the newest checkpoint where an older one is left."""
    steps = steps_kept(run_dir)
    if len(steps) > 1:
        shutil.rmtree(checkpoint_folder(run_dir, steps[-1]))
        print(f"  lost the checkpoint of step {steps[-1]}; the run goes on from step {steps[-2]}", flush=True)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def last_checkpoint(run_dir):
    """name → SHA-256 of each part of it: files of numbers, the task's sections wherever they lie, and the rest of the run's state."""
    folder = checkpoint_folder(run_dir, newest_step(run_dir))
    state = json.loads((folder / "state.json").read_bytes())
    del state["scalars"]["active_seconds"]  # of the clock
    parts = {f"section-{name}.bin": base64.b64decode(text) for name, text in state.pop("sections").items()}
    parts |= {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".safetensors", ".bin")}
    parts["state"] = json.dumps(state, sort_keys=True).encode()
    return {f"last checkpoint: {name}": sha256(data) for name, data in parts.items()}


def bits(run_dir):
    """name → SHA-256 of all that a run leaves and that must not depend on how often it was killed."""
    files = [path for folder in ("model", "artifacts") for path in (run_dir / folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(run_dir)): sha256(path.read_bytes()) for path in files} | last_checkpoint(run_dir)


def check_sections(of, names):
    """What would be compared with nothing is a fault of this test."""
    if missing := [name for name in SECTIONS.get(of, ()) if f"last checkpoint: section-{name}.bin" not in names]:
        sys.exit(f"FAIL: the last checkpoint has no section {', '.join(sorted(missing))}; it has {', '.join(sorted(names))}")


def check_same(undisturbed, killed):
    if killed == undisturbed:
        return
    lines = [f"  {name}: {undisturbed.get(name, 'not there')} left alone, {killed.get(name, 'not there')} killed"
             for name in sorted(undisturbed.keys() | killed.keys()) if undisturbed.get(name) != killed.get(name)]
    sys.exit("FAIL: a run that was killed and resumed leaves other bits:\n" + "\n".join(lines))


def finish(command, log):
    with open(log, "ab") as out:
        code = subprocess.run(command, stdout=out, stderr=out, timeout=600, check=False).returncode
    if code != 0:
        sys.stderr.write(pathlib.Path(log).read_text(errors="replace")[-3000:])
        sys.exit(f"FAIL: {' '.join(map(str, command))} ended with {code}")


def kill_once(command, log, run_dir, target, longest, rng):
    """Starts `command`; kills it a random while, at most `longest` seconds, after the checkpoints have reached `target` steps (or, at 0, while it
    starts). False if it ended before."""
    with open(log, "ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    while target > 0 and newest_step(run_dir) < target and process.poll() is None:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.6 if target == 0 else longest))
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


def kill_and_finish(run, begin, run_dir, log, kills, total, longest, loses, rng):
    """One run in `run_dir`, killed up to `kills` times and resumed each time until it ends; returns how many kills hit it."""
    # Moments in the order of their steps; some fall before the first checkpoint or into a start.
    targets = sorted(0 if rng.random() < 0.2 else rng.randrange(total) for _ in range(kills))
    hit = 0
    for target in targets:
        if not kill_once([*run, *go_on(begin, run_dir)], log, run_dir, target, longest, rng):
            break  # it has ended
        hit += 1
        if loses and hit % 2 == 0:
            lose_newest(run_dir)
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
    parser.add_argument("--checkpoint")
    parser.add_argument("--lose-newest", action="store_true")
    parser.add_argument("--set", action="append", default=[])
    args = parser.parse_args()
    print(f"seed {args.seed}: {args.kills} kills", flush=True)
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        job = args.job or made_job(folder, args.of, args.checkpoint, random.Random(1))
        log = folder / "log"
        options = ["--set", f"training.checkpoints.every_steps={args.every_steps}", "--threads", "2"]
        options += [word for setting in args.set for word in ("--set", setting)]
        whole = folder / "whole"
        began = time.monotonic()
        finish([args.hone, "run", job, "--run-dir", whole, *options], log)
        total, undisturbed = newest_step(whole), bits(whole)
        between = (time.monotonic() - began) * min(1, args.every_steps / total)  # seconds, from one checkpoint to the next
        if args.job is None:
            check_sections(args.of, undisturbed)
        # A run that ends before its kills are over is followed by another from the start, so that no machine is too fast for this test.
        kills, runs = 0, 0
        while kills < args.kills and runs < MOST_RUNS:
            killed = folder / f"killed-{runs}"
            runs += 1
            kills += kill_and_finish([args.hone, "run"], [job, "--run-dir", killed, *options], killed, log, args.kills - kills, total, between,
                                     args.lose_newest, rng)
            check_same(undisturbed, bits(killed))
        print(f"{kills} kills hit {runs} runs of {total} steps; {len(undisturbed)} files and parts are the same each time", flush=True)
        if kills < args.kills:
            sys.exit(f"FAIL: only {kills} of {args.kills} kills hit a running job within {runs} runs")


if __name__ == "__main__":
    main()
