#!/usr/bin/python3
"""Every RPC of every service × {empty, unknown field, huge, not UTF-8, wrong state, deleted, unknown name}: the status and the field expected. The
list of RPCs comes from the descriptors, so a new one without a case fails.

    rpc_matrix.py BIN DESCRIPTORS [--show]

--show prints what the server answers instead of comparing it.
"""
import argparse
import hashlib
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import grpc  # noqa: E402
from grpc import StatusCode as Code  # noqa: E402
from honed import Honed, write_mirror, write_sleeper  # noqa: E402
from wire import Wire  # noqa: E402

CASES = ("empty", "unknown field", "huge field", "huge message", "not UTF-8", "wrong state", "deleted", "unknown name")
TOO_LARGE = (Code.RESOURCE_EXHAUSTED, "larger than max")
NOT_TEXT = (Code.UNIMPLEMENTED, "")  # gRPC 1.51's own answer to bytes that are no message: proto3 strings are UTF-8
FINE = (Code.OK, "")
UNKNOWN = (Code.INVALID_ARGUMENT, "field 1000")  # whatever the call
NO_NAME, NO_STATE = None, None  # the call names nothing; no state is wrong for it

TABLE = b"a,b,kind\n" + b"".join(b"%d,%d,%s\n" % (i % 7, i % 5, b"xy"[i % 2:i % 2 + 1]) for i in range(40))


def by_name(kind, example, wrong_state=NO_STATE):
    return {"empty": (Code.INVALID_ARGUMENT, f"name: must be {kind}/<"),
            "huge field": (Code.INVALID_ARGUMENT, f"name: must be {kind}/<"), "huge message": TOO_LARGE, "not UTF-8": NOT_TEXT,
            "wrong state": wrong_state, "deleted": (Code.NOT_FOUND, f"{kind}/"), "unknown name": (Code.NOT_FOUND, example)}


def page():
    return {"empty": FINE, "huge field": (Code.INVALID_ARGUMENT, "page_token"), "huge message": TOO_LARGE, "not UTF-8": NOT_TEXT,
            "wrong state": NO_STATE, "deleted": NO_NAME, "unknown name": NO_NAME}


