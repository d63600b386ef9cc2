"""How podman runs a container on this machine, if it can."""
import shutil
import subprocess

# Machines that may not raise their own limits need them named; some have cgroups that only runc knows.
WAYS_TO_RUN = ((), ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"))
RUNTIMES = ((), ("--runtime", "runc"))


class Unavailable(Exception):
    """Why nothing is run in a container here."""


def call(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


def require():
    if shutil.which("podman") is None:
        raise Unavailable("podman is not installed; nothing was run in a container")


def ways(image, *command, options=()):
    """(the words before `run`, the options after it) with which a container of the image ends well."""
    require()
    for runtime in RUNTIMES:
        for limits in WAYS_TO_RUN:
            probe = call("podman", *runtime, "run", "--rm", "--network", "host", *limits, *options, image, *command)
            if probe.returncode == 0:
                return ("podman", *runtime), limits
    raise Unavailable(f"podman cannot run a container here: {probe.stderr.strip()}")
