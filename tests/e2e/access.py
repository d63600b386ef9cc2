#!/usr/bin/python3
"""Who may call what: every RPC of every service × {no token, an unknown one, one past its time, a revoked one, one of a role that is too low, one of
the least role, one of another project}. The list of RPCs comes from the descriptors, and what each needs from the table below, so a new one without an entry fails.

    access.py BIN DESCRIPTORS
"""
import argparse
import hashlib
import os
import pathlib
import stat
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import grpc  # noqa: E402
from grpc import StatusCode as Code  # noqa: E402
from honed import LONGEST_SECONDS, Honed, wait_until, write_mirror, write_sleeper  # noqa: E402
from wire import Wire  # noqa: E402

ROLES = ("viewer", "submitter", "operator", "admin")
LEAST = {
    "viewer": """GetJob ListJobs WatchJob GetMetricHistory ListArtifacts DownloadArtifact GetServerInfo ListModels GetModel DownloadModel GetDataset
                 ListDatasets GetDatasetValidation GetSweep ListSweeps WatchSweep GetProject""",
    "submitter": """CreateJob CancelJob PauseJob ResumeJob RetryJob UpdateJob CreateSweep CancelSweep BeginUpload UploadDataset ValidateDataset
                    ImportModel Predict Generate""",
    "operator": """DeleteJob DeleteModel UpdateModel DeleteDataset DeleteSweep CreateBackup GetBackup ListBackups CreateWebhook GetWebhook ListWebhooks
                   DeleteWebhook TestWebhook""",
    "admin": "CreateToken ListTokens RevokeToken ListProjects UpdateProject ListAuditEntries",
}
# Calls about one thing, by the field that names it: in another project they are answered as calls about what does not exist.
ABOUT = {
    "job": "GetJob WatchJob GetMetricHistory ListArtifacts DownloadArtifact CancelJob PauseJob ResumeJob RetryJob UpdateJob DeleteJob",
    "model": "GetModel DownloadModel Predict Generate DeleteModel UpdateModel",
    "dataset": "GetDataset GetDatasetValidation ValidateDataset DeleteDataset ImportModel",
    "sweep": "GetSweep WatchSweep CancelSweep DeleteSweep",
    "webhook": "GetWebhook TestWebhook DeleteWebhook",
    "project": "GetProject",
}
THING_OF = {rpc: thing for thing, rpcs in ABOUT.items() for rpc in rpcs.split()}
LISTS = {"ListJobs": "jobs", "ListModels": "models", "ListDatasets": "datasets", "ListSweeps": "sweeps", "ListWebhooks": "webhooks"}
# What makes something, is about the whole server, or is for admins, who look after all projects.
OTHERS = """CreateJob CreateSweep BeginUpload UploadDataset CreateWebhook GetServerInfo CreateToken ListTokens RevokeToken ListProjects UpdateProject
            ListAuditEntries CreateBackup GetBackup ListBackups""".split()
# Of all projects: an operator who is bound to one may not.
OF_ALL_PROJECTS = ("CreateBackup", "GetBackup", "ListBackups")
ROLE_OF = {rpc: role for role, rpcs in LEAST.items() for rpc in rpcs.split()}


def token_command(folder, *options):
    return subprocess.run([OPTIONS.bin / "honed", "token", "--data-dir", folder, *map(str, options)],
                          capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False)


