#!/usr/bin/env python3
"""The chart of deploy/helm by the real helm; what it renders by the validation of Kubernetes' API server (tests/deploy/kubernetes).

    chart_test.py SOURCE_DIR

Both are programs in Go, outside the checkout (tests/support/go_tools.py). Without them: exit code 77. No cluster is needed, and none is tried.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import go_tools  # noqa: E402
from honed import SKIPPED, run_tests  # noqa: E402

SOURCE = pathlib.Path(sys.argv[1])
CHART = SOURCE / "deploy" / "helm" / "hone"
VALUES = sorted((SOURCE / "tests" / "deploy" / "values").glob("*.yaml"))
HELM, KUBERNETES = go_tools.find("helm"), go_tools.find("kubernetes")
if HELM is None or KUBERNETES is None:
    missing = " ".join(name for name in ("helm", "kubernetes") if go_tools.find(name) is None)
    print(f"SKIPPED: no program {missing}, or an old one. To run this test:\n    {go_tools.how_to_make(missing)}")
    sys.exit(SKIPPED)


def helm(command, *arguments):
    # A helm that Go has built without its makefile takes itself for one of Kubernetes 1.20.
    if command in ("lint", "template"):
        arguments = ("--kube-version", "1.37", *arguments)
    return subprocess.run([HELM, command, *map(str, arguments)], capture_output=True, text=True, check=False)


def render(*options, release="hone"):
    done = helm("template", release, CHART, "--namespace", "training", *options)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return done.stdout


def check(objects, *options):
    """(whether an API server would take them, what it says)"""
    done = subprocess.run([KUBERNETES, *options], input=objects, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr


def rendered(values, kind, *options):
    """The object of a kind; None where there is none."""
    sound, text = check(render("--values", SOURCE / "tests" / "deploy" / "values" / f"{values}.yaml", *options), "--json")
    assert sound, text
    found = [one for one in json.loads(text) if one["kind"] == kind]
    return found[0] if found else None


def pod(values, *options):
    return rendered(values, "StatefulSet", *options)["spec"]["template"]["spec"]


def arguments(values, *options):
    """The command line of honed as a dict: {"--jobs": "4"}."""
    return dict((*one.split("=", 1), "")[:2] for one in pod(values, *options)["containers"][0]["args"])


def declared_flags():
    return set(re.findall(r'"(--[a-z][a-z-]+)"', (SOURCE / "server" / "config" / "config.cc").read_text(encoding="utf-8")))


class Rendered(unittest.TestCase):
    def test_helm_finds_nothing_wrong(self):
        for values in VALUES:
            done = helm("lint", "--strict", "--values", values, CHART)
            self.assertEqual(done.returncode, 0, f"{values.name}: {done.stdout}{done.stderr}")

    def test_an_api_server_takes_all_of_it(self):
        for values in VALUES:
            sound, said = check(render("--values", values))
            self.assertTrue(sound, f"{values.name}: {said}")

    def test_an_api_server_takes_it_under_a_long_name(self):
        sound, said = check(render("--set", "insecureListen=true", release="r" * 53))
        self.assertTrue(sound, said)

    def test_what_is_wrong_with_an_object_is_found(self):
        breakages = {
            'unknown field "spec.template.spec.terminationGracePeriod"': ("terminationGracePeriodSeconds", "terminationGracePeriod"),
            "runAsNonRoot": ("runAsNonRoot: true", "runAsNonRoot: false"),
            "unrestricted capabilities": ("capabilities: {drop: [ALL]}", "capabilities: {drop: [KILL]}"),
            "seccompProfile": ("seccompProfile: {type: RuntimeDefault}", "seccompProfile: {type: Unconfined}"),
            "ports[1].name": ("name: metrics, containerPort", "name: a-name-of-metrics, containerPort"),
            "volumeMounts": ("{name: tmp, emptyDir", "{name: temporary, emptyDir"),
            "no kind": ("kind: NetworkPolicy", "kind: NetworkPolicies"),
            "unknown field \"spec.ingress[0].form\"": ("- from:", "- form:"),
        }
        sound = render("--set", "insecureListen=true")
        for word, (old, new) in breakages.items():
            self.assertIn(old, sound)
            taken, said = check(sound.replace(old, new))
            self.assertFalse(taken, word)
            self.assertIn(word, said)

    def test_workers_have_their_time_to_write_a_checkpoint(self):
        for seconds in ("1", "20", "90.5", "3600"):
            options = ("--set-json", f"graceSeconds={seconds}")
            self.assertGreaterEqual(pod("insecure", *options)["terminationGracePeriodSeconds"], float(seconds) + 10)
            self.assertEqual(arguments("insecure", *options)["--grace-seconds"], seconds)

    def test_a_renewed_certificate_reaches_the_server(self):
        # A file that is mounted by itself (subPath) stays as it was.
        mounts = {mount["name"]: mount for mount in pod("everything")["containers"][0]["volumeMounts"]}
        for name in ("tls", "client-ca"):
            self.assertNotIn("subPath", mounts[name])
        flags = arguments("everything")
        self.assertEqual(flags["--tls-key"], f"{mounts['tls']['mountPath']}/tls.key")
        self.assertEqual(flags["--tls-client-ca"], f"{mounts['client-ca']['mountPath']}/ca.crt")

    def test_the_server_knows_every_flag_that_it_is_given(self):
        given = set().union(*(arguments(values.stem) for values in VALUES))
        self.assertLessEqual(given, declared_flags())

    def test_numbers_are_written_out(self):
        flags = arguments("everything")
        self.assertEqual((flags["--dataset-quota-bytes"], flags["--silence-seconds"], flags["--jobs"]), ("1099511627776", "12.5", "4"))

    def test_probes_speak_tls_where_the_server_does(self):
        for values, scheme in (("insecure", "HTTP"), ("tls", "HTTPS")):
            container = pod(values)["containers"][0]
            found = {container[f"{probe}Probe"]["httpGet"]["scheme"] for probe in ("startup", "liveness", "readiness")}
            self.assertEqual(found, {scheme})

    def test_the_balancers_service_has_no_metrics(self):
        text = render("--values", SOURCE / "tests" / "deploy" / "values" / "everything.yaml")
        service = next(one for one in json.loads(check(text, "--json")[1]) if one["kind"] == "Service" and one["spec"].get("type") == "LoadBalancer")
        self.assertEqual({port["name"]: port["port"] for port in service["spec"]["ports"]}, {"grpc": 443, "http": 8443})

    def test_an_empty_list_of_peers_lets_nobody_in(self):
        policy = rendered("insecure", "NetworkPolicy", "--set", "networkPolicy.from=null", "--set-json", "networkPolicy.metricsFrom=[]")
        self.assertFalse(policy["spec"].get("ingress"))
        self.assertIn("Ingress", policy["spec"]["policyTypes"])

    def test_the_volume_outlives_the_release(self):
        retained = rendered("insecure", "StatefulSet")["spec"]["persistentVolumeClaimRetentionPolicy"]
        self.assertEqual(set(retained.values()), {"Retain"})

    def test_a_claim_that_is_there_is_used_and_none_is_made(self):
        stateful_set = rendered("existing-claim", "StatefulSet")
        self.assertNotIn("volumeClaimTemplates", stateful_set["spec"])
        self.assertIn({"name": "data", "persistentVolumeClaim": {"claimName": "hone-data"}}, stateful_set["spec"]["template"]["spec"]["volumes"])

    def test_all_alerts_and_boards_are_in_it(self):
        alerts = re.findall(r"alert: (\w+)", (SOURCE / "deploy" / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))
        rules = rendered("everything", "PrometheusRule")["spec"]["groups"][0]["rules"]
        self.assertEqual([rule["alert"] for rule in rules], alerts)
        boards = {f"hone-{path.name}": path.read_text(encoding="utf-8") for path in (SOURCE / "deploy" / "grafana" / "dashboards").glob("*.json")}
        self.assertEqual(rendered("everything", "ConfigMap")["data"], boards)

    def test_the_chart_is_of_this_version(self):
        version = re.search(r"project\(hone VERSION ([0-9.]+)", (SOURCE / "CMakeLists.txt").read_text(encoding="utf-8"))[1]
        self.assertIn(f"\nappVersion: {version}\n", (CHART / "Chart.yaml").read_text(encoding="utf-8"))

    def test_the_manual_has_every_value(self):
        manual = (CHART / "README.md").read_text(encoding="utf-8")
        schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))["properties"]
        for name in set(schema) - {"global"}:
            self.assertRegex(manual, rf"`{name}[.`]", name)

    def test_a_packed_chart_renders_the_same(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(helm("package", "--destination", folder, CHART).returncode, 0)
            packed = next(pathlib.Path(folder).glob("*.tgz"))
            done = helm("template", "hone", packed, "--namespace", "training", "--values", SOURCE / "tests" / "deploy" / "values" / "everything.yaml")
        self.assertEqual(done.stdout, render("--values", SOURCE / "tests" / "deploy" / "values" / "everything.yaml"))


class Refused(unittest.TestCase):
    def assert_refused(self, word, *options):
        done = helm("template", "hone", CHART, *options)
        self.assertNotEqual(done.returncode, 0, options)
        self.assertIn(word, done.stderr)

    def test_a_server_for_everybody_must_be_asked_for(self):
        self.assert_refused("insecureListen=true")

    def test_settings_that_depend_on_each_other_are_told(self):
        self.assert_refused("must be false where tls.secretName", "--set", "tls.secretName=hone-tls", "--set", "insecureListen=true")
        self.assert_refused("needs tls.secretName", "--set", "tls.clientCaSecretName=ca", "--set", "insecureListen=true")
        self.assert_refused("would not know who calls", "--set", "tls.secretName=hone-tls", "--set", "firstToken.enabled=false")

    def test_a_bad_value_is_told_by_its_name(self):
        wrong = {
            "image.pullPolicy": "Sometimes", "graceSeconds": "0", "tls.clientRole": "root", "service.grpcPort": "70000", "service.type": "External",
            "persistence.size": "much", "persistence.accessModes": "{ReadOnlyMany}", "firstToken.expires": "1d; rm -r /data",
            "serviceMonitor.interval": "often", "tls.secretName": "No Name", "insecureListen": "maybe", "extraArgs": "{jobs=1}",
            "networkPolicy.enabled": "1", "podLabels.a.b": "c", "resources.limits.memory": "2 GB",
        }
        for name, value in wrong.items():
            first = name.split(".")[0]
            self.assert_refused(first, "--set", "insecureListen=true", "--set", f"{name}={value}")

    def test_an_unknown_value_is_told(self):
        self.assert_refused("replicas", "--set", "insecureListen=true", "--set", "replicas=2")
        self.assert_refused("secretname", "--set", "insecureListen=true", "--set", "tls.secretname=hone-tls")

    def test_flags_that_the_chart_sets_by_itself_are_told(self):
        for flag in ("data-dir", "listen", "metrics-listen", "http-listen", "tls-cert", "tls-key", "tls-client-ca", "insecure-listen", "grace-seconds", "config"):
            self.assert_refused(flag, "--set", "insecureListen=true", "--set", f"settings.{flag}=x")

    def test_a_server_without_a_limit_of_memory_is_refused(self):
        self.assert_refused("memory", "--set", "insecureListen=true", "--set", "resources.limits.memory=null")


run_tests(*sys.argv[2:])
