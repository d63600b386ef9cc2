#!/usr/bin/env python3
"""The Python client without a real server: job files beside what `hone` makes of them, tokens and TLS, calls that are made again, streams that break.

    python_client_test.py BIN PROTOC [TEST…]

The Python packages come from an environment outside the checkout (tests/support/environments.py client); exit code 77 without it.
"""
import asyncio
import concurrent.futures
import inspect
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import typing
import unittest
from unittest import mock

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "support"))
import client_wheel  # noqa: E402
from honed import run_tests  # noqa: E402

BIN, PROTOC = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
os.environ["GRPC_VERBOSITY"] = "NONE"  # handshakes fail on purpose
WHEEL = client_wheel.enter(PROTOC)
import grpc  # noqa: E402
import hone  # noqa: E402
import hone.events  # noqa: E402
import hone.history  # noqa: E402
import hone.predictions  # noqa: E402
from google.protobuf import duration_pb2  # noqa: E402
from hone import _channel, _files, _job_file  # noqa: E402
from hone._convert import convert, to_dict  # noqa: E402
from hone.rpc import status_pb2  # noqa: E402
from hone.v1 import dataset_service_pb2, event_pb2, job_resource_pb2, model_service_pb2, prediction_pb2, training_service_pb2  # noqa: E402

EXAMPLES = client_wheel.ROOT / "client" / "examples"
SPEC = {"classification": {}, "data": {"dataset": "wine"}, "model": {"layers": [{"dense": {"units": 3}}]}, "training": {"epochs": 1}}


def fail(context, code, message, *details):
    """Ends a call as the server does: with a google.rpc.Status."""
    status = status_pb2.Status(code=code.value[0], message=message)
    for name, detail in details:
        status.details.add(type_url=f"type.googleapis.com/google.rpc.{name}", value=detail.SerializeToString())
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, message)


def in_a_moment():
    return "RetryInfo", status_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=50_000_000))


class FakeServer:
    """Answers by the methods that a test gives it: RPC's name → function of (request, context)."""

    def __init__(self, credentials=None, **methods):
        self.methods = methods
        self.metadata = []
        self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        for service in _channel._SERVICES:
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(
                service.full_name, {method.name: self._handler(method) for method in service.methods}),))
        port = self._server.add_secure_port("localhost:0", credentials) if credentials else self._server.add_insecure_port("127.0.0.1:0")
        self.address = f"localhost:{port}" if credentials else f"127.0.0.1:{port}"
        self._server.start()

    def _handler(self, method):
        def answer(request, context):
            self.metadata.append(dict(context.invocation_metadata()))
            return self.methods[method.name](request, context)

        kind = "unary_stream" if method.name in ("WatchJob", "Generate", "DownloadModel", "DownloadArtifact") else "unary_unary"
        return getattr(grpc, f"{kind}_rpc_method_handler")(
            answer, request_deserializer=_channel.message_factory.GetMessageClass(method.input_type).FromString,
            response_serializer=lambda message: message.SerializeToString())

    def stop(self):
        self._server.stop(None)


class Fake(unittest.TestCase):
    def server(self, credentials=None, **methods):
        server = FakeServer(credentials, **methods)
        self.addCleanup(server.stop)
        return server

    def client(self, server, **options):
        client = hone.Client(server.address, **options)
        self.addCleanup(client.close)
        return client


