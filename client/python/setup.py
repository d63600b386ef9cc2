"""Builds the wheel. The messages of hone.v1 are made from proto/ of this checkout by `protoc`, or the program that HONE_PROTOC names.

The distribution's protoc (3.21) writes modules that all versions of Python's protobuf from 4.25 on read. One from version 26 on writes modules for its own
version and the next: such a wheel would not go with the dependencies in pyproject.toml, so it is refused.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from setuptools import setup

HERE = pathlib.Path(__file__).resolve().parent
PUBLIC = HERE.parent.parent / "proto"
OWN = HERE / "proto"
MADE = pathlib.Path("build") / "generated"  # relative, as setuptools wants it
NEWEST_PROTOC = 25


def protoc():
    program = os.environ.get("HONE_PROTOC", "protoc")
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    except OSError as error:
        sys.exit(f"no protoc ({error}): install the package protobuf-compiler, or name the program in HONE_PROTOC")
    version = [int(number) for number in re.findall(r"\d+", said)]
    major = version[1] if version[0] == 3 else version[0]  # 3.21.12, later 22.0
    if not 20 <= major <= NEWEST_PROTOC:
        sys.exit(f"{program} is of version {major}; the wheel is made by one of the versions 20 to {NEWEST_PROTOC}; name one in HONE_PROTOC")
    return program


def write_without_http(source, target):
    """A .proto file without the paths of HTTP: Python's module of google.api would be one more package to depend on."""
    text = source.read_text(encoding="utf-8").replace('import "google/api/annotations.proto";\n', "")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(re.sub(r"option \(google\.api\.http\) = \{[^}]*(\{[^}]*\}[^}]*)*\};", "", text), encoding="utf-8")


def generate():
    """hone/v1 and hone/rpc below MADE."""
    # What only a worker reads is no part of the contract.
    sources = [path for path in sorted(PUBLIC.glob("hone/v1/*.proto")) if path.name != "worker.proto"] + sorted(OWN.glob("hone/rpc/*.proto"))
    if len(sources) < 2:
        sys.exit(f"no hone/v1/*.proto in {PUBLIC}: the wheel is built in a checkout of Hone")
    made = HERE / MADE
    made.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as plain:
        for source in sources:
            write_without_http(source, pathlib.Path(plain) / "hone" / source.parent.name / source.name)
        subprocess.run([protoc(), f"--proto_path={plain}", f"--python_out={made}", f"--pyi_out={made}",
                        *map(str, sorted(pathlib.Path(plain).rglob("*.proto")))], check=True)
    for package in ("v1", "rpc"):
        (made / "hone" / package / "__init__.py").write_text("", encoding="ascii")


generate()
setup(packages=["hone", "hone.v1", "hone.rpc"], package_dir={"hone.v1": str(MADE / "hone" / "v1"), "hone.rpc": str(MADE / "hone" / "rpc")},
      package_data={"hone": ["py.typed"], "hone.v1": ["*.pyi"], "hone.rpc": ["*.pyi"]})
