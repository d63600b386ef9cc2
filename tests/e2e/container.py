#!/usr/bin/python3
"""The image as an operator runs it: a read-only root, no capabilities, one processor, 1 GiB of memory.

    container.py DESCRIPTORS [--image hone] [--runner podman] [--options="--network host …"]
    container.py DESCRIPTORS --programs BIN

The second form is for `make test`: it needs no image and no network. It packs the programs in BIN with the libraries that they load into
an image of its own, which has the user, the volume, the variables and the command of the Dockerfile, and removes it at the end. Without
podman, or where podman cannot run a container: exit code 77.

It learns S1 with one thread, refuses a job that needs more memory, keeps its volume over a restart, ends with 0 when it is asked to, and is
healthy with TLS and tokens, too. HONE_DATA_DIR is mounted where it is set; else the digits are downloaded, or generated.
"""
import argparse
import contextlib
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import grpc  # noqa: E402
import podman  # noqa: E402
from certificates import Authority  # noqa: E402
from honed import SKIPPED, free_port  # noqa: E402
from wire import Wire  # noqa: E402

GIB = 1 << 30
# Which the image has by the package ca-certificates: gRPC makes no client of TLS without, also where it checks none of them.
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
DOCKERFILE = pathlib.Path(__file__).resolve().parent.parent.parent / "Dockerfile"
LEARNED = 0.97


class Container:
    def __init__(self, options, volume, name="try", settings=()):
        self.runner = shlex.split(options.runner)
        self.name = f"hone-{name}-{os.getpid()}"
        self.port, self.metrics = free_port(), f"127.0.0.1:{free_port()}"
        mirror = os.environ.get("HONE_DATA_DIR")
        self.command = [
            *self.runner, "run", "--detach", "--name", self.name, "--network", "host", *shlex.split(options.options),
            "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--cpus", "1", "--memory", "1g",
            "--volume", f"{volume}:/data", *(["--volume", f"{mirror}:/mirror:ro", "--env", "HONED_DATA_MIRROR=/mirror"] if mirror else []),
            "--env", f"HONED_LISTEN=127.0.0.1:{self.port}", "--env", f"HONED_METRICS_LISTEN={self.metrics}",
            "--env", "HONED_HTTP_LISTEN=127.0.0.1:0",
            *(word for setting in settings for word in ("--env", setting)), options.image]

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

    def health(self, metrics=None):
        checked = self.container.call("exec", "--env", f"HONED_METRICS_LISTEN={metrics or self.container.metrics}", self.container.name,
                                      "sh", "-c", health_check())
        return checked.returncode == 0, checked.stderr.strip()

    def await_health(self):
        """A machine that is busy may be too slow for the server's call of itself now and then."""
        deadline = time.monotonic() + 60
        while not (found := self.health())[0] and time.monotonic() < deadline:
            time.sleep(0.5)
        return found

    def run_closed(self):
        """With TLS and, from then on, a token, neither of which the health check has."""
        self.await_health()
        made = self.container.call("exec", self.container.name, "honed", "token", "create", "--data-dir", "/data", "--name", "try", "--role", "viewer")
        self.check("the container makes a token", made.returncode == 0 and made.stdout.startswith("hone_"), made.stderr.strip())
        self.check("the health check needs neither token nor authority", *self.await_health())
        self.container.stop()

    def spec(self, units=0):
        spec = self.wire.message("JobSpec")(display_name="S1")
        spec.classification.SetInParent()
        spec.data.dataset = "mnist"
        layers = spec.model.layers
        for filters in (32, 64):
            layers.add().conv2d.MergeFrom(self.wire.message("Conv2d")(filters=filters, kernel=3, activation="RELU"))
            layers.add().max_pool2d.size = 2
        layers.add().flatten.SetInParent()
        for width in (units, units, 64) if units else (64,):
            layers.add().dense.MergeFrom(self.wire.message("Dense")(units=width, activation="RELU"))
        layers.add().dense.units = 10
        spec.training.epochs = 1
        return spec

    def create(self, **options):
        return self.call("CreateJob", self.wire.message("CreateJobRequest")(spec=self.spec(**options)))

    def await_end(self, name):
        deadline = time.monotonic() + 600
        while Wire.enum_name(job := self.call("GetJob", self.wire.message("GetJobRequest")(name=name)), "state") in ("QUEUED", "RUNNING"):
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
        self.check("the health check says that it is well", *self.await_health())
        self.check("the health check notices that nobody answers", not self.health(metrics="127.0.0.1:1")[0])
        try:
            self.create(units=20_000)
            self.check("a job that needs more memory is refused", False, "it was taken")
        except grpc.RpcError as error:
            self.check("a job that needs more memory is refused",
                       error.code() == grpc.StatusCode.INVALID_ARGUMENT and "memory" in error.details(), error.details())
        job = self.await_end(self.create().name)
        accuracy = job.evaluation.metrics.get("test_accuracy", 0)
        self.check("S1 learns", Wire.enum_name(job, "state") == "SUCCEEDED" and accuracy >= LEARNED, f"{job.message}{100 * accuracy:.2f} % with {job.threads} thread")
        info = self.call("GetServerInfo", self.wire.message("GetServerInfoRequest")())
        print(f"        {info.engine}; {job.evaluation.metrics.get('peak_memory_bytes', 0) / 1e6:.0f} MB, "
              f"{job.evaluation.metrics.get('wall_seconds', 0):.0f} s")
        self.check("SIGTERM ends it with 0", (code := self.container.stop()) == 0, code)
        return job.name