class JobFiles(Fake):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="hone-job-files-")
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)

    def read(self, text, name="job.yaml"):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return _job_file.read_job(path)

    def problems(self, job):
        with self.assertRaises(hone.JobFileError) as refused:
            _job_file.read_job(job)
        return list(map(str, refused.exception.problems))

    def test_a_job_file_is_read_as_the_command_line_reads_it(self):
        sent = []
        server = self.server(
            CreateJob=lambda request, context: (sent.append(request.spec), job_resource_pb2.Job(name="jobs/one"))[1],
            ListDatasets=lambda request, context: dataset_service_pb2.ListDatasetsResponse(datasets=[{"name": "datasets/there"}]),
            GetModel=lambda request, context: model_service_pb2.Model(name=request.name))
        odd = self.folder / "odd.yaml"
        odd.write_text("""{classification: {class_weights: 2, binary: True}, labels: {who: no, since: 1e3}, priority: "+5",
            data: {dataset: "12", classes: [no, 'true']}, model: {layers: [{dense: {units: 3.0}}]},
            training: {steps: 1e3, clip_norm: 1e-3, weight_decay_exclude: dense}}""", encoding="utf-8")
        files = [path for path in sorted(EXAMPLES.glob("*.yaml")) if "\naxes:" not in path.read_text(encoding="utf-8")]
        os.chdir(client_wheel.ROOT)
        with hone.Client(server.address) as client:
            for path in [*files, odd]:
                with self.subTest(file=path.name):
                    sent.clear()
                    done = subprocess.run([BIN / "hone", "--server", server.address, "submit", path], capture_output=True, text=True, timeout=60, check=False)
                    try:
                        client.submit(path)
                    except hone.JobFileError as error:
                        self.assertIn("is a folder of this machine", str(error))
                        self.assertEqual(done.stderr.strip(), f"hone: {error}")
                        continue
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertEqual(sent[0], sent[1])

    def test_a_job_that_the_server_has_is_a_job_to_submit_again(self):
        for path in sorted(EXAMPLES.glob("mnist-*.yaml")):
            spec = _job_file.read_job(path).spec
            self.assertEqual(_job_file.read_job(to_dict(spec)).spec, spec)
        self.assertEqual(to_dict(spec)["training"]["epochs"], spec.training.epochs)

    def test_a_file_is_loaded_as_a_dict_with_numbers_and_its_places_to_be_changed(self):
        path = self.folder / "job.yaml"
        path.write_text("{data: {path: a.csv}, training: {epochs: 5, clip_norm: 1e-3}}", encoding="utf-8")
        job = hone.load_job(path)
        self.assertEqual(job, {"data": {"path": "a.csv"}, "training": {"epochs": 5, "clip_norm": 0.001}, "display_name": "job"})
        job["training"]["epochs"] *= 2
        self.assertEqual(_job_file.read_job(job).spec.training.epochs, 10)
        self.assertIn("path", job["data"])

    def test_everything_that_is_wrong_is_told_at_once_with_its_place(self):
        wrong = {"clasification": {}, "data": {"dataset": "wine", "nobody": 1}, "model": {"layers": [{"dense": {"units": "x"}}, {"dense": None}]},
                 "training": {"precision": "F16", "optimizer": {"adam": {"lazy": "yes"}}, "epochs": True}}
        self.assertEqual([problem.split(": ")[0] for problem in self.problems(wrong)],
                         ["clasification", "data.nobody", "model.layers[0].dense.units", "model.layers[1].dense", "training.precision",
                          "training.optimizer.adam.lazy", "training.epochs"])
        self.assertEqual(self.problems({"clasification": {}}), ["clasification: unknown key; did you mean `classification`?"])
        self.assertIn("oneof", self.problems({"classification": {}, "regression": {}})[0])

    def test_places_of_this_machine_are_the_servers_only_where_it_can_have_them(self):
        self.assertEqual(_job_file.read_job({"data": {"path": "a.csv"}}).data, pathlib.Path("a.csv"))
        self.assertEqual(self.problems({"data": {"path": "a.csv", "dataset": "wine"}}), ["data: must have either `dataset` or `path`, got both"])
        (problem,) = self.problems({"model": {"pretrained": {"path": "run"}}})
        self.assertEqual(problem, "model.pretrained.path: is a folder of this machine; a server takes `model.pretrained.model`, one of its own")
        maze = EXAMPLES / "listing-maze.txt"
        job = _job_file.read_job({"reinforcement_learning": {"maze": {"path": maze}}})
        self.assertEqual(job.spec.reinforcement_learning.maze.text, maze.read_text(encoding="utf-8"))

    def test_a_file_says_what_it_is_not(self):
        self.assertEqual(self.read('{"classification": {}}', "a.json").spec.display_name, "a")
        for text, words in (("axes: []", "sweep file"), ("- 1", "must be a map"), ("a: b: c", "mapping values"), ("a: 1\na: 2", "is given twice")):
            with self.subTest(text=text), self.assertRaisesRegex(hone.JobFileError, words):
                self.read(text)
        with mock.patch.dict(sys.modules, {"yaml": None}), self.assertRaisesRegex(hone.JobFileError, r"pip install 'hone-client\[yaml\]'"):
            self.read("classification: {}")

    def test_the_format_of_a_data_set_follows_from_its_name(self):
        self.assertEqual(_files.format_of(pathlib.Path("A.CSV.gz")), "CSV_GZ")
        self.assertEqual(_files.dataset_id_of(pathlib.Path("my wine.v2.csv"), "0123456789abcdef"), "my-wine-0123456789ab")
        with self.assertRaisesRegex(ValueError, "is a folder"):
            _files.format_of(self.folder)
        with self.assertRaisesRegex(ValueError, "must end in"):
            _files.format_of(pathlib.Path("a.xlsx"))

    def test_a_model_with_a_file_that_leads_out_or_is_damaged_leaves_nothing(self):
        for path, sha256 in (("../out", ""), ("/out", ""), ("model.json", "0" * 64)):
            with self.subTest(path=path), self.assertRaises(hone.HoneError):
                with _files.ModelFolder(self.folder / "model") as folder:
                    folder.take(model_service_pb2.DownloadModelResponse(file={"path": path, "sha256": sha256}, data=b"x"))
                    folder.finish()
            self.assertEqual(list(self.folder.iterdir()), [])


