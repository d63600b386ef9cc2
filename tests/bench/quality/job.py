"""A job file of Hone as PyTorch's scripts read it: a dictionary, with --set as `hone run` has it."""
import argparse
import json
import pathlib
import time

import torch
import yaml

BEGIN = time.perf_counter(), time.process_time()  # behind the imports


def arguments(description):
    """FILE --seed N [--set a.b=c …] [--features MODEL] [--hone MODEL] → the options, and the job with its seed."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("job", type=pathlib.Path)
    parser.add_argument("--first", type=pathlib.Path, help="the job whose net is gone on with")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--features", help="a model that Hone trained to judge drawings")
    parser.add_argument("--hone", help="a model that draws: is it judged here as Hone judged it?")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    return options, read(options.job, options.set)


def read(path, settings=()):
    job = yaml.safe_load(path.read_text(encoding="utf-8"))
    for setting in settings:
        place, value = setting.split("=", 1)
        inner = job
        *outer, last = place.split(".")
        for key in outer:
            inner = inner.setdefault(key, {})
        inner[last] = yaml.safe_load(value)
    return job


def optimizer(parameters, kind, fused=True):
    """Hone's Adam and AdamW, with its defaults; what does not decay (biases) is told by its one dimension."""
    (name, given), = kind.items()
    options = {"lr": given.get("learning_rate", 0.001), "betas": (given.get("beta1", 0.9), given.get("beta2", 0.999)),
               "eps": given.get("epsilon", 1e-7), "fused": fused}
    parameters = [p for p in parameters if p.requires_grad]
    if name == "adam":
        assert not given.get("weight_decay")
        return torch.optim.Adam(parameters, **options)
    assert name == "adamw", name
    decay = given.get("weight_decay", 0.01)
    return torch.optim.AdamW([{"params": [p for p in parameters if p.dim() > 1], "weight_decay": decay},
                              {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0}], **options)


def report(metrics):
    """One line of JSON. The time is that of all but the imports; the processor's is the same whatever else the machine does."""
    print(json.dumps({"metrics": metrics, "seconds": round(time.perf_counter() - BEGIN[0], 1),
                      "processor_seconds": round(time.process_time() - BEGIN[1], 1)}))
