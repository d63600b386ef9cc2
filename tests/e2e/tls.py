#!/usr/bin/python3
"""honed over TLS as its clients meet it: hone, a gRPC client of another language, a browser-like client of the metrics port. Certificates are made
here by the program openssl.

    tls.py BIN DESCRIPTORS [--rotations N]
"""
import argparse
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import grpc  # noqa: E402
from certificates import Authority, put  # noqa: E402
from grpc import StatusCode as Code  # noqa: E402
from honed import LONGEST_SECONDS, Honed, wait_until  # noqa: E402
from wire import Wire  # noqa: E402


class TlsTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="hone-tls-")
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.authority = Authority(self.folder, "authority")
        self.certificate, self.key = self.folder / "server.pem", self.folder / "server.key"
        put(self.authority.issue("first"), self.certificate, self.key)
        self.wire = Wire(OPTIONS.descriptors)

    def start(self, *options, **more):
        server = Honed(OPTIONS.bin / "honed", self.folder / "server", "--tls-cert", self.certificate, "--tls-key", self.key, *options, **more)
        self.addCleanup(server.stop)
        return server

    def channel(self, server, pair=None, authority=None):
        certificate, key = (path.read_bytes() for path in pair) if pair else (None, None)
        # A connection of its own, however many channels there are.
        channel = grpc.secure_channel(f"localhost:{server.port}", grpc.ssl_channel_credentials(
            (authority or self.authority).certificate.read_bytes(), key, certificate), options=[("grpc.use_local_subchannel_pool", 1)])
        self.addCleanup(channel.close)
        return channel

    def call(self, channel, rpc, request, timeout=LONGEST_SECONDS):
        return self.wire.stub(channel, rpc)(self.wire.message(request)() if isinstance(request, str) else request, timeout=timeout)

    def refused(self, channel, rpc, request, **more):
        with self.assertRaises(grpc.RpcError) as raised:
            self.call(channel, rpc, request, **more)
        return raised.exception

    def hone(self, server, *options):
        return subprocess.run([OPTIONS.bin / "hone", "--server", f"localhost:{server.port}", *map(str, options)],
                              capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False)

    def subject(self, port):
        """Of the certificate that a new connection gets."""
        context = ssl.create_default_context(cafile=self.authority.certificate)
        context.set_alpn_protocols(["h2"])
        with socket.create_connection(("localhost", port)) as plain, context.wrap_socket(plain, server_hostname="localhost") as tls:
            return dict(part[0] for part in tls.getpeercert()["subject"])["commonName"]

    def page(self, server, path, pair=None, headers=None):
        """(status, text) of the metrics port."""
        context = ssl.create_default_context(cafile=self.authority.certificate)
        if pair:
            context.load_cert_chain(*pair)
        request = urllib.request.Request(f"https://localhost:{server.metrics_port}{path}", headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=LONGEST_SECONDS, context=context) as page:
                return page.status, page.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def log(self, server):
        return (server.folder / "honed.log").read_text(encoding="utf-8")

    def test_hone_works_with_the_pinned_authority_and_not_without_tls_or_with_another_authority(self):
        server = self.start()
        fine = self.hone(server, "--tls-ca", self.authority.certificate, "jobs", "list")
        self.assertEqual(fine.returncode, 0, fine.stderr)
        other = Authority(self.folder, "other")
        self.assertEqual(self.hone(server, "--tls-ca", other.certificate, "jobs", "list").returncode, 3)
        self.assertEqual(self.hone(server, "--tls", "jobs", "list").returncode, 3)  # the system does not know this authority
        self.assertEqual(self.hone(server, "jobs", "list").returncode, 3)

    def test_tls_is_1_2_at_least(self):
        server = self.start()
        for port in (server.port, server.metrics_port):
            for version, fine in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)):
                context = ssl.create_default_context(cafile=self.authority.certificate)
                context.set_ciphers("ALL:@SECLEVEL=0")  # else the client itself would refuse 1.1
                context.minimum_version = context.maximum_version = version
                with self.subTest(port=port, version=version), socket.create_connection(("localhost", port)) as plain:
                    if fine:
                        context.wrap_socket(plain, server_hostname="localhost").close()
                    else:
                        self.assertRaises((ssl.SSLError, ConnectionError), context.wrap_socket, plain, server_hostname="localhost")

    def test_a_certificate_is_rotated_under_load_without_a_failed_call(self):
        server = self.start()
        pairs = {name: self.authority.issue(name) for name in ("one", "two")}
        stop, failed, calls = threading.Event(), [], [0, 0]

        def keep_calling(which, fresh):
            channel = self.channel(server)
            while not stop.is_set():
                try:
                    if fresh:
                        channel = self.channel(server)
                    self.call(channel, "ListJobs", "ListJobsRequest")
                    calls[which] += 1
                    if fresh:
                        channel.close()
                except grpc.RpcError as error:
                    failed.append(error)

        threads = [threading.Thread(target=keep_calling, args=(which, which == 0)) for which in (0, 1)]
        for thread in threads:
            thread.start()
        try:
            for rotation in range(OPTIONS.rotations):
                name = ("one", "two")[rotation % 2]
                put(pairs[name], self.certificate, self.key)
                wait_until(f"the certificate is {name}", lambda name=name: self.subject(server.port) == name)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(failed, [])
        self.assertGreater(min(calls), OPTIONS.rotations)
        wait_until("the metrics port has it, too", lambda: self.subject(server.metrics_port) == name)

    def test_a_pair_that_kubernetes_renews_is_taken(self):
        # A Secret's volume: its files are links through the link `..data`, which is replaced when all files of a new folder are there.
        volume = self.folder / "secret"

        def renew(name):
            data, link = volume / f"..{name}", volume / "..data_tmp"
            data.mkdir(parents=True)
            put(self.authority.issue(name), data / "tls.crt", data / "tls.key")
            link.symlink_to(data.name)
            link.rename(volume / "..data")

        renew("third")
        self.certificate, self.key = volume / "tls.crt", volume / "tls.key"
        for path in (self.certificate, self.key):
            path.symlink_to(f"..data/{path.name}")
        server = self.start()
        self.assertEqual(self.subject(server.port), "third")
        renew("fourth")
        wait_until("the certificate is the fourth", lambda: self.subject(server.port) == "fourth")

    def test_a_pair_that_cannot_be_used_is_refused_and_the_old_one_serves(self):
        server = self.start()
        stranger, expired = self.authority.issue("stranger"), self.authority.issue("expired", days=-1)
        for what, breaks in ((f"{self.key}: is not the key", lambda: put((self.certificate, stranger[1]), self.certificate, self.key)),
                             ("PEM form", lambda: self.certificate.write_text("no certificate")),
                             ("was valid until", lambda: put(expired, self.certificate, self.key)),
                             ("No such file", self.certificate.unlink)):
            with self.subTest(what=what):
                start = len(self.log(server))
                breaks()
                wait_until(f"the log says: {what}", lambda what=what, start=start: what in self.log(server)[start:])
                self.assertEqual(self.subject(server.port), "first")
                self.assertEqual(self.subject(server.metrics_port), "first")
        put(stranger, self.certificate, self.key)
        wait_until("a good pair is taken again", lambda: self.subject(server.port) == "stranger")

    def test_a_client_certificate_tells_who_calls_and_gives_a_role(self):
        clients = Authority(self.folder, "clients")
        anna, stranger = clients.issue("anna"), Authority(self.folder, "strangers").issue("mallory")
        server = self.start("--tls-client-ca", clients.certificate)
        nobody = self.refused(self.channel(server), "ListJobs", "ListJobsRequest")
        self.assertEqual(nobody.code(), Code.UNAUTHENTICATED)
        watch = self.wire.stub(self.channel(server), "WatchJob")(self.wire.message("WatchJobRequest")(name="jobs/x"), timeout=LONGEST_SECONDS)
        with self.assertRaises(grpc.RpcError) as raised:
            next(watch)
        self.assertEqual(raised.exception.code(), Code.UNAUTHENTICATED)
        self.call(self.channel(server, anna), "ListJobs", "ListJobsRequest")
        role = self.refused(self.channel(server, anna), "DeleteJob", self.wire.message("DeleteJobRequest")(name="jobs/x"))
        self.assertEqual((role.code(), "operator" in role.details()), (Code.PERMISSION_DENIED, True))
        self.assertEqual(self.refused(self.channel(server, stranger), "ListJobs", "ListJobsRequest").code(), Code.UNAVAILABLE)
        fine = self.hone(server, "--tls-ca", self.authority.certificate, "--tls-cert", anna[0], "--tls-key", anna[1], "jobs", "list")
        self.assertEqual(fine.returncode, 0, fine.stderr)
        self.assertIn("--tls-key: must be given", self.hone(server, "--tls-cert", anna[0], "jobs", "list").stderr)
        self.assertEqual(self.page(server, "/metrics")[0], 401)
        status, metrics = self.page(server, "/metrics", anna)
        self.assertEqual(status, 200)
        self.assertRegex(metrics, r'hone_callers_refused_total{reason="no_credential"} [1-9]')
        self.assertRegex(metrics, r"hone_certificate_end_timestamp_seconds \d")

    def test_a_certificates_name_stands_for_what_the_file_says_now(self):
        clients = Authority(self.folder, "clients")
        anna, berta = clients.issue("anna"), clients.issue("berta")
        names = self.folder / "names"
        names.write_text("anna = submitter@vision\n")
        server = self.start("--tls-client-ca", clients.certificate, "--tls-clients", names)
        first, second = self.channel(server, anna), self.channel(server, berta)
        self.call(first, "ListJobs", "ListJobsRequest")
        self.assertEqual(self.page(server, "/metrics", anna)[0], 403, "it tells of all projects")
        unknown = self.refused(second, "ListJobs", "ListJobsRequest")
        self.assertEqual((unknown.code(), "--tls-clients" in unknown.details()), (Code.UNAUTHENTICATED, True))
        names.write_text("berta = viewer\n")

        def known(channel):
            try:
                self.call(channel, "ListJobs", "ListJobsRequest")
                return True
            except grpc.RpcError:
                return False

        wait_until("the new name is known", lambda: known(second))
        self.assertFalse(known(first), "the connection of a name that is gone lives on")
        self.assertEqual(self.page(server, "/metrics", berta)[0], 200)

    def test_probes_are_answered_over_tls_without_a_credential(self):
        server = self.start("--tls-client-ca", Authority(self.folder, "clients").certificate)
        self.assertEqual(self.page(server, "/healthz"), (200, "ok\n"))
        wait_until("it is ready", lambda: self.page(server, "/readyz") == (200, "ready\n"))
        self.assertEqual(self.page(server, "/nothing")[0], 404)

    def test_who_is_silent_or_speaks_plain_text_keeps_nobody_out(self):
        server = self.start()
        silent = [socket.create_connection(("localhost", port)) for port in (server.port, server.metrics_port) for _ in range(100)]
        for connection in silent[::2]:
            connection.send(b"\x16\x03\x01\x02")  # the beginning of a greeting
        plain = grpc.insecure_channel(server.address)
        self.addCleanup(plain.close)
        self.assertEqual(self.refused(plain, "ListJobs", "ListJobsRequest", timeout=5).code(), Code.UNAVAILABLE)
        self.call(self.channel(server), "ListJobs", "ListJobsRequest")
        self.assertEqual(self.page(server, "/healthz"), (200, "ok\n"))
        for connection in silent:
            connection.close()

    def test_an_address_for_others_needs_tls_and_a_way_to_know_them(self):
        def refusal(*options):
            run = subprocess.run([OPTIONS.bin / "honed", "--data-dir", self.folder / "data", "--listen", "0.0.0.0:0", "--metrics-listen",
                                  "127.0.0.1:0", *map(str, options)], capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False)
            self.assertNotEqual(run.returncode, 0)
            return run.stderr

        pair = ("--tls-cert", self.certificate, "--tls-key", self.key)
        self.assertIn("--tls-cert and --tls-key", refusal())
        self.assertIn("--tls-client-ca", refusal(*pair))
        self.assertIn("--tls-key: must be given", refusal("--tls-cert", self.certificate))
        self.assertIn("--tls-client-ca: needs --tls-cert", refusal("--tls-client-ca", self.authority.certificate))
        self.assertIn("is not the key of the certificate", refusal("--tls-cert", self.certificate, "--tls-key", self.authority.key))
        self.start("--tls-client-ca", self.authority.certificate, listen="0.0.0.0:0").stop()
        server = self.start("--insecure-listen", listen="0.0.0.0:0")
        self.assertIn("open to everybody", self.log(server))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("descriptors", type=pathlib.Path)
    parser.add_argument("--rotations", type=int, default=10)
    OPTIONS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest])
