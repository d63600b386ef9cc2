#!/usr/bin/env python3
"""The Debian package as its user meets it: in a bare container, where its service's command line is run as the service's user, and under systemd, in
a container that has it, as a real service in its sandbox.

    debian_package_test.py BUILD_DIR SOURCE_DIR [Bare | Systemd]

It needs podman, an image of the system that this one is (docker.io/library/debian:SUITE-slim, as this machine has it), and the distribution's
packages there. Without them: exit code 77.
"""
import ctypes
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import podman  # noqa: E402
from honed import LONGEST_SECONDS, SKIPPED, free_port, run_tests, wait_until, wine_rows  # noqa: E402

BUILD, SOURCE = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
UNIT = SOURCE / "deploy" / "systemd" / "honed.service"
JOB = """
display_name: wine
classification: {}
data: {path: wine.csv}
model: {layers: [{dense: {units: 24, activation: RELU}}, {dense: {units: 3}}]}
training: {epochs: 3}
"""


def skip(why):
    print(f"SKIPPED: {why}")
    sys.exit(SKIPPED)


def image():
    suite = re.search(r"^VERSION_CODENAME=(\w+)", pathlib.Path("/etc/os-release").read_text(encoding="utf-8"), re.M)
    name = f"docker.io/library/debian:{suite[1] if suite else 'unknown'}-slim"
    if podman.call("podman", "image", "exists", name).returncode != 0:
        raise podman.Unavailable(f"podman has no image {name}; get it by: podman pull {name}")
    return name


def unit_setting(name):
    return re.search(rf"^{name}=(.*)$", UNIT.read_text(encoding="utf-8"), re.M)[1]


class Machine:
    """A container that goes on until the end, with the package in /packages."""

    def __init__(self, runner, options, image_name, packages, command=("sleep", "infinity")):
        self.runner, self.name = runner, f"hone-package-{os.getpid()}-{command[0].rsplit('/', 1)[-1]}"
        done = podman.call(*runner, "run", "--detach", "--name", self.name, "--network", "host", *options, "--volume", f"{packages}:/packages:ro",
                           image_name, *command)
        if done.returncode != 0:
            raise podman.Unavailable(done.stderr.strip())

    def run(self, command, user="root"):
        # As the service is: neither root's environment nor its rights.
        if user != "root":
            command = f"exec setpriv --reuid {user} --regid {user} --init-groups env -i PATH=/usr/bin:/bin sh -c {shlex.quote(command)}"
        return podman.call(*self.runner, "exec", self.name, "sh", "-c", command)

    def must(self, command, user="root"):
        done = self.run(command, user)
        if done.returncode != 0:
            raise AssertionError(f"{command}: {done.stdout[-1500:]}{done.stderr[-1500:]}")
        return done.stdout + done.stderr

    def install(self, *packages):
        return self.must("DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends " + " ".join(packages))

    def end(self):
        podman.call(*self.runner, "rm", "--force", "--time", "0", self.name)


class PackageTest(unittest.TestCase):
    """The tests of a class go one after the other, by their names: what is installed in the first is removed in the last."""

    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory(prefix="hone-package-")
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = pathlib.Path(temporary.name) / "deb"
        cls.folder.mkdir()
        packed = subprocess.run(["cpack", "--config", BUILD / "CPackConfig.cmake", "-B", cls.folder], capture_output=True, text=True, check=False)
        assert packed.returncode == 0, packed.stdout + packed.stderr
        cls.package = next(cls.folder.glob("hone_*.deb"))
        (cls.folder / "wine.csv").write_text("\n".join(wine_rows()) + "\n", encoding="utf-8")
        (cls.folder / "wine.yaml").write_text(JOB, encoding="utf-8")
        cls.folder.parent.chmod(0o755)
        try:
            name = image()
            cls.ways = podman.ways(name, "true")
            cls.machine = Machine(*cls.ways, name, cls.folder)
        except podman.Unavailable as why:
            raise unittest.SkipTest(str(why)) from why
        cls.addClassCleanup(cls.machine.end)
        if (updated := cls.machine.run("apt-get update -q")).returncode != 0 or "Failed to fetch" in updated.stderr:
            raise unittest.SkipTest(f"the container reaches no packages of the distribution: {updated.stderr.strip()[-300:]}")

    def trains(self, listen, user):
        said = self.machine.must(f"cd /packages && hone --server {listen} submit --follow wine.yaml", user)
        self.assertIn("SUCCEEDED", self.machine.must(f"hone --server {listen} --output json jobs list", user), said)


