"""The Python client as its users have it: the wheel, made of this checkout, in the environment `client`."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

import environments
from honed import SKIPPED

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def enter(protoc):
    """Goes on in the environment's interpreter, where `hone` can be imported from now on, also by processes that are started; ends with the skip code, and the
    reason, where there is no environment. The folder of the wheel, to be cleaned up."""
    folder = environments.folder("client")
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"skipped: no Python environment with grpcio; make it by {environments.how_to_make('client')}", file=sys.stderr)
        sys.exit(SKIPPED)
    if pathlib.Path(sys.prefix).resolve() != folder.resolve():
        os.execv(python, [python, *sys.argv])
    wheel = tempfile.TemporaryDirectory(prefix="hone-wheel-")
    path = pathlib.Path(wheel.name)
    # The build leaves its files beside its sources.
    shutil.copytree(ROOT / "client" / "python", path / "client" / "python", ignore=shutil.ignore_patterns("build", "*.egg-info"))
    shutil.copytree(ROOT / "proto", path / "proto")
    done = subprocess.run(
        [python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", path, path / "client" / "python"],
        env={**os.environ, "HONE_PROTOC": str(protoc)}, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the wheel cannot be built: {done.stderr[-3000:]}")
    (made,) = path.glob("hone_client-*.whl")
    with zipfile.ZipFile(made) as files:
        files.extractall(path / "site")
    sys.path.insert(0, str(path / "site"))
    os.environ["PYTHONPATH"] = str(path / "site")
    return wheel