EXPECTED = {
    "CreateJob": {"empty": (Code.INVALID_ARGUMENT, "task"), "huge field": (Code.INVALID_ARGUMENT, "display_name"),
                  "huge message": TOO_LARGE, "not UTF-8": NOT_TEXT, "wrong state": (Code.ALREADY_EXISTS, "request_id"),
                  "deleted": (Code.NOT_FOUND, "data.dataset"), "unknown name": (Code.NOT_FOUND, "data.dataset")},
    "GetJob": by_name("jobs", "jobs/nobody"),
    "ListJobs": page(),
    "CancelJob": by_name("jobs", "jobs/nobody", (Code.FAILED_PRECONDITION, "SUCCEEDED")),
    "PauseJob": by_name("jobs", "jobs/nobody", (Code.FAILED_PRECONDITION, "SUCCEEDED")),
    "ResumeJob": by_name("jobs", "jobs/nobody", (Code.FAILED_PRECONDITION, "SUCCEEDED")),
    "RetryJob": by_name("jobs", "jobs/nobody", (Code.FAILED_PRECONDITION, "SUCCEEDED")),
    "DeleteJob": by_name("jobs", "jobs/nobody", (Code.FAILED_PRECONDITION, "QUEUED")),
    "UpdateJob": by_name("jobs", "jobs/nobody", (Code.FAILED_PRECONDITION, "SUCCEEDED")),
    "ListArtifacts": by_name("jobs", "jobs/nobody"),
    "DownloadArtifact": by_name("jobs", "jobs/nobody", (Code.NOT_FOUND, "path: there is no artifact")),
    "GetMetricHistory": by_name("jobs", "jobs/nobody"),
    "WatchJob": by_name("jobs", "jobs/nobody"),
    "GetServerInfo": {"empty": FINE, "huge field": NO_NAME, "huge message": TOO_LARGE, "not UTF-8": NO_NAME, "wrong state": NO_STATE,
                      "deleted": NO_NAME, "unknown name": NO_NAME},
    "CreateSweep": {"empty": (Code.INVALID_ARGUMENT, "job: must be given"), "huge field": (Code.INVALID_ARGUMENT, "display_name"),
                    "huge message": TOO_LARGE, "not UTF-8": NOT_TEXT, "wrong state": (Code.ALREADY_EXISTS, "request_id"),
                    "deleted": (Code.NOT_FOUND, "data.dataset"), "unknown name": (Code.NOT_FOUND, "data.dataset")},
    "GetSweep": by_name("sweeps", "sweeps/nobody"),
    "ListSweeps": page(),
    "CancelSweep": by_name("sweeps", "sweeps/nobody", (Code.FAILED_PRECONDITION, "SUCCEEDED")),
    "DeleteSweep": by_name("sweeps", "sweeps/nobody", (Code.FAILED_PRECONDITION, "RUNNING")),
    "WatchSweep": by_name("sweeps", "sweeps/nobody"),
    "ListModels": page(),
    "GetModel": by_name("models", "models/nobody"),
    "DownloadModel": by_name("models", "models/nobody"),
    "DeleteModel": by_name("models", "models/nobody"),
    "UpdateModel": by_name("models", "models/nobody", (Code.INVALID_ARGUMENT, "update_mask")),
    "ImportModel": {"empty": (Code.INVALID_ARGUMENT, "dataset: must be datasets/<"), "huge field": (Code.INVALID_ARGUMENT, "dataset: must be datasets/<"),
                    "huge message": TOO_LARGE, "not UTF-8": NOT_TEXT, "wrong state": (Code.INVALID_ARGUMENT, "must be TAR"),
                    "deleted": (Code.NOT_FOUND, "datasets/gone"), "unknown name": (Code.NOT_FOUND, "datasets/nobody")},
    "Predict": by_name("models", "models/nobody", (Code.INVALID_ARGUMENT, "inputs: must be 1 to 256")),
    "Generate": by_name("models", "models/nobody", (Code.INVALID_ARGUMENT, "must have `drawings` or `text`")),
    "BeginUpload": {"empty": (Code.INVALID_ARGUMENT, "dataset_id"), "huge field": (Code.INVALID_ARGUMENT, "dataset_id"),
                    "huge message": TOO_LARGE, "not UTF-8": NOT_TEXT, "wrong state": (Code.ALREADY_EXISTS, "table"),
                    "deleted": FINE, "unknown name": FINE},
    "UploadDataset": {"empty": (Code.INVALID_ARGUMENT, "header"), "huge field": (Code.INVALID_ARGUMENT, "dataset_id"),
                      "huge message": TOO_LARGE, "not UTF-8": (Code.INVALID_ARGUMENT, "header"),
                      "wrong state": (Code.ALREADY_EXISTS, "table"), "deleted": NO_NAME,
                      "unknown name": NO_NAME},
    "GetDataset": by_name("datasets", "datasets/nobody"),
    "ListDatasets": page(),
    "DeleteDataset": by_name("datasets", "datasets/nobody", (Code.FAILED_PRECONDITION, "jobs/")),
    "ValidateDataset": by_name("datasets", "datasets/nobody"),
    "CreateToken": {"empty": (Code.INVALID_ARGUMENT, "role: must be"), "huge field": (Code.INVALID_ARGUMENT, "token_id: must be"), "huge message": TOO_LARGE,
                    "not UTF-8": NOT_TEXT, "wrong state": (Code.ALREADY_EXISTS, "tokens/known"), "deleted": NO_NAME, "unknown name": NO_NAME},
    "ListTokens": {"empty": FINE, "huge field": NO_NAME, "huge message": TOO_LARGE, "not UTF-8": NO_NAME, "wrong state": NO_STATE,
                   "deleted": NO_NAME, "unknown name": NO_NAME},
    "RevokeToken": {**by_name("tokens", "tokens/nobody"), "deleted": (Code.NOT_FOUND, "tokens/gone")},
    "ListProjects": {"empty": FINE, "huge field": NO_NAME, "huge message": TOO_LARGE, "not UTF-8": NO_NAME, "wrong state": NO_STATE,
                     "deleted": NO_NAME, "unknown name": NO_NAME},
    "GetProject": {**by_name("projects", "projects/nobody"), "deleted": (Code.NOT_FOUND, "projects/gone")},
    # One that is not there is made.
    "UpdateProject": {"empty": (Code.INVALID_ARGUMENT, "name: must be projects/<"), "huge field": (Code.INVALID_ARGUMENT, "name: must be projects/<"),
                      "huge message": TOO_LARGE, "not UTF-8": NOT_TEXT, "wrong state": (Code.INVALID_ARGUMENT, "update_mask"),
                      "deleted": FINE, "unknown name": FINE},
    "GetDatasetValidation": by_name("datasets", "datasets/nobody", (Code.NOT_FOUND, "ValidateDataset")),
}


