#!/usr/bin/python3
"""The image as an operator runs it: a read-only root, no capabilities, one processor, 1 GiB of memory.

    container.py DESCRIPTORS [--image hone] [--runner podman] [--options="--network host …"]

It learns S1 with one thread, refuses a job that needs more memory, keeps its volume over a restart, and ends with 0 when it is asked
to. HONE_DATA_DIR is mounted where it is set; else the digits are downloaded, or generated.
"""
import argparse
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import grpc  # noqa: E402
from honed import free_port  # noqa: E402
from wire import Wire  # noqa: E402

GIB = 1 << 30
QUEUED, RUNNING, SUCCEEDED = 1, 2, 3
LEARNED = 0.97


class Container:
    def __init__(self, options, volume, name="try"):
        self.runner = shlex.split(options.runner)
        self.name = f"hone-{name}-{os.getpid()}"
        self.port = free_port()
        mirror = os.environ.get("HONE_DATA_DIR")
        self.command = [
            *self.runner, "run", "--detach", "--name", self.name, "--network", "host", *shlex.split(options.options),
            "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--cpus", "1", "--memory", "1g",
            "--volume", f"{volume}:/data", *(["--volume", f"{mirror}:/mirror:ro", "--env", "HONED_DATA_MIRROR=/mirror"] if mirror else []),
            "--env", f"HONED_LISTEN=127.0.0.1:{self.port}", "--env", "HONED_METRICS_LISTEN=127.0.0.1:0",
            "--env", f"HONE_SERVER=127.0.0.1:{self.port}", options.image]

    def call(self, *arguments):
        return subprocess.run([*self.runner, *arguments], capture_output=True, text=True, check=False)

    def __enter__(self):
        subprocess.run(self.command, check=True, stdout=subprocess.DEVNULL)
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            print(self.call("logs", self.name).stderr[-3000:], file=sys.stderr)
        self.call("rm", "--force", self.name)

    def stop(self):
        """Its exit code after SIGTERM."""
        self.call("stop", "--time", "30", self.name)
        return int(self.call("inspect", "--format", "{{.State.ExitCode}}", self.name).stdout)


class Try:
    def __init__(self, container, descriptors):
        self.container, self.wire = container, Wire(descriptors)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{container.port}")
        self.failures = 0

    def call(self, rpc, request):
        return self.wire.stub(self.channel, rpc)(request, timeout=60, wait_for_ready=True)

    def check(self, what, good, found=""):
        print(f"{'ok    ' if good else 'FAILED'}  {what}{f': {found}' if found != '' else ''}", flush=True)
        self.failures += not good

    def spec(self, units=0):
        spec = self.wire.message("JobSpec")(display_name="S1")
        spec.classification.SetInParent()
        spec.data.dataset = "mnist"
        layers = spec.model.layers
        for filters in (32, 64):
            layers.add().conv2d.MergeFrom(self.wire.message("Conv2d")(filters=filters, kernel=3, activation=1))
            layers.add().max_pool2d.size = 2
        layers.add().flatten.SetInParent()
        for width in (units, units, 64) if units else (64,):
            layers.add().dense.MergeFrom(self.wire.message("Dense")(units=width, activation=1))
        layers.add().dense.units = 10
        spec.training.epochs = 1
        return spec

    def create(self, **options):
        return self.call("CreateJob", self.wire.message("CreateJobRequest")(spec=self.spec(**options)))

    def await_end(self, name):
        deadline = time.monotonic() + 600
        while (job := self.call("GetJob", self.wire.message("GetJobRequest")(name=name))).state in (QUEUED, RUNNING):
            if time.monotonic() > deadline:
                break
            time.sleep(0.5)
        return job

    def run(self):
        info = self.call("GetServerInfo", self.wire.message("GetServerInfoRequest")())
        self.check("one thread", info.threads == 1, info.threads)
        self.check("memory of the container", info.memory_bytes <= GIB, info.memory_bytes)
        touched = self.container.call("exec", self.container.name, "touch", "/usr/local/written")
        self.check("the root is read-only", touched.returncode != 0, touched.stderr.strip())
        who = self.container.call("exec", self.container.name, "id", "-u").stdout.strip()
        self.check("not root", who not in ("", "0"), who)
        health = self.container.call("exec", self.container.name, "hone", "jobs", "list", "--limit", "1")
        self.check("the health check's command", health.returncode == 0, health.stderr.strip())
        try:
            self.create(units=20_000)
            self.check("a job that needs more memory is refused", False, "it was taken")
        except grpc.RpcError as error:
            self.check("a job that needs more memory is refused",
                       error.code() == grpc.StatusCode.INVALID_ARGUMENT and "memory" in error.details(), error.details())
        job = self.await_end(self.create().name)
        accuracy = job.evaluation.metrics.get("test_accuracy", 0)
        self.check("S1 learns", job.state == SUCCEEDED and accuracy >= LEARNED, f"{job.message}{100 * accuracy:.2f} % with {job.threads} thread")
        info = self.call("GetServerInfo", self.wire.message("GetServerInfoRequest")())
        print(f"        {info.engine}; {job.evaluation.metrics.get('peak_memory_bytes', 0) / 1e6:.0f} MB, "
              f"{job.evaluation.metrics.get('wall_seconds', 0):.0f} s")
        self.check("SIGTERM ends it with 0", (code := self.container.stop()) == 0, code)
        return job.name


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("descriptors", type=pathlib.Path)
    parser.add_argument("--image", default="hone")
    parser.add_argument("--runner", default="podman")
    parser.add_argument("--options", default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as volume:
        os.chmod(volume, 0o777)
        with Container(options, volume) as container:
            attempt = Try(container, options.descriptors)
            name = attempt.run()
            with Container(options, volume, "again") as again:
                second = Try(again, options.descriptors)
                kept = second.call("GetJob", second.wire.message("GetJobRequest")(name=name))
                second.check("the volume keeps its jobs", kept.state == SUCCEEDED, name)
                again.stop()
    sys.exit(1 if attempt.failures + second.failures else 0)


main()
