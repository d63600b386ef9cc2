"""Programs in Go that tests drive, outside the checkout: HONE_GO_VENV, else a folder `go` in the user's cache.

    go_tools.py NAME...     makes each that is missing or older than its sources and ends with 1 where one cannot be made

`helm` is the real one, `kubernetes` tests/deploy/kubernetes. Each takes minutes of a processor, once.
"""
import os
import pathlib
import shutil
import subprocess
import sys

import environments

SOURCES = {"kubernetes": pathlib.Path(__file__).resolve().parent.parent / "deploy" / "kubernetes"}
MODULES = {"helm": "helm.sh/helm/v3/cmd/helm@v3.22.0"}


def path(name):
    return environments.folder("go") / (f"hone-{name}" if name in SOURCES else name)


def find(name):
    """The program, if it is there and as new as its sources."""
    program = path(name)
    if not program.exists():
        return None
    stale = any(source.stat().st_mtime > program.stat().st_mtime for source in SOURCES.get(name, pathlib.Path("/nowhere")).glob("*"))
    return None if stale else program


def how_to_make(name):
    return f"python3 tests/support/go_tools.py {name}"


def make(name):
    """RuntimeError where it cannot be made."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        raise RuntimeError("Go is not installed")
    program = path(name)
    program.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "GOBIN": str(program.parent), "GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local"}
    print(f"making {name} by Go (once)", flush=True)
    command = [go, "build", "-o", program, "."] if name in SOURCES else [go, "install", MODULES[name]]
    done = subprocess.run(command, cwd=SOURCES.get(name), env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip()[-500:])
    os.utime(program)  # Go leaves one that would be the same as it is


def main():
    failed = False
    for name in sys.argv[1:]:
        try:
            if find(name) is None:
                make(name)
        except (OSError, RuntimeError) as error:
            print(f"no {name}: {error}", file=sys.stderr)
            failed = True
    sys.exit(failed)


if __name__ == "__main__":
    main()
