#!/usr/bin/python3
"""The server as clients meet it that were not built with it: health and reflection in bare bytes, and grpcurl where it is installed
(list, describe, CreateJob, WatchJob).

    foreign_clients.py BIN DESCRIPTORS
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import grpc  # noqa: E402
from honed import Honed, write_mirror  # noqa: E402
from wire import Wire  # noqa: E402

BIN, DESCRIPTORS, REST = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
GRPCURL = shutil.which("grpcurl") or shutil.which("grpcurl", path=os.path.expanduser("~/go/bin"))
SPEC = {"display_name": "wine", "classification": {}, "data": {"dataset": "wine"}, "model": {"layers": [{"dense": {"units": 3}}]},
        "training": {"epochs": 1}}
ASK_REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


class ForeignClients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="hone-foreign-")
        folder = pathlib.Path(cls.temporary.name)
        cls.wire = Wire(DESCRIPTORS)
        cls.server = Honed(BIN / "honed", folder, "--data-mirror", write_mirror(folder / "mirror"))
        cls.channel = grpc.insecure_channel(cls.server.address)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.temporary.cleanup()

    def reflect(self, request):
        ask = self.channel.stream_stream(ASK_REFLECTION)
        return next(iter(ask(iter([request]), timeout=30)))

    def test_health_says_serving_and_does_not_know_strangers(self):
        check = self.channel.unary_unary("/grpc.health.v1.Health/Check")
        self.assertEqual(check(b"", timeout=30), b"\x08\x01")  # status: SERVING
        name = b"hone.v1.DatasetService"
        self.assertEqual(check(b"\x0a" + bytes([len(name)]) + name, timeout=30), b"\x08\x01")
        with self.assertRaises(grpc.RpcError) as unknown:
            check(b"\x0a\x06nobody", timeout=30)
        self.assertEqual(unknown.exception.code(), grpc.StatusCode.NOT_FOUND)

    def test_reflection_lists_every_service_and_describes_each(self):
        listed = self.reflect(b"\x3a\x00")  # list_services
        services = {service.full_name for service, _ in self.wire.methods()} | {"grpc.health.v1.Health"}
        for name in services:
            self.assertIn(name.encode(), listed)
            described = self.reflect(b"\x22" + bytes([len(name)]) + name.encode())  # file_containing_symbol
            self.assertIn(name.rsplit(".", 1)[1].encode(), described)
        for service, method in self.wire.methods():
            name = service.full_name.encode()
            self.assertIn(method.name.encode(), self.reflect(b"\x22" + bytes([len(name)]) + name))

    def grpcurl(self, *arguments):
        done = subprocess.run([GRPCURL, "-plaintext", *arguments], capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    @unittest.skipUnless(GRPCURL, "grpcurl is not installed")
    def test_grpcurl_lists_describes_creates_a_job_and_watches_it(self):
        address = self.server.address
        self.assertIn("hone.v1.TrainingService", self.grpcurl(address, "list"))
        self.assertIn("rpc WatchJob", self.grpcurl(address, "describe", "hone.v1.TrainingService"))
        request = json.dumps({"request_id": "once", "spec": SPEC})
        job = json.loads(self.grpcurl("-d", request, address, "hone.v1.TrainingService/CreateJob"))
        self.assertEqual(job["state"], "QUEUED")
        watched = self.grpcurl("-d", json.dumps({"name": job["name"]}), address, "hone.v1.TrainingService/WatchJob")
        self.assertIn('"SUCCEEDED"', watched)


if not GRPCURL:
    print("SKIPPED: grpcurl is neither on the PATH nor in ~/go/bin; what it does was not tried", flush=True)
unittest.main(argv=[sys.argv[0], *REST])