def health_check():
    """The command of the Dockerfile, for a shell."""
    return re.search(r"^HEALTHCHECK .*?CMD (.*)$", DOCKERFILE.read_text(encoding="utf-8"), re.M)[1]


def libraries(programs):
    """Every library that the programs load, the loader included."""
    listed = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=True).stdout
    return sorted(set(re.findall(r"(/\S+) \(0x", listed)))


def pack(programs, archive):
    """A root for the programs: they, what they load, and what the checks below call."""
    tools = [shutil.which(name) for name in ("id", "touch", "sh", "wc", "curl")]
    with tarfile.open(archive, "w") as root:
        for folder in ("tmp", "data", "proc", "sys", "dev", "etc", "usr/local"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            entry.uid = entry.gid = 10001 if folder == "data" else 0
            root.addfile(entry)
        for program in programs:
            root.add(program, f"usr/local/bin/{program.name}")
        for path in [*tools, AUTHORITIES, *libraries([*programs, *tools])]:
            root.add(os.path.realpath(path), path.lstrip("/"))
        for name, text in (("etc/passwd", "hone:x:10001:10001::/data:/\n"), ("etc/group", "hone:x:10001:\n")):
            with tempfile.NamedTemporaryFile("w", encoding="ascii") as file:
                file.write(text)
                file.flush()
                root.add(file.name, name)


def settings_of_the_image():
    """USER, VOLUME, ENV and CMD of the Dockerfile's last stage."""
    stage = DOCKERFILE.read_text(encoding="utf-8").rsplit("\nFROM ", 1)[1]
    return [line for line in stage.splitlines() if line.split(" ")[0] in ("USER", "VOLUME", "ENV", "CMD")]


def skip(why):
    print(f"SKIPPED: {why}")
    sys.exit(SKIPPED)


@contextlib.contextmanager
def image_of(programs):
    """(image, runner, options) with which podman runs the programs here."""
    try:
        podman.require()
    except podman.Unavailable as why:
        skip(why)
    image = f"hone-programs-{os.getpid()}"
    with tempfile.TemporaryDirectory() as folder:
        archive = pathlib.Path(folder) / "root.tar"
        pack(programs, archive)
        changes = [part for line in ("ENV PATH=/usr/local/bin:/usr/bin:/bin", *settings_of_the_image()) for part in ("--change", line)]
        imported = podman.call("podman", "import", *changes, archive, image)
    if imported.returncode != 0:
        skip(f"podman cannot make an image here: {imported.stderr.strip()}")
    try:
        runner, options = podman.ways(image, "id", options=("--cpus", "1", "--memory", "1g"))
        yield image, shlex.join(runner), shlex.join(options)
    except podman.Unavailable as why:
        skip(why)
    finally:
        podman.call("podman", "rmi", "--force", image)


def try_image(options):
    """The number of checks that failed."""
    with tempfile.TemporaryDirectory() as volume, tempfile.TemporaryDirectory() as folder:
        os.chmod(volume, 0o777)
        with Container(options, volume) as container:
            attempt = Try(container, options.descriptors)
            name = attempt.run()
            with Container(options, volume, "again") as again:
                second = Try(again, options.descriptors)
                kept = second.call("GetJob", second.wire.message("GetJobRequest")(name=name))
                second.check("the volume keeps its jobs", Wire.enum_name(kept, "state") == "SUCCEEDED", name)
                again.stop()
            certificate, key = Authority(pathlib.Path(folder), "authority").issue("server")
            for file, name in ((certificate, "server.pem"), (key, "server.key")):
                shutil.copy(file, pathlib.Path(volume) / name)
                os.chmod(pathlib.Path(volume) / name, 0o644)
            with Container(options, volume, "closed", ("HONED_TLS_CERT=/data/server.pem", "HONED_TLS_KEY=/data/server.key")) as closed:
                third = Try(closed, options.descriptors)
                third.run_closed()
    return attempt.failures + second.failures + third.failures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("descriptors", type=pathlib.Path)
    parser.add_argument("--image", default="hone")
    parser.add_argument("--runner", default="podman")
    parser.add_argument("--options", default="")
    parser.add_argument("--programs", type=pathlib.Path)
    options = parser.parse_args()
    if options.programs:
        programs = [options.programs / name for name in ("hone", "honed", "hone-worker", "hone-sentencepiece")]
        with image_of(programs) as (options.image, options.runner, options.options):
            failures = try_image(options)
    else:
        failures = try_image(options)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