class TheLine(Fake):
    INFO = {"GetServerInfo": lambda request, context: training_service_pb2.ServerInfo(version="9")}

    def test_a_token_is_sent_and_never_in_plain_text_to_another_machine(self):
        server = self.server(**self.INFO)
        self.assertEqual(self.client(server, token="secret").server_info().version, "9")
        self.assertEqual(server.metadata[-1]["authorization"], "Bearer secret")
        self.client(server).server_info()
        self.assertNotIn("authorization", server.metadata[-1])
        for address in ("example.com", "10.0.0.1:50051", "[2001:db8::1]:50051", "127.0.0.1.example.com:1"):
            with self.subTest(address=address), self.assertRaisesRegex(ValueError, "plain text"):
                hone.Client(address, token="secret")
        for address in ("localhost", "127.0.0.1:1", "[::1]:1", "unix:/run/hone"):
            hone.Client(address, token="secret").close()
        hone.Client("example.com", token="secret", tls=True).close()

    def test_the_project_is_named_in_every_call_where_one_is_given(self):
        server = self.server(**self.INFO)
        self.client(server, project="vision").server_info()
        self.assertEqual(server.metadata[-1]["hone-project"], "vision")
        self.client(server).server_info()
        self.assertNotIn("hone-project", server.metadata[-1])
        with self.assertRaisesRegex(ValueError, "project"):
            hone.Client("localhost", project="a b")

    def test_a_token_that_cannot_be_one_is_refused_and_never_shown(self):
        for token in ("secret\n", "sec ret", "secr\u00e9t"):
            with self.subTest(token=token), self.assertRaisesRegex(ValueError, "printable ASCII") as raised:
                hone.Client("localhost", token=token)
            self.assertNotIn(token.strip(), str(raised.exception))
        self.assertNotIn("secret", repr(_channel.target("localhost", "secret", False)))

    @unittest.skipUnless(shutil.which("openssl"), "openssl is not installed")
    def test_with_tls_both_sides_prove_who_they_are(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            for who in ("server", "client", "stranger"):
                subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={who}", "-addext",
                                "subjectAltName=DNS:localhost", "-keyout", folder / f"{who}.key", "-out", folder / f"{who}.pem"], check=True, capture_output=True)
            credentials = grpc.ssl_server_credentials([((folder / "server.key").read_bytes(), (folder / "server.pem").read_bytes())],
                                                      (folder / "client.pem").read_bytes(), require_client_auth=True)
            server = self.server(credentials, **self.INFO)
            known = hone.TLS(ca=folder / "server.pem", certificate=folder / "client.pem", key=folder / "client.key")
            self.assertEqual(self.client(server, token="secret", tls=known).server_info().version, "9")
            self.assertEqual(server.metadata[-1]["authorization"], "Bearer secret")

            async def twin():
                async with hone.AsyncClient(server.address, token="secret", tls=known) as client:
                    return (await client.server_info()).version

            self.assertEqual(asyncio.run(twin()), "9")
            for wrong in (hone.TLS(ca=folder / "stranger.pem", certificate=known.certificate, key=known.key), hone.TLS(ca=known.ca), True):
                with self.subTest(tls=wrong), self.assertRaises(hone.ServerUnreachable):
                    self.client(server, tls=wrong).server_info()
            with self.assertRaisesRegex(ValueError, "both `certificate` and `key`"):
                hone.Client(server.address, tls=hone.TLS(certificate="a.pem"))

    def test_a_call_is_made_again_only_where_the_server_asks_for_it_or_it_does_no_harm(self):
        asked = []

        def busy(request, context):
            asked.append(request)
            if len(asked) < 3:
                fail(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "the queue is full", in_a_moment(),
                     ("ErrorInfo", status_pb2.ErrorInfo(reason="QUEUE_FULL", domain="hone")))
            return job_resource_pb2.Job(name="jobs/one")

        def late(request, context):
            fail(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "the disk is full",
                 ("RetryInfo", status_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=60))))

        def breaks(request, context):
            asked.append(request)
            if len(asked) < 2:
                context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
            return job_resource_pb2.Job(name="jobs/one")

        server = self.server(CreateJob=busy)
        client = self.client(server)
        self.assertEqual(client.submit(SPEC).name, "jobs/one")
        self.assertEqual(len({request.request_id for request in asked}), 1)
        server.methods["CreateJob"] = late
        with self.assertRaises(hone.HoneError) as refused:
            client.submit(SPEC)
        self.assertEqual(refused.exception.retry_after, 60)
        server.methods.update(GetJob=breaks, CancelJob=breaks)
        asked.clear()
        job = client.job("one")
        self.assertEqual(len(asked), 2)
        asked.clear()
        with self.assertRaises(hone.ServerUnreachable):
            job.cancel()

    def test_a_stream_goes_on_by_its_token_and_asks_once_again_for_what_was_left_out(self):
        asked = []

        def answer(number, **kind):
            return training_service_pb2.WatchJobResponse(resume_token=str(number), **kind)

        def watch(request, context):
            asked.append(request.resume_token)
            if len(asked) == 1:
                yield answer(0, snapshot={"name": "jobs/one", "state": "RUNNING"})
                yield answer(1, event={"sequence": 1, "log": {"text": "one", "severity": "INFO"}})
                yield answer(1, goodbye={})
            elif len(asked) == 2:
                yield answer(2, event={"sequence": 2})
                yield answer(4, gap={"from_sequence": 3, "to_sequence": 4})
            elif len(asked) == 3:
                yield answer(3, event={"sequence": 3})
                yield answer(4, gap={"from_sequence": 4, "to_sequence": 4})
            else:
                yield answer(4, gap={"from_sequence": 4, "to_sequence": 4})
                yield answer(4, heartbeat={})
                yield answer(5, event={"sequence": 5, "state": {"state": "SUCCEEDED"}})

        states = iter(["RUNNING", "SUCCEEDED"])
        server = self.server(WatchJob=watch, GetJob=lambda request, context: job_resource_pb2.Job(name=request.name, state=next(states)))
        job = self.client(server).job("one")
        told = [(type(event).__name__, event.sequence) for event in job.follow()]
        self.assertEqual(told, [("Log", 1), ("Event", 2), ("Event", 3), ("Gap", 4), ("StateChange", 5)])
        self.assertEqual(asked, ["", "1", "2", "3"])
        self.assertEqual(job.info.state, "SUCCEEDED")


