#!/usr/bin/python3
"""The pod of the chart, run: podman plays what helm renders, with the programs of this build in an image of their own.

    pod_test.py BIN SOURCE_DIR

Beside podman (and catatonit, which holds its pods) it needs helm and the program `kubernetes` (tests/support/go_tools.py). Without them: exit code 77.
What a cluster does beyond a pod is not here: podman has no services, network policies and claims of classes. The Secret is a folder, as podman's own
is not what Kubernetes' is, and the network is this machine's, with ports of its own.
"""
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import sys
import tempfile
import unittest
import urllib.request

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "support"), str(TESTS / "e2e")]
import container  # noqa: E402
import go_tools  # noqa: E402
import podman  # noqa: E402
from certificates import Authority, put  # noqa: E402
from honed import LONGEST_SECONDS, free_port, run_tests, wait_until  # noqa: E402

BIN, SOURCE = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
PROGRAMS = [BIN / name for name in ("hone", "honed", "hone-worker", "hone-sentencepiece")]


def stateful_set(image):
    rendered = subprocess.run([go_tools.find("helm"), "template", "hone", SOURCE / "deploy" / "helm" / "hone", "--kube-version", "1.37", "--values",
                               TESTS / "deploy" / "values" / "tls.yaml", "--set", f"image.repository={image}", "--set", "image.tag=latest", "--set",
                               "image.pullPolicy=Never"], capture_output=True, check=True).stdout
    objects = json.loads(subprocess.run([go_tools.find("kubernetes"), "--json"], input=rendered, capture_output=True, check=True).stdout)
    return next(one["spec"] for one in objects if one["kind"] == "StatefulSet")


class Pod(unittest.TestCase):
    """The tests go one after the other, by their names, with one volume."""

    @classmethod
    def setUpClass(cls):
        for name in ("helm", "kubernetes"):
            if go_tools.find(name) is None:
                raise unittest.SkipTest(f"no program {name}, or an old one; make it by {go_tools.how_to_make(name)}")
        if shutil.which("catatonit") is None:
            raise unittest.SkipTest("catatonit, which holds podman's pods, is not installed")
        temporary = tempfile.TemporaryDirectory(prefix="hone-pod-")
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = pathlib.Path(temporary.name)
        cls.folder.chmod(0o755)
        cls.image, runner, options = cls.enterClassContext(container.image_of(PROGRAMS))
        # What the command line says elsewhere, a pod has from a file.
        limits = [word for word in options.split() if "=" in word and ":" in word]
        runtime = f'[engine]\nruntime = "{runner.split()[-1]}"\n' if "--runtime" in runner else ""
        (cls.folder / "containers.conf").write_text(f"[containers]\ndefault_ulimits = {json.dumps(limits)}\n{runtime}", encoding="utf-8")
        os.environ["CONTAINERS_CONF"] = str(cls.folder / "containers.conf")
        cls.addClassCleanup(os.environ.pop, "CONTAINERS_CONF")
        cls.authority = Authority(cls.folder, "authority")
        (cls.folder / "tls").mkdir()
        put(cls.authority.issue("hone"), cls.folder / "tls" / "tls.crt", cls.folder / "tls" / "tls.key")
        for path in (cls.folder / "tls").iterdir():
            path.chmod(0o644)
        cls.name, cls.port, cls.metrics = f"hone-{os.getpid()}", free_port(), free_port()
        cls.file = cls.folder / "pod.yaml"
        cls.file.write_text(json.dumps(cls.pod()), encoding="utf-8")
        cls.addClassCleanup(podman.call, "podman", "volume", "rm", "--force", cls.name, f"{cls.name}-tmp")
        cls.addClassCleanup(cls.end)
        cls.play()

    @classmethod
    def pod(cls):
        spec = stateful_set(f"localhost/{cls.image}")
        # Beside the ports, the name of a volume: podman makes one of the machine of it.
        words = {"0.0.0.0:50051": f"0.0.0.0:{cls.port}", "0.0.0.0:9464": f"0.0.0.0:{cls.metrics}", "0.0.0.0:8080": "127.0.0.1:0", '"tmp"': f'"{cls.name}-tmp"'}
        text = json.dumps(spec["template"])
        for old, new in words.items():
            text = text.replace(old, new)
        template = json.loads(text)
        pod = template["spec"]
        for volume in pod["volumes"]:
            if volume.pop("secret", None):
                volume["hostPath"] = {"path": str(cls.folder / "tls"), "type": "Directory"}
        pod["volumes"].append({"name": "data", "persistentVolumeClaim": {"claimName": cls.name}})
        # podman would let the first container run again and again, and would forget it.
        pod.update(hostNetwork=True, restartPolicy="Never")
        template["metadata"].update(name=cls.name, annotations={"io.podman.annotations.init.container.type": "always"})
        for one in pod["containers"]:
            for unknown in ("ports", "startupProbe", "livenessProbe", "readinessProbe"):
                one.pop(unknown)
        return {"apiVersion": "v1", "kind": "Pod", **template}

    @classmethod
    def play(cls):
        done = podman.call("podman", "kube", "play", cls.file)
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        context = ssl.create_default_context(cafile=cls.authority.certificate)

        def ready():
            try:
                with urllib.request.urlopen(f"https://localhost:{cls.metrics}/readyz", timeout=LONGEST_SECONDS, context=context) as page:
                    return page.status == 200
            except OSError:
                return False
        try:
            wait_until("the pod is ready", ready)
        except TimeoutError as late:
            raise AssertionError(cls.log("first-token") + cls.log("honed")) from late

    @classmethod
    def end(cls):
        podman.call("podman", "pod", "rm", "--force", "--time", "30", cls.name)

    @classmethod
    def log(cls, name):
        done = podman.call("podman", "logs", f"{cls.name}-{name}")
        return done.stdout + done.stderr

    def hone(self, *words, token=""):
        return subprocess.run([BIN / "hone", "--server", f"localhost:{self.port}", "--tls-ca", self.authority.certificate, *words],
                              env={**os.environ, "HONE_TOKEN": token}, capture_output=True, text=True, check=False)

    def token(self):
        return next((line for line in self.log("first-token").splitlines() if line.startswith("hone_")), "")

    def test_1_the_first_token_opens_the_server_and_nobody_comes_in_without(self):
        self.assertNotEqual(self.hone("jobs", "list").returncode, 0)
        allowed = self.hone("jobs", "list", token=self.token())
        self.assertEqual(allowed.returncode, 0, allowed.stderr)

    def test_2_the_server_has_no_rights(self):
        told = podman.call("podman", "inspect", f"{self.name}-honed", "--format",
                           "{{.HostConfig.ReadonlyRootfs}} {{.Config.User}} {{len .EffectiveCaps}} {{.HostConfig.SecurityOpt}}").stdout
        self.assertEqual(told.strip(), "true 10001:10001 0 [no-new-privileges]")

    def test_3_a_pod_that_comes_again_makes_no_other_token(self):
        token = self.token()
        self.end()
        self.play()
        self.assertIn("there are tokens; none is made", self.log("first-token"))
        self.assertEqual(self.hone("jobs", "list", token=token).returncode, 0)


run_tests(*sys.argv[3:])
