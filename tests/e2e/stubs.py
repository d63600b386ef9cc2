#!/usr/bin/env python3
"""Clients with generated stubs, as users write them: Python (grpc_tools) and Go (protoc-gen-go) each submit a job, watch it to its end and
download its model.

    stubs.py BIN PROTOC PROTO_FOLDER [Python | Go]

The Python packages come from an environment outside the checkout (tests/support/environments.py grpc), Go's modules through the go command,
kept in the user's cache. A language whose tools are not there is skipped, with the reason; exit code 77 where no other was asked for.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "support"))
import environments  # noqa: E402
from honed import Honed, run_tests, write_mirror  # noqa: E402

BIN, PROTOC, PROTOS = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3]).resolve()
# All that is public: what only a worker reads has no stubs.
PUBLIC = sorted(str(path.relative_to(PROTOS)) for path in (PROTOS / "hone" / "v1").glob("*.proto") if path.name != "worker.proto")
PLUGINS = ("google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12", "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2")


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=600, check=False, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ends with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


class Client(unittest.TestCase):
    """A server for the client of one language, and what the client must have found there."""

    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="hone-stubs-")
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.server = Honed(BIN / "honed", cls.folder, "--data-mirror", write_mirror(cls.folder / "mirror"))
        cls.addClassCleanup(lambda: cls.server.stop())

    def judge(self, told, model):
        """The client's words about its job, and the files that it has written."""
        result = json.loads(told)
        self.assertEqual(result["state"], "SUCCEEDED")
        self.assertEqual(int(result["events"]), int(result["last_sequence"]))
        self.assertEqual(int(result["batch_size"]), 32)
        self.assertEqual(result["reason"], "hone/JOB_NOT_FOUND")
        self.assertTrue((model / "model.safetensors").stat().st_size > 0)
        self.assertEqual(sum(path.is_file() for path in model.rglob("*")), int(result["files"]))


class Python(Client):
    def test_python_submits_watches_and_downloads(self):
        python = environments.folder("grpc") / "bin" / "python"
        if not python.exists():
            self.skipTest(f"no Python environment with grpc_tools; make it by {environments.how_to_make('grpc')}")
        stubs, model = self.folder / "python", self.folder / "python-model"
        stubs.mkdir()
        run(python, "-m", "grpc_tools.protoc", f"--proto_path={PROTOS}", f"--python_out={stubs}", f"--grpc_python_out={stubs}",
            *PUBLIC, "google/rpc/error_details.proto", "google/rpc/status.proto")
        self.judge(run(python, TESTS / "stubs" / "python_client.py", stubs, self.server.address, model), model)


class Go(Client):
    def test_go_submits_watches_and_downloads(self):
        go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
        if go is None:
            self.skipTest("Go is not installed: there is no `go` on PATH or in /usr/local/go/bin")
        tools = environments.folder("go")
        tools.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "GOBIN": str(tools), "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"}
        client = self.folder / "go"
        shutil.copytree(TESTS / "stubs" / "go", client)
        try:
            for plugin in PLUGINS:
                run(go, "install", plugin, env=environment)
            run(go, "mod", "download", env=environment, cwd=client)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            self.skipTest(f"Go's modules cannot be downloaded here: {error}")
        path = f"{tools}{os.pathsep}{os.environ['PATH']}"
        run(PROTOC, f"--proto_path={PROTOS}", f"--go_out={client}", "--go_opt=module=hone", f"--go-grpc_out={client}",
            "--go-grpc_opt=module=hone", *PUBLIC, env={**os.environ, "PATH": path})
        run(go, "build", "-o", client / "client", ".", env=environment, cwd=client)
        model = self.folder / "go-model"
        self.judge(run(client / "client", self.server.address, model), model)


if __name__ == "__main__":
    run_tests(*sys.argv[4:])