class Shape(unittest.TestCase):
    def test_the_twin_has_the_same_methods_with_the_same_words(self):
        for twin, original in ((hone.AsyncClient, hone.Client), (hone.AsyncJob, hone.Job), (hone.AsyncModel, hone.Model)):
            self.assertEqual({name for name in dir(twin) if not name.startswith("_")}, {name for name in dir(original) if not name.startswith("_")})
            for name, method in inspect.getmembers(original, inspect.isfunction):
                if not name.startswith("_"):
                    with self.subTest(method=f"{original.__name__}.{name}"):
                        self.assertEqual(list(inspect.signature(getattr(twin, name)).parameters.values()), list(inspect.signature(method).parameters.values()))
                        self.assertEqual(getattr(twin, name).__doc__, method.__doc__)

    def test_every_kind_of_event_and_answer_is_known(self):
        for kind in event_pb2.Event.DESCRIPTOR.oneofs_by_name["kind"].fields:
            with self.subTest(event=kind.name):
                message = event_pb2.Event()
                getattr(message, kind.name).SetInParent()
                self.assertIsNot(type(hone.events.event_of(message)), hone.Event)
        for kind in prediction_pb2.Prediction.DESCRIPTOR.oneofs_by_name["result"].fields:
            with self.subTest(answer=kind.name):
                message = prediction_pb2.Prediction()
                getattr(message, kind.name).SetInParent()
                hone.predictions.prediction_of(message)
        self.assertEqual(set(typing.get_args(hone.predictions.Prediction)), set(hone.predictions._KINDS.values()))
        convert(hone.JobInfo, job_resource_pb2.Job(plan={"layers": [{"role": "HIDDEN"}]}, evaluation={"classes": [{"name": "a"}], "comparison": {}}))

    def test_curves_are_arrays_with_and_without_numpy(self):
        points = [event_pb2.Metrics(step=1, values={"loss": 2}), event_pb2.Metrics(step=2, values={"loss": 1, "validation_loss": 3})]
        with_numpy = hone.History(points, 2)
        self.assertEqual(with_numpy["loss"].mean(), 1.5)
        with mock.patch.object(hone.history, "numpy", None):
            for history in (with_numpy, hone.History(points, 2)):
                self.assertEqual(list(history), ["loss", "validation_loss"])
                steps, values = history.curve("validation_loss")
                self.assertEqual((list(steps), list(values)), ([2], [3]))
                self.assertEqual(repr(history), "History(2 of 2 points: loss, validation_loss)")

    def test_types_hold(self):
        try:
            import mypy  # noqa: F401  pylint: disable=unused-import,import-outside-toplevel
        except ImportError:
            self.skipTest("mypy is not installed")
        config = client_wheel.ROOT / "client" / "python" / "pyproject.toml"
        done = subprocess.run([sys.executable, "-m", "mypy", "--config-file", config, "--cache-dir", os.devnull],
                              cwd=pathlib.Path(WHEEL.name) / "site", capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_an_input_is_what_it_looks_like(self):
        of = hone.predictions.input_of
        self.assertEqual(of("a", 3), prediction_pb2.PredictInput(text="a", beams=3))
        self.assertEqual(of(("a", "b")).text_pair.second, "b")
        self.assertEqual(of(b"png").image, b"png")
        self.assertEqual(of(EXAMPLES / "seven.png").image, (EXAMPLES / "seven.png").read_bytes())
        self.assertEqual(dict(of({"x": 1.5, "y": None, "z": float("nan")}).record.cells), {"x": "1.5", "y": "", "z": ""})
        with self.assertRaisesRegex(TypeError, "got list"):
            of([1, 2])


run_tests(*sys.argv[3:])