class Matrix(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="hone-matrix-")
        folder = pathlib.Path(cls.temporary.name)
        cls.wire = Wire(OPTIONS.descriptors)
        sleeper = write_sleeper(folder, OPTIONS.bin / "hone-worker")
        cls.server = Honed(OPTIONS.bin / "honed", folder, "--worker", sleeper, "--silence-seconds", 3600, "--grace-seconds", 1,
                           "--data-mirror", write_mirror(folder / "mirror"))
        # Past the client's own limits: the server is what is tried.
        cls.channel = grpc.insecure_channel(cls.server.address, options=[("grpc.max_send_message_length", -1)])
        # Who may call what is tried by access.py: here one calls who may everything.
        made = subprocess.run([OPTIONS.bin / "honed", "token", "--data-dir", folder / "data", "create", "--name", "known", "--role", "admin"],
                              capture_output=True, text=True, timeout=60, check=True)
        cls.metadata = [("authorization", f"Bearer {made.stdout.strip()}")]
        cls.call("CreateToken", cls.message("CreateTokenRequest", token_id="gone", role="VIEWER"))
        cls.call("RevokeToken", cls.named("RevokeTokenRequest", "tokens/gone"))
        cls.upload("table")
        cls.ended, cls.deleted_job = cls.run_job("ended"), cls.run_job("to be deleted")
        cls.model, cls.deleted_model = cls.model_of(cls.ended), cls.model_of(cls.deleted_job)
        cls.call("DeleteModel", cls.named("DeleteModelRequest", cls.deleted_model))
        cls.call("DeleteJob", cls.named("DeleteJobRequest", cls.deleted_job))
        cls.upload("gone")
        cls.call("DeleteDataset", cls.named("DeleteDatasetRequest", "datasets/gone"))
        cls.ended_sweep, cls.deleted_sweep = cls.run_sweep("ended"), cls.run_sweep("deleted")
        cls.call("DeleteSweep", cls.named("DeleteSweepRequest", cls.deleted_sweep))
        cls.running = cls.create("SLEEPS")
        cls.running_sweep = cls.create_sweep("running").name
        cls.queued = cls.create("waits", dataset="table")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.temporary.cleanup()

    @classmethod
    def message(cls, message, **fields):
        return cls.wire.message(message)(**fields)

    @classmethod
    def named(cls, message, name):
        return cls.message(message, name=name)

    @classmethod
    def call(cls, rpc, request):
        method = next(method for _, method in cls.wire.methods() if method.name == rpc)
        from_client, from_server = cls.wire.streams(method)
        reply = cls.wire.stub(cls.channel, rpc)(iter(request) if from_client else request, timeout=60, metadata=cls.metadata)
        return list(reply) if from_server else reply

    @classmethod
    def spec(cls, name, dataset="wine"):
        spec = cls.message("JobSpec", display_name=name)
        spec.classification.SetInParent()
        spec.data.dataset = dataset
        spec.model.layers.add().dense.units = 3 if dataset == "wine" else 2
        spec.training.epochs = 1
        return spec

    @classmethod
    def create(cls, name, **options):
        return cls.call("CreateJob", cls.message("CreateJobRequest", spec=cls.spec(name, **options), request_id=name.replace(" ", "-"))).name

    @classmethod
    def run_job(cls, name):
        job = cls.create(name)
        deadline = time.monotonic() + 60
        while Wire.enum_name(cls.call("GetJob", cls.named("GetJobRequest", job)), "state") != "SUCCEEDED":
            if time.monotonic() > deadline:
                raise RuntimeError(f"{name} does not end")
            time.sleep(0.05)
        return job

    @classmethod
    def sweep_spec(cls, name, dataset="wine"):
        spec = cls.message("SweepSpec", display_name=name)
        spec.job.CopyFrom(cls.spec("template", dataset))
        spec.axes.add(field="training.seed", values=["1"])
        spec.objective.metric = "test_accuracy"
        return spec

    @classmethod
    def create_sweep(cls, name):
        return cls.call("CreateSweep", cls.message("CreateSweepRequest", spec=cls.sweep_spec(name), request_id=name))

    @classmethod
    def run_sweep(cls, name):
        sweep = cls.create_sweep(name)
        deadline = time.monotonic() + 60
        while Wire.enum_name(sweep, "state") != "SUCCEEDED":
            if time.monotonic() > deadline:
                raise RuntimeError(f"{sweep} does not end")
            time.sleep(0.05)
            sweep = cls.call("GetSweep", cls.named("GetSweepRequest", sweep.name))
        return sweep.name

    @classmethod
    def model_of(cls, job):
        return cls.call("GetJob", cls.named("GetJobRequest", job)).model

    @classmethod
    def header(cls, name, data=TABLE):
        return cls.message("UploadHeader", dataset_id=name, format="CSV", bytes=len(data), sha256=hashlib.sha256(data).hexdigest())

    @classmethod
    def upload(cls, name):
        part = cls.wire.message("UploadDatasetRequest")
        cls.call("UploadDataset", [part(header=cls.header(name)), part(chunk=TABLE)])

    def request(self, rpc, method, case):
        """What is sent, or None where the case makes no sense for the call."""
        message = self.wire.factory.GetPrototype(method.input_type)
        request = message()
        stream = rpc == "UploadDataset"
        wrap = (lambda r: [r]) if stream else (lambda r: r)
        if case == "empty":
            return [] if stream else request
        if case == "unknown field":
            return wrap(request.SerializeToString() + b"\xc0\x3e\x01")  # 1000: a varint
        if case == "huge message":
            return wrap(request.SerializeToString() + b"\xfa\x3f" + b"\xc0\xc4\xb2\x02" + b"x" * 5_022_272)  # an unknown field of 5 MB
        if case == "not UTF-8":
            return wrap(NOT_UTF8[rpc]) if rpc in NOT_UTF8 else wrap(b"\x0a\x02\xff\xfe")
        kind = {"TrainingService": "jobs", "ModelService": "models", "DatasetService": "datasets",
                "SweepService": "sweeps", "AccessService": "tokens", "ProjectService": "projects"}[method.containing_service.name]
        deleted = {"jobs": self.deleted_job, "models": self.deleted_model, "datasets": "datasets/gone",
                   "sweeps": self.deleted_sweep, "tokens": "tokens/gone", "projects": "projects/gone"}[kind]
        name = {"huge field": f"{kind}/" + "a" * 1_000_000, "unknown name": f"{kind}/nobody", "deleted": deleted}.get(case)
        if case == "wrong state":
            name = {"jobs": self.queued if rpc == "DeleteJob" else self.ended, "models": self.model,
                    "datasets": "datasets/table", "sweeps": self.running_sweep if rpc == "DeleteSweep" else self.ended_sweep, "tokens": "tokens/known",
                    "projects": "projects/known"}[kind]
        if rpc == "CreateJob":
            dataset = {"deleted": "gone", "unknown name": "nobody"}.get(case, "wine")
            request.spec.CopyFrom(self.spec("x" * 1_000_000 if case == "huge field" else "another", dataset))
            request.request_id = "ended" if case == "wrong state" else ""
        elif rpc == "CreateSweep":
            dataset = {"deleted": "gone", "unknown name": "nobody"}.get(case, "wine")
            request.spec.CopyFrom(self.sweep_spec("x" * 1_000_000 if case == "huge field" else "another", dataset))
            request.request_id = "ended" if case == "wrong state" else ""
        elif rpc == "CreateToken":
            request.token_id, request.role = name.split("/", 1)[1], 1
        elif rpc == "ImportModel":
            request.dataset = {"huge field": "datasets/" + "a" * 1_000_000, "wrong state": "datasets/table",
                               "deleted": "datasets/gone", "unknown name": "datasets/nobody"}[case]
        elif rpc in ("BeginUpload", "UploadDataset"):
            # Bytes that are not here yet: those that are would need no upload.
            request.header.CopyFrom(self.header(name.split("/", 1)[1], TABLE + b"1,1,x\n"))
        elif rpc == "UpdateProject":
            request.project.name = name
            request.project.shares.queued_jobs = 100_000
            request.update_mask.paths.append("use.threads" if case == "wrong state" else "shares.queued_jobs")
        elif rpc in ("UpdateJob", "UpdateModel"):
            getattr(request, kind[:-1]).name = name
            # A model has no state that is wrong for a change.
            request.update_mask.paths.append("pinned" if rpc == "UpdateModel" and case != "wrong state" else "priority")
        elif "name" in message.DESCRIPTOR.fields_by_name:
            request.name = name
        elif "page_token" in message.DESCRIPTOR.fields_by_name:
            request.page_token = "x" * 1_000_000
        return wrap(request)

    def answer(self, rpc, request):
        try:
            self.call(rpc, request)
            return FINE
        except grpc.RpcError as error:
            self.details = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
            return error.code(), error.details()

    def test_a_field_of_a_gigabyte_is_refused_and_never_whole_in_memory(self):
        before = self.server.resident_bytes()
        # field 1: 2^30 bytes
        code, text = self.answer("GetJob", b"\x0a\x80\x80\x80\x80\x04" + bytes(1 << 30))
        self.assertEqual(code, Code.RESOURCE_EXHAUSTED, text)
        self.assertLess(self.server.peak_bytes() - before, 128 << 20)
        self.assertIsNone(self.server.process.poll(), "the server has ended")
        self.assertEqual(self.wire.enum_name(self.call("GetJob", self.named("GetJobRequest", self.queued)), "state"), "QUEUED")

    def test_every_rpc_has_its_cases_and_answers_them(self):
        methods = {method.name: method for _, method in self.wire.methods()}
        self.assertEqual(sorted(methods), sorted(EXPECTED), "an RPC has no cases, or a case no RPC")
        for rpc, method in methods.items():
            for case in CASES:
                expected = UNKNOWN if case == "unknown field" else EXPECTED[rpc][case]
                if expected is None:
                    continue
                code, text = self.answer(rpc, self.request(rpc, method, case))
                if OPTIONS.show:
                    print(f"{rpc:<17} {case:<13} {code.name:<20} {text[:110]}")
                    continue
                with self.subTest(rpc=rpc, case=case):
                    self.assertEqual(code, expected[0], text)
                    self.assertIn(expected[1], text)
                    self.assertLess(len(text), 2000)
                    if expected not in (FINE, TOO_LARGE, NOT_TEXT):
                        self.assertIn(b"type.googleapis.com/google.rpc.ErrorInfo", self.details, "no reason for programs")
        self.assertIsNone(self.server.process.poll(), "the server has ended")
        self.assertEqual(self.wire.enum_name(self.call("GetJob", self.named("GetJobRequest", self.queued)), "state"), "QUEUED")


# The first text of the messages whose field 1 is no text.
NOT_UTF8 = {
    "CreateJob": b"\x12\x02\xff\xfe",      # request_id
    "UpdateJob": b"\x0a\x04\x0a\x02\xff\xfe",    # job.name
    "UpdateModel": b"\x0a\x04\x0a\x02\xff\xfe",  # model.name
    "CreateSweep": b"\x12\x02\xff\xfe",     # request_id
    "ListSweeps": b"\x12\x02\xff\xfe",      # page_token
    "ListJobs": b"\x12\x02\xff\xfe",       # page_token
    "ListModels": b"\x12\x02\xff\xfe",
    "ListDatasets": b"\x12\x02\xff\xfe",
    "BeginUpload": b"\x0a\x04\x0a\x02\xff\xfe",  # header.dataset_id
    "UploadDataset": b"\x0a\x04\x0a\x02\xff\xfe",
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("descriptors", type=pathlib.Path)
    parser.add_argument("--show", action="store_true")
    OPTIONS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest])
