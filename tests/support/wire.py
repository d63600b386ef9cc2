"""The wire as a foreign client sees it: every service and message from the descriptors that the build leaves, no generated code.

Needs the distribution's python3-grpcio."""
import os
import pathlib
import random
import re
import signal
import subprocess
import time
import urllib.request

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICES = ("TrainingService", "ModelService", "DatasetService")


def write_mirror(folder):
    """A folder in the place of the network: the catalogue's `wine`, 178 rows of 13 numbers and a class that they tell."""
    rng = random.Random(7)
    path = pathlib.Path(folder) / "tabular" / "wine.csv"
    path.parent.mkdir(parents=True)
    rows = []
    for i in range(178):
        numbers = [rng.gauss(2.0 * ((i % 3 + column) % 3), 1.0) for column in range(13)]
        rows.append(",".join([f"{v:.3f}" for v in numbers] + [str(i % 3 + 1)]))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def write_sleeper(folder, worker):
    """A worker that trains nothing where the job's name has SLEEPS: it takes the slot, says nothing and ends with the server. Other
    jobs and calls go to the real one."""
    path = pathlib.Path(folder) / "sleeper"
    path.write_text('#!/bin/sh\n# Descriptor 4 ends when the server does.\n'
                    '[ "$1" = train ] && grep -q -a SLEEPS "$3" && exec cat <&4\n'
                    f'exec "{worker}" "$@"\n')
    path.chmod(0o755)
    return path


class Wire:
    """Messages by name, and a callable for each RPC."""

    def __init__(self, descriptor_set):
        files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(descriptor_set).read_bytes())
        self.pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            self.pool.Add(file)
        self.factory = message_factory.MessageFactory(self.pool)

    def message(self, name):
        """The class of hone.v1.NAME, or of a full name."""
        full = name if "." in name else f"hone.v1.{name}"
        return self.factory.GetPrototype(self.pool.FindMessageTypeByName(full))

    def methods(self):
        """(service, method descriptor) of every RPC."""
        for name in SERVICES:
            service = self.pool.FindServiceByName(f"hone.v1.{name}")
            for method in service.methods:
                yield service, method

    def streams(self, method):
        """(from the client, from the server)"""
        proto = descriptor_pb2.MethodDescriptorProto()
        method.CopyToProto(proto)
        return proto.client_streaming, proto.server_streaming

    def stub(self, channel, rpc):
        for service, method in self.methods():
            if method.name == rpc:
                from_client, from_server = self.streams(method)
                kind = f"{'stream' if from_client else 'unary'}_{'stream' if from_server else 'unary'}"
                reply = self.factory.GetPrototype(method.output_type)
                return getattr(channel, kind)(
                    f"/{service.full_name}/{method.name}",
                    request_serializer=lambda request: request if isinstance(request, bytes) else request.SerializeToString(),
                    response_deserializer=reply.FromString)
        raise KeyError(rpc)


class Honed:
    """A server on a folder of its own."""

    def __init__(self, binary, folder, *options, environment=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = open(self.folder / "honed.log", "ab+")
        start = self.log.seek(0, os.SEEK_END)
        began = time.monotonic()
        self.process = subprocess.Popen(
            [binary, "--data-dir", self.folder / "data", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0",
             "--disk-floor-bytes", "0", *map(str, options)],
            stdout=self.log, stderr=self.log, env=environment)
        while True:
            self.log.seek(start)
            text = self.log.read().decode()
            ports = re.search(r"gRPC, port (\d+)\).*metrics, port (\d+)", text)
            if ports:
                break
            if time.monotonic() > began + 60 or self.process.poll() is not None:
                raise RuntimeError(f"honed did not start: {text}")
            time.sleep(0.001)
        self.ready_seconds = time.monotonic() - began
        self.address = f"127.0.0.1:{ports[1]}"
        self.port = int(ports[1])
        self.metrics_url = f"http://127.0.0.1:{ports[2]}"

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        code = self.process.wait(timeout=60)
        self.log.close()
        return code

    def resident_bytes(self, line="VmRSS"):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(re.search(rf"{line}:\s+(\d+) kB", status)[1]) * 1024

    def peak_bytes(self):
        return self.resident_bytes("VmHWM")

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def metrics(self):
        with urllib.request.urlopen(self.metrics_url + "/metrics", timeout=30) as page:
            return page.read().decode()
