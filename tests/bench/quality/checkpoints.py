"""Real checkpoints in Hugging Face's form: where they are, and what is read of them. torch, safetensors and tokenizers are imported where needed."""
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
import environments  # noqa: E402

FILES = ("config.json", "model.safetensors", "tokenizer.json")


def root():
    """The folder of HONE_CHECKPOINT_DIR, or one in the user's cache."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return pathlib.Path(os.environ.get("HONE_CHECKPOINT_DIR") or cache / "hone" / "checkpoints")


def find(name):
    """The checkpoint's folder, or None where one of its files is missing."""
    folder = root() / name
    return folder if all((folder / file).is_file() for file in FILES) else None


def config_of(folder):
    return json.loads(pathlib.Path(folder, "config.json").read_text(encoding="utf-8"))


def tensors_of(folder):
    """All weights by the file's names, f32."""
    from safetensors.torch import load_file
    return {name: tensor.float() for name, tensor in load_file(str(pathlib.Path(folder, "model.safetensors"))).items() if tensor.is_floating_point()}


def tokenizer_of(folder):
    """As the Python package tokenizers has it (its environment is made by tests/support/environments.py), without the truncation and padding that the
    file may ask for."""
    environments.add_to_path("tokenizers")
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(str(pathlib.Path(folder, "tokenizer.json")))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def encode(tokenizer, texts, most):
    """Tokens of texts, with those of the tokenizer's template, at most so many."""
    tokenizer.enable_truncation(most)
    found = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    tokenizer.no_truncation()
    return found