class Bare(PackageTest):
    @unittest.skipUnless(shutil.which("lintian"), "lintian is not installed")
    def test_0_lintian_finds_no_error(self):
        done = subprocess.run(["lintian", "--fail-on", "error", "--allow-root", self.package], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_1_it_is_installed_with_all_that_it_needs(self):
        self.machine.install("systemd-standalone-sysusers", f"/packages/{self.package.name}")
        for program in ("hone", "honed"):
            self.assertIn(self.package.name.split("_")[1], self.machine.must(f"{program} --version"))
        self.assertNotIn("not found", self.machine.must("ldd /usr/libexec/hone/*"))

    def test_2_the_service_starts_with_the_machine(self):
        self.machine.must("test -e /etc/systemd/system/multi-user.target.wants/honed.service")

    def test_3_the_services_command_line_trains_a_job_as_its_user(self):
        user, command = unit_setting("User"), unit_setting("ExecStart")
        listen = f"127.0.0.1:{free_port()}"
        # What systemd would do: its folder, its user, ready when it says so. The network is this machine's, so its ports are chosen here.
        self.machine.must(f"echo 'listen = \"{listen}\"\nmetrics-listen = \"127.0.0.1:0\"\nhttp-listen = \"127.0.0.1:0\"\ndisk-floor-bytes = 0' >>/etc/hone/honed.ini")
        self.machine.must(f"nohup sh -c '{command} & echo $! >/tmp/honed.pid; wait $!; echo $? >/tmp/honed.code' >/tmp/honed.log 2>&1 &", user)
        wait_until("the server listens", lambda: "listening on" in self.machine.must("cat /tmp/honed.log"))
        self.trains(listen, user)
        self.machine.must("kill $(cat /tmp/honed.pid)")
        self.assertEqual(wait_until("the server has ended", lambda: self.machine.run("cat /tmp/honed.code").stdout).strip(), "0")
        self.assertEqual(self.machine.must("stat -c %U /var/lib/hone/store.db").strip(), user)

    def test_4_installed_again_it_keeps_the_settings(self):
        said = self.machine.must(f"dpkg --install /packages/{self.package.name}")
        self.assertIn("disk-floor-bytes", self.machine.must("cat /etc/hone/honed.ini"), said)

    def test_5_removed_it_leaves_settings_and_data_and_says_so(self):
        said = self.machine.must("apt-get remove -y -q hone")
        self.assertIn("stay in /var/lib/hone", said)
        self.machine.must("test -s /var/lib/hone/store.db && test -s /etc/hone/honed.ini")
        self.assertNotEqual(self.machine.run("command -v honed").returncode, 0)

    def test_6_purged_it_leaves_the_data_alone(self):
        self.machine.must("apt-get purge -y -q hone")
        self.machine.must("test -s /var/lib/hone/store.db && test ! -e /etc/hone && test ! -e /etc/systemd/system/multi-user.target.wants/honed.service")


class Systemd(PackageTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.machine.install("systemd", "systemd-sysv")
        name = f"hone-systemd-{os.getpid()}"
        podman.call("podman", "commit", cls.machine.name, name)
        cls.addClassCleanup(podman.call, "podman", "rmi", "--force", name)
        cls.machine.end()
        runner, options = cls.ways
        try:
            cls.machine = Machine(runner, (*options, "--privileged", "--systemd=always"), name, cls.folder, ("/lib/systemd/systemd",))
            cls.addClassCleanup(cls.machine.end)
            wait_until("systemd runs in the container", lambda: cls.machine.run("systemctl is-system-running").stdout.strip() in ("running", "degraded"))
        except (podman.Unavailable, TimeoutError) as why:
            raise unittest.SkipTest(f"systemd does not run in a container here: {why}") from why
        # The network is this machine's, so the ports are chosen here; and the limit is one that every machine can set.
        cls.listen = f"127.0.0.1:{free_port()}"
        cls.machine.must("mkdir -p /etc/systemd/system/honed.service.d && printf '[Service]\\nLimitNOFILE=1024\\nEnvironment=HONED_LISTEN=%s "
                         f"HONED_METRICS_LISTEN=127.0.0.1:0 HONED_HTTP_LISTEN=127.0.0.1:0 HONED_DISK_FLOOR_BYTES=0\\n' {cls.listen} >/etc/systemd/system/honed.service.d/test.conf")

    def state(self, name):
        return self.machine.must(f"systemctl show --property {name} --value honed").strip()

    def test_1_the_service_runs_when_it_is_installed(self):
        said = self.machine.install(f"/packages/{self.package.name}")
        self.assertEqual(self.state("ActiveState"), "active", said + self.machine.run("journalctl --no-pager -u honed").stdout)

    def test_2_a_job_is_trained_in_the_sandbox(self):
        self.trains(self.listen, "hone")

    def test_3_the_service_is_no_more_exposed_than_it_says(self):
        # What systemd could not set up on this kernel it says in its log.
        self.assertNotRegex(self.machine.must("journalctl --no-pager -u honed"), "(?i)ignoring|not supported")
        pid = self.state("MainPID")
        status = self.machine.must(f"cat /proc/{pid}/status")
        self.assertRegex(status, r"CapBnd:\t0+\n")
        self.assertRegex(status, r"Seccomp:\t2")

    def test_3_workers_are_confined_within_the_sandbox(self):
        port = re.findall(r"metrics, port (\d+)", self.machine.must("journalctl --no-pager -u honed"))[-1]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=LONGEST_SECONDS) as page:
            confined = dict(re.findall(r'^hone_worker_confinement{what="(\w+)"} (\d+)', page.read().decode(), re.M))
        # landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION): what this kernel can, outside of the sandbox.
        landlock = ctypes.CDLL(None).syscall(444, None, 0, 1)
        self.assertEqual(confined, {"files": str(max(landlock, 0)), "network": "1"})

    def test_4_a_server_that_is_killed_is_started_again(self):
        pid = self.state("MainPID")
        self.machine.must(f"kill -9 {pid}")
        wait_until("another server runs", lambda: self.state("ActiveState") == "active" and self.state("MainPID") not in ("0", pid))
        self.assertIn("SUCCEEDED", self.machine.must(f"hone --server {self.listen} --output json jobs list"))

    def test_5_tokens_are_made_through_the_sandbox(self):
        made = "honed token create --data-dir /var/lib/hone --name anna --role submitter --expires 90d"
        token = self.machine.must(f"{made} 2>/dev/null", "hone").strip()
        self.assertNotEqual(self.machine.run(f"hone --server {self.listen} jobs list").returncode, 0)
        self.machine.must(f"HONE_TOKEN={token} hone --server {self.listen} jobs list")

    def test_6_an_upgrade_starts_the_new_version(self):
        pid = self.state("MainPID")
        self.machine.must(f"dpkg --install /packages/{self.package.name}")
        self.assertNotIn(self.state("MainPID"), ("0", pid))

    def test_7_a_server_that_was_stopped_stays_so_at_an_upgrade(self):
        self.machine.must("systemctl stop honed")
        self.assertEqual(self.state("Result"), "success")
        self.machine.must(f"dpkg --install /packages/{self.package.name}")
        self.assertEqual(self.state("ActiveState"), "inactive")

    def test_8_removed_it_is_stopped_and_leaves_its_data(self):
        self.machine.must("systemctl start honed")
        pid = self.state("MainPID")
        self.machine.must("apt-get purge -y -q hone")
        self.assertNotEqual(self.machine.run(f"kill -0 {pid}").returncode, 0)
        self.machine.must("test -s /var/lib/hone/store.db")


if __name__ == "__main__":
    try:
        podman.require()
    except podman.Unavailable as reason:
        skip(reason)
    run_tests(*sys.argv[3:])