def create(folder, name, role, *options):
    done = token_command(folder, "create", "--name", name, "--role", role, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Calls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory(prefix="hone-access-")
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = pathlib.Path(temporary.name)
        cls.data = cls.folder / "data"
        cls.wire = Wire(OPTIONS.descriptors)
        cls.server = Honed(OPTIONS.bin / "honed", cls.folder, "--log-level", "debug")
        cls.addClassCleanup(cls.server.stop)
        cls.channel = grpc.insecure_channel(cls.server.address)
        cls.addClassCleanup(cls.channel.close)
        cls.tokens = {role: create(cls.data, role, role) for role in ROLES}
        cls.expired = create(cls.data, "expired", "admin", "--expires", "1s")
        past = time.monotonic() + 1
        cls.revoked = create(cls.data, "revoked", "admin")
        assert token_command(cls.data, "revoke", "revoked").returncode == 0
        time.sleep(max(0, past - time.monotonic()))

    def start(self, rpc, token=None, request=b""):
        method = next(method for _, method in self.wire.methods() if method.name == rpc)
        from_client, from_server = self.wire.streams(method)
        stub = self.wire.stub(self.channel, rpc)
        options = {"timeout": LONGEST_SECONDS, "metadata": [("authorization", f"Bearer {token}")] if token else None}
        if from_server:
            answers = stub(request, **options)
            return lambda: list(answers)
        return stub.future(iter([]) if from_client else request, **options).result

    @staticmethod
    def end(call):
        """The error of a call that was started, or None."""
        try:
            call()
            return None
        except grpc.RpcError as error:
            return error

    def answers(self, token):
        """{rpc: error}, asked all at a time: a wrong token is answered after a second."""
        calls = {method.name: self.start(method.name, token) for _, method in self.wire.methods()}
        return {rpc: self.end(call) for rpc, call in calls.items()}

    def test_every_rpc_has_a_least_role(self):
        self.assertEqual(sorted(ROLE_OF), sorted(method.name for _, method in self.wire.methods()))

    def test_no_rpc_is_for_a_caller_who_is_not_known(self):
        unknown = "hone_" + "x" * 43
        for what, token, says in (("no token", None, "must know who calls"), ("unknown", unknown, "does not know the token"),
                                  ("expired", self.expired, "past its time"), ("revoked", self.revoked, "was revoked")):
            for rpc, error in self.answers(token).items():
                with self.subTest(rpc=rpc, token=what):
                    self.assertEqual(error.code(), Code.UNAUTHENTICATED, error.details())
                    self.assertIn(says, error.details())
                    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
                    self.assertIn(b"google.rpc.ErrorInfo", details)
                    self.assertEqual(b"TOKEN_REFUSED" in details, token is not None)

    def test_every_rpc_is_for_its_role_and_those_above_it(self):
        for role in ROLES:
            for rpc, error in self.answers(self.tokens[role]).items():
                with self.subTest(rpc=rpc, role=role):
                    needed = "admin" if role == "operator" and rpc in OF_ALL_PROJECTS else ROLE_OF[rpc]
                    may = ROLES.index(role) >= ROLES.index(needed)
                    if may:  # the request is empty: that is all there may be to say
                        self.assertNotIn(error and error.code(), (Code.UNAUTHENTICATED, Code.PERMISSION_DENIED), error and error.details())
                    else:
                        self.assertEqual(error.code(), Code.PERMISSION_DENIED, error.details())
                        self.assertIn(f"role {needed}", error.details())

    def test_health_and_reflection_are_for_everybody(self):
        check = self.channel.unary_unary("/grpc.health.v1.Health/Check")
        self.assertEqual(check(b"", timeout=LONGEST_SECONDS), b"\x08\x01")
        reflect = self.channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        self.assertIn(b"hone.v1.AccessService", next(reflect(iter([b"\x3a\x00"]), timeout=LONGEST_SECONDS)))

    def test_strangers_streams_of_reflection_take_few_threads(self):
        def threads():
            return len(list(pathlib.Path(f"/proc/{self.server.process.pid}/task").iterdir()))

        def silent():
            done.wait()
            yield from ()

        before, done = threads(), threading.Event()
        reflect = self.channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        streams = [reflect(silent(), timeout=LONGEST_SECONDS) for _ in range(100)]
        try:
            wait_until("most are refused", lambda: sum(not stream.is_active() for stream in streams) >= 70)
            self.assertLess(threads(), before + 50)
            self.assertIsNone(self.end(self.start("ListJobs", self.tokens["viewer"])))
        finally:
            done.set()
            for stream in streams:
                stream.cancel()

    def test_wrong_tokens_are_answered_after_a_second_whatever_is_wrong_and_no_token_at_once(self):
        def seconds(token):
            begin = time.monotonic()
            self.end(self.start("GetServerInfo", token))
            return time.monotonic() - begin

        for token in ("x", self.expired, self.revoked, self.tokens["viewer"][:-1]):
            self.assertGreaterEqual(seconds(token), 1)

    def test_a_header_that_is_no_bearer_token_is_refused(self):
        stub = self.wire.stub(self.channel, "GetServerInfo")
        for header in ("Basic eDp5", self.tokens["viewer"], "Bearer", "Bearer "):
            with self.subTest(header=header), self.assertRaises(grpc.RpcError) as raised:
                stub(b"", timeout=LONGEST_SECONDS, metadata=[("authorization", header)])
            self.assertEqual(raised.exception.code(), Code.UNAUTHENTICATED)
        stub(b"", timeout=LONGEST_SECONDS, metadata=[("authorization", f"bearer {self.tokens['viewer']}")])

    def test_the_metrics_need_a_viewer_and_the_probes_nobody(self):
        def page(path, token=None):
            request = urllib.request.Request(self.server.metrics_url + path, headers={"Authorization": f"Bearer {token}"} if token else {})
            try:
                with urllib.request.urlopen(request, timeout=LONGEST_SECONDS) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, ""

        self.end(self.start("GetServerInfo", "wrong"))
        self.assertEqual(page("/metrics")[0], 401)
        self.assertEqual(page("/metrics", self.revoked)[0], 401)
        self.assertEqual(page("/metrics", self.tokens["operator"])[0], 403, "it tells of all projects")
        status, metrics = page("/metrics", create(self.data, "prometheus", "viewer", "--project", "*"))
        self.assertEqual(status, 200)
        self.assertRegex(metrics, r'hone_callers_refused_total{reason="unknown"} [1-9]')
        self.assertEqual(page("/healthz"), (200, "ok\n"))

    def test_no_token_is_in_the_log_nor_in_the_store(self):
        self.answers(self.tokens["admin"])
        self.end(self.start("GetServerInfo", "hone_secret_that_is_wrong"))
        texts = [path.read_bytes() for path in (self.folder / "honed.log", *self.data.glob("store.db*"))]
        for token in (*self.tokens.values(), self.expired, self.revoked, "hone_secret_that_is_wrong"):
            for text in texts:
                self.assertNotIn(token.encode(), text)
        log = texts[0].decode()
        self.assertIn("a caller is not known", log)
        self.assertIn("caller=token:admin", log)


class Projects(unittest.TestCase):
    """Two projects on one server; `mine` has one of everything, `theirs` asks for it."""

    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory(prefix="hone-projects-")
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = pathlib.Path(temporary.name)
        cls.data = cls.folder / "data"
        cls.wire = Wire(OPTIONS.descriptors)
        cls.server = Honed(OPTIONS.bin / "honed", cls.folder, "--data-mirror", write_mirror(cls.folder / "mirror"))
        cls.addClassCleanup(cls.server.stop)
        cls.channel = grpc.insecure_channel(cls.server.address)
        cls.addClassCleanup(cls.channel.close)
        cls.mine = create(cls.data, "mine", "operator", "--project", "mine")
        cls.theirs = create(cls.data, "theirs", "operator", "--project", "theirs")
        cls.job = cls.call("CreateJob", cls.mine, cls.job_request(request_id="once"))
        for _ in cls.stream("WatchJob", cls.mine, cls.wire.message("WatchJobRequest")(name=cls.job.name)):
            pass
        job = cls.call("GetJob", cls.mine, cls.wire.message("GetJobRequest")(name=cls.job.name))
        assert job.model, job.message
        cls.upload(cls.mine, b"a,b\n1,2\n")
        sweep = cls.wire.message("CreateSweepRequest")()
        sweep.spec.job.CopyFrom(cls.job_request().spec)
        sweep.spec.display_name = "search"
        axis = sweep.spec.axes.add()
        axis.field = "training.seed"
        axis.values.extend(["1", "2"])
        sweep.spec.objective.metric = "validation_loss"
        cls.sweep = cls.call("CreateSweep", cls.mine, sweep)
        webhook = cls.wire.message("CreateWebhookRequest")(webhook_id="mine")
        webhook.webhook.url = "https://example.org/hook"
        cls.call("CreateWebhook", cls.mine, webhook)
        cls.names = {"job": job.name, "model": job.model, "dataset": "datasets/table", "sweep": cls.sweep.name, "webhook": "webhooks/mine",
                     "project": "projects/mine"}

    @classmethod
    def job_request(cls, **options):
        request = cls.wire.message("CreateJobRequest")(**options)
        request.spec.display_name = "wine"
        request.spec.classification.SetInParent()
        request.spec.data.dataset = "wine"
        request.spec.model.layers.add().dense.units = 3
        request.spec.training.epochs = 1
        return request

    @classmethod
    def metadata(cls, token):
        return [("authorization", f"Bearer {token}")]

    @classmethod
    def call(cls, rpc, token, request):
        return cls.wire.stub(cls.channel, rpc)(request, metadata=cls.metadata(token), timeout=LONGEST_SECONDS)

    stream = call

    @classmethod
    def header(cls, content):
        header = cls.wire.message("UploadHeader")(dataset_id="table", bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        header.format = header.DESCRIPTOR.fields_by_name["format"].enum_type.values_by_name["CSV"].number
        return header

    @classmethod
    def upload(cls, token, content):
        message = cls.wire.message("UploadDatasetRequest")
        return cls.call("UploadDataset", token, iter([message(header=cls.header(content)), message(chunk=content)]))

    def request(self, rpc, name):
        method = next(method for _, method in self.wire.methods() if method.name == rpc)
        request = self.wire.factory.GetPrototype(method.input_type)()
        if rpc in ("UpdateJob", "UpdateModel"):
            getattr(request, rpc[len("Update"):].lower()).name = name
            request.update_mask.paths.append("display_name")
        elif rpc == "ImportModel":
            request.dataset = name
        else:
            request.name = name
        if rpc == "DownloadArtifact":
            request.path = "x"
        if rpc == "Generate":
            request.drawings.count = 1
        if rpc == "Predict":
            request.inputs.add().record.SetInParent()
        return request

    def error(self, rpc, token, request):
        method = next(method for _, method in self.wire.methods() if method.name == rpc)
        try:
            answer = self.call(rpc, token, request)
            if self.wire.streams(method)[1]:
                list(answer)
        except grpc.RpcError as error:
            return error.code(), error.details(), dict(error.trailing_metadata()).get("grpc-status-details-bin")
        return None

    def test_every_rpc_is_of_a_kind_that_is_tried_here(self):
        self.assertEqual(sorted([*THING_OF, *LISTS, *OTHERS]), sorted(method.name for _, method in self.wire.methods()))

    def test_what_another_project_has_is_answered_as_what_does_not_exist(self):
        for rpc, thing in THING_OF.items():
            with self.subTest(rpc=rpc):
                name = self.names[thing]
                nobodys = name.split("/")[0] + "/" + "z" * len(name.split("/")[1])
                theirs, missing = (self.error(rpc, self.theirs, self.request(rpc, asked)) for asked in (name, nobodys))
                self.assertEqual(missing[0], Code.NOT_FOUND, missing)
                self.assertEqual(theirs, (missing[0], missing[1].replace(nobodys, name), missing[2].replace(nobodys.encode(), name.encode())))

    def test_lists_have_nothing_of_another_project(self):
        for rpc, field in LISTS.items():
            with self.subTest(rpc=rpc):
                empty = self.wire.factory.GetPrototype(next(method for _, method in self.wire.methods() if method.name == rpc).input_type)()
                self.assertEqual(len(getattr(self.call(rpc, self.theirs, empty), field)), 0)
                mine = getattr(self.call(rpc, self.mine, empty), field)
                self.assertGreater(len(mine), 0)
                self.assertEqual({one.project for one in mine}, {"mine"})

    def test_the_same_request_id_and_data_set_id_are_free_in_another_project(self):
        other = self.call("CreateJob", self.theirs, self.job_request(request_id="once"))
        self.assertNotEqual(other.name, self.job.name)
        self.assertEqual((other.project, other.created_by), ("theirs", "token:theirs"))
        begun = self.call("BeginUpload", self.theirs, self.wire.message("BeginUploadRequest")(header=self.header(b"a,b\n1,2\n")))
        self.assertEqual((begun.offset, begun.HasField("dataset")), (0, False), "the bytes are not to be had for their SHA-256")
        self.call("DeleteJob", self.theirs, self.wire.message("DeleteJobRequest")(name=self.ended(other)))

    def ended(self, job):
        for _ in self.stream("WatchJob", self.theirs, self.wire.message("WatchJobRequest")(name=job.name)):
            pass
        return job.name

    def test_a_job_begins_with_no_model_of_another_project(self):
        request = self.job_request()
        request.spec.model.Clear()
        request.spec.model.pretrained.model = self.names["model"]
        self.assertEqual(self.error("CreateJob", self.theirs, request)[0], Code.NOT_FOUND)

    def test_a_token_of_one_project_names_no_other(self):
        stub = self.wire.stub(self.channel, "ListJobs")
        for project, code in (("mine", Code.PERMISSION_DENIED), ("nobody", Code.PERMISSION_DENIED), ("a b", Code.INVALID_ARGUMENT)):
            with self.subTest(project=project), self.assertRaises(grpc.RpcError) as raised:
                stub(b"", metadata=[*self.metadata(self.theirs), ("hone-project", project)], timeout=LONGEST_SECONDS)
            self.assertEqual(raised.exception.code(), code)
        stub(b"", metadata=[*self.metadata(self.theirs), ("hone-project", "theirs")], timeout=LONGEST_SECONDS)

    def hone(self, token, *options):
        return subprocess.run([OPTIONS.bin / "hone", "--server", self.server.address, *map(str, options)], env={**os.environ, "HONE_TOKEN": token},
                              capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False)

    def test_hone_works_in_the_project_that_it_is_told(self):
        everywhere = create(self.data, "everywhere", "viewer", "--project", "*")
        self.assertIn(self.names["job"], self.hone(everywhere, "--project", "mine", "jobs", "list").stdout)
        self.assertNotIn(self.names["job"], self.hone(everywhere, "jobs", "list").stdout)

    def test_shares_are_set_shown_and_kept_by_hone(self):
        admin = create(self.data, "admin", "admin")
        done = self.hone(admin, "quota", "set", "shared", "--queued-jobs", 3, "--weight", 2.5)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"queued jobs +0 +3\n")
        self.assertRegex(self.hone(admin, "quota", "list").stdout, r"shared .*2\.5\n")
        self.assertEqual(self.hone(self.theirs, "quota", "set", "theirs", "--weight", 9).returncode, 1)
        self.assertEqual(self.hone(self.theirs, "quota", "show", "theirs").returncode, 0)
        self.assertEqual(self.hone(self.theirs, "quota", "show", "mine").returncode, 2)
        wrong = self.hone(admin, "quota", "set", "shared", "--weight", 1000)
        self.assertEqual((wrong.returncode, "weight: must be between" in wrong.stderr), (2, True), wrong.stderr)


class Tokens(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="hone-tokens-")
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.data = self.folder / "data"

    def serve(self, *options):
        server = Honed(OPTIONS.bin / "honed", self.folder, *options)
        self.addCleanup(server.stop)
        return server

    def hone(self, server, *options, token=None, **environment):
        variables = {**os.environ, **({"HONE_TOKEN": token} if token else {}), **environment}
        return subprocess.run([OPTIONS.bin / "hone", "--server", server.address, *map(str, options)], env=variables,
                              capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False)

    def test_one_is_made_before_the_first_start_and_lives_on(self):
        token = create(self.data, "ci", "submitter", "--project", "vision", "--expires", "90d")
        for _ in range(2):
            server = self.serve()
            self.assertEqual(self.hone(server, "jobs", "list", token=token).returncode, 0)
            self.assertIn("must know who calls", self.hone(server, "jobs", "list").stderr)
            server.stop(9)

    def test_a_server_that_runs_takes_and_refuses_them_at_once(self):
        server = self.serve()
        self.assertEqual(self.hone(server, "jobs", "list").returncode, 0, "nobody is asked who they are")
        token = create(self.data, "ci", "viewer")
        self.assertEqual(self.hone(server, "jobs", "list").returncode, 1)
        self.assertEqual(self.hone(server, "jobs", "list", token=token).returncode, 0)
        listed = token_command(self.data, "list").stdout
        self.assertRegex(listed, r"ci +viewer +default +\d{4}-.* +never +\d{4}-.* +counts")
        self.assertEqual(token_command(self.data, "revoke", "ci").returncode, 0)
        self.assertIn("was revoked", self.hone(server, "jobs", "list", token=token).stderr)
        self.assertRegex(token_command(self.data, "list").stdout, r"ci +viewer .*revoked")
        self.assertEqual(self.hone(server, "jobs", "list").returncode, 1, "it stays closed when the last one is revoked")
        again = create(self.data, "ci", "viewer")
        self.assertEqual(self.hone(server, "jobs", "list", token=again).returncode, 0)
        self.assertNotEqual(token, again)

    def test_a_watch_ends_when_its_token_is_revoked(self):
        server = self.serve("--worker", write_sleeper(self.folder, OPTIONS.bin / "hone-worker"), "--grace-seconds", 1, "--data-mirror",
                            write_mirror(self.folder / "mirror"))
        metadata = [("authorization", f"Bearer {create(self.data, 'ci', 'submitter')}")]
        wire = Wire(OPTIONS.descriptors)
        channel = grpc.insecure_channel(server.address)
        self.addCleanup(channel.close)
        request = wire.message("CreateJobRequest")()
        request.spec.display_name = "SLEEPS"
        request.spec.classification.SetInParent()
        request.spec.data.dataset = "wine"
        request.spec.model.layers.add().dense.units = 3
        request.spec.training.epochs = 1
        job = wire.stub(channel, "CreateJob")(request, metadata=metadata, timeout=LONGEST_SECONDS)
        watch = wire.stub(channel, "WatchJob")(wire.message("WatchJobRequest")(name=job.name), metadata=metadata, timeout=LONGEST_SECONDS)
        next(watch)
        self.assertEqual(token_command(self.data, "revoke", "ci").returncode, 0)
        with self.assertRaises(grpc.RpcError) as raised:
            list(watch)
        self.assertEqual(raised.exception.code(), Code.UNAUTHENTICATED)

    def test_wrong_ones_are_not_made(self):
        self.assertIn("no store.db", token_command(self.data, "list").stderr)
        self.assertIn("--role", token_command(self.data, "create", "--name", "x", "--role", "king").stderr)
        self.assertIn("90d", token_command(self.data, "create", "--name", "x", "--role", "viewer", "--expires", "soon").stderr)
        self.assertIn("token_id: must be", token_command(self.data, "create", "--name", "a b", "--role", "viewer").stderr)
        create(self.data, "ci", "viewer")
        self.assertIn("there is a token tokens/ci", token_command(self.data, "create", "--name", "ci", "--role", "viewer").stderr)
        self.assertIn("no token tokens/nobody", token_command(self.data, "revoke", "nobody").stderr)

    def test_only_the_folders_owner_reaches_the_socket_in_it(self):
        self.serve()
        control = self.data / "control"
        self.assertEqual(stat.S_IMODE(control.stat().st_mode), 0o700)
        self.assertTrue(stat.S_ISSOCK((control / "socket").stat().st_mode))

    def test_a_folder_with_a_long_name_has_one_too(self):
        self.data = self.folder / ("long" * 40) / "data"
        server = Honed(OPTIONS.bin / "honed", self.data.parent)
        self.addCleanup(server.stop)
        create(self.data, "ci", "viewer")

    def test_hone_reads_a_token_from_a_file_that_only_its_owner_may_read(self):
        server = self.serve()
        file = self.folder / "token"
        file.write_text(create(self.data, "ci", "viewer") + "\n")
        file.chmod(0o640)
        loose = self.hone(server, "--token-file", file, "jobs", "list")
        self.assertEqual((loose.returncode, "chmod 600" in loose.stderr), (2, True), loose.stderr)
        file.chmod(0o600)
        self.assertEqual(self.hone(server, "--token-file", file, "jobs", "list").returncode, 0)
        self.assertEqual(self.hone(server, "jobs", "list", HONE_TOKEN_FILE=str(file)).returncode, 0)
        self.assertEqual(self.hone(server, "--token-file", self.folder / "none", "jobs", "list").returncode, 2)

    def test_hone_sends_no_token_in_plain_text_to_another_machine(self):
        class Elsewhere:
            address = "192.0.2.1:50051"

        refused = self.hone(Elsewhere, "jobs", "list", token="hone_secret")
        self.assertEqual(refused.returncode, 2)
        self.assertIn("--tls", refused.stderr)
        self.assertNotIn("hone_secret", refused.stderr)

    def test_a_job_of_a_submitter_is_in_the_log_with_its_caller(self):
        server = self.serve()
        token = create(self.data, "ci", "submitter")
        self.hone(server, "jobs", "cancel", "nobody", token=token)
        wait_until("the log has the call", lambda: "rpc=CancelJob" in (self.folder / "honed.log").read_text())
        self.assertIn("caller=token:ci", (self.folder / "honed.log").read_text())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("descriptors", type=pathlib.Path)
    OPTIONS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest])
