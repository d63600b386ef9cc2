"""Python environments of tests and benchmarks, outside the checkout: HONE_<NAME>_VENV, else a folder in the user's cache.

    environments.py NAME...     makes each that is missing and ends with 1 where one cannot be made
"""
import os
import pathlib
import subprocess
import sys

# Name: the packages to install, and a module that shows that they are there.
ENVIRONMENTS = {
    "tensorboard": (["tensorboard"], "tensorboard"),
    "grpc": (["grpcio-tools", "googleapis-common-protos"], "grpc, grpc_tools, google.api.annotations_pb2"),
    "client": (["grpcio", "protobuf", "setuptools>=70.1", "pyyaml", "numpy", "pandas", "nbclient", "ipykernel", "mypy", "types-grpcio", "types-protobuf"],
               "grpc, google.protobuf, setuptools, yaml, numpy, pandas, nbclient, ipykernel, mypy"),
    "grafana": (["grafana-foundation-sdk"], "grafana_foundation_sdk"),
    "openai": (["openai"], "openai"),
    "schemathesis": (["schemathesis"], "schemathesis"),
    "sbom": (["spdx-tools"], "spdx_tools"),
    "gguf": (["gguf", "numpy"], "gguf, numpy"),
    "page": (["playwright", "axe-playwright-python"], "playwright.sync_api, axe_playwright_python"),
    "gymnasium": (["gymnasium", "numpy"], "gymnasium, numpy"),
    "sentencepiece": (["sentencepiece"], "sentencepiece"),
    "tokenizers": (["tokenizers"], "tokenizers"),
    "sacrebleu": (["sacrebleu"], "sacrebleu"),
    "transformers": (["torch", "numpy", "transformers", "peft", "onnxruntime", "jinja2"], "torch, numpy, transformers, peft, onnxruntime, jinja2"),
    "onnxruntime": (["onnx", "onnxruntime", "numpy"], "onnx, onnxruntime, numpy"),
    "torch": (["torch", "numpy", "safetensors", "pyyaml"], "torch, numpy, safetensors, yaml"),
}


def folder(name):
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "hone"
    return pathlib.Path(os.environ.get(f"HONE_{name.upper()}_VENV") or cache / name)


def add_to_path(name):
    """The packages of the environment, as far as it is there, can be imported from now on."""
    sys.path += map(str, folder(name).glob("lib/python3*/site-packages"))


def how_to_make(name):
    return f"python3 tests/support/environments.py {name}"


def make(name):
    """The environment's interpreter; made first where it is missing. CalledProcessError or OSError where it cannot be made."""
    packages, modules = ENVIRONMENTS[name]
    python = folder(name) / "bin" / "python"
    # One that was cut short has an interpreter and no pip: it is made anew.
    if not python.exists() or subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode != 0:
        print(f"making the Python environment {name} (once)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder(name))], check=True, capture_output=True)
    if subprocess.run([python, "-c", f"import {modules}"], capture_output=True, check=False).returncode != 0:
        print(f"installing {', '.join(packages)} there (once)", flush=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True, capture_output=True)
    return python


def main():
    failed = False
    for name in sys.argv[1:]:
        try:
            make(name)
        except (OSError, subprocess.CalledProcessError) as error:
            said = (getattr(error, "stderr", b"") or str(error).encode()).decode().strip().splitlines()
            print(f"no Python environment {name}: {said[-1] if said else error}", file=sys.stderr)
            failed = True
    sys.exit(failed)


if __name__ == "__main__":
    main()
