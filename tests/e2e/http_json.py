#!/usr/bin/python3
"""The calls by HTTP and JSON: who may call what (every route × {no token, an unknown one, one past its time, a revoked one, one of each role}; the list
of routes comes from the descriptors), what is answered to requests that are wrong in HTTP's own ways, event streams, uploads, TLS.

    http_json.py BIN DESCRIPTORS
"""
import argparse
import hashlib
import http.client
import json
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import grpc  # noqa: E402
from certificates import Authority, put  # noqa: E402
from honed import LONGEST_SECONDS, Honed, wait_until, wine_rows, write_mirror, write_sleeper  # noqa: E402
from wire import Wire  # noqa: E402

ROLES = ("viewer", "submitter", "operator", "admin")
WINE = {"displayName": "wine", "classification": {}, "data": {"dataset": "wine"},
        "model": {"layers": [{"dense": {"units": 8, "activation": "RELU"}}, {"dense": {"units": 3}}]}, "training": {"epochs": 3}}


def routes(wire):
    """(rpc, method, path) by the options google.api.http; every variable of a path is `x`."""
    options = wire.message("google.protobuf.MethodOptions")
    rule = wire.pool.FindExtensionByName("google.api.http")
    for _, method in wire.methods():
        said = options.FromString(method.GetOptions().SerializeToString())
        if said.HasExtension(rule):
            kind = said.Extensions[rule].WhichOneof("pattern")
            path = getattr(said.Extensions[rule], kind)
            path = re.sub(r"\{[^=}]*=([^}]*)\}", lambda match: match[1].replace("**", "x").replace("*", "x"), path)
            yield method.name, kind.upper(), path


class Answer:
    def __init__(self, answer):
        self.status, self.headers, self.body = answer.status, answer.headers, answer.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json["error"]


class HttpTest(unittest.TestCase):
    OPTIONS = ()

    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory(prefix="hone-http-")
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = pathlib.Path(temporary.name)
        cls.wire = Wire(OPTIONS.descriptors)
        mirror = write_mirror(cls.folder / "mirror")
        cls.server = Honed(OPTIONS.bin / "honed", cls.folder, "--data-mirror", mirror, "--log-level", "debug",
                           "--worker", write_sleeper(cls.folder, OPTIONS.bin / "hone-worker"), *cls.OPTIONS)
        cls.addClassCleanup(cls.server.stop)
        cls.port = int(cls.server.http_url.rsplit(":", 1)[1])

    def connect(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONGEST_SECONDS)
        self.addCleanup(connection.close)
        return connection

    def ask(self, method, path, body=None, token=None, headers=None, connection=None):
        headers = dict(headers or {})
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        connection = connection or self.connect()
        connection.request(method, path, body=body, headers=headers)
        return Answer(connection.getresponse())

    def raw(self, text):
        """What is answered to these bytes, to the end of the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=LONGEST_SECONDS) as connection:
            connection.sendall(text)
            answer = b""
            while more := connection.recv(65536):
                answer += more
            return answer

    def sleeping_job(self):
        spec = {**WINE, "displayName": "SLEEPS", "training": {"epochs": 1}}
        return self.ask("POST", "/v1/jobs", {"spec": spec}).json["name"]


class Access(HttpTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tokens = {role: cls.create(role, role) for role in ROLES}
        cls.expired = cls.create("expired", "admin", "--expires", "1s")
        past = time.monotonic() + 1
        cls.revoked = cls.create("revoked", "admin")
        cls.token_command("revoke", "revoked")
        time.sleep(max(0, past - time.monotonic()))

    @classmethod
    def token_command(cls, *options):
        return subprocess.run([OPTIONS.bin / "honed", "token", "--data-dir", cls.folder / "data", *options], capture_output=True, text=True,
                              timeout=LONGEST_SECONDS, check=True).stdout.strip()

    @classmethod
    def create(cls, name, role, *options):
        return cls.token_command("create", "--name", name, "--role", role, *options)

    def answers(self, token):
        """{(rpc, method, path): answer}, asked at the same time: a wrong token is answered after a second."""
        found = {}

        def ask(route):
            found[route] = self.ask(route[1], route[2], {} if route[1] in ("POST", "PATCH") else None, token)

        threads = [threading.Thread(target=ask, args=(route,)) for route in routes(self.wire)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(found), len(threads))
        return found

    def test_no_route_is_for_a_caller_who_is_not_known(self):
        for what, token, says in (("no token", None, "must know who calls"), ("unknown", "hone_" + "x" * 43, "does not know the token"),
                                  ("expired", self.expired, "past its time"), ("revoked", self.revoked, "was revoked")):
            for route, answer in self.answers(token).items():
                with self.subTest(route=route, token=what):
                    self.assertEqual(answer.status, 401, answer.body)
                    self.assertEqual(answer.error["status"], "UNAUTHENTICATED")
                    self.assertIn(says, answer.error["message"])
                    self.assertTrue(answer.headers["WWW-Authenticate"].startswith("Bearer"))

    def test_every_route_is_for_its_role_and_those_above_it(self):
        needed = {}
        for role in ROLES:
            for route, answer in self.answers(self.tokens[role]).items():
                with self.subTest(route=route, role=role):
                    if answer.status == 403:
                        needed[route] = re.search(r"role (\w+)", answer.error["message"])[1]
                        self.assertLess(ROLES.index(role), ROLES.index(needed[route]))
                    else:
                        self.assertNotEqual(answer.status, 401, answer.body)
                        self.assertGreaterEqual(ROLES.index(role), ROLES.index(needed.get(route, "viewer")))
        self.assertEqual(needed[("DeleteJob", "DELETE", "/v1/jobs/x")], "operator")
        self.assertEqual(needed[("ListTokens", "GET", "/v1/tokens")], "admin")

    def test_a_token_with_bytes_that_no_token_has_is_one_that_nobody_knows(self):
        answer = self.ask("GET", "/v1/jobs", headers={"Authorization": b"Bearer hone_\xff\xfe"})
        self.assertEqual(answer.status, 401, answer.body)

    def test_a_remote_client_cannot_say_by_metadata_that_it_came_by_http_with_a_certificate(self):
        with grpc.insecure_channel(self.server.address) as channel, self.assertRaises(grpc.RpcError) as raised:
            self.wire.stub(channel, "ListJobs")(b"", timeout=LONGEST_SECONDS, metadata=[
                ("hone-peer", "unix:"), ("hone-certificate-bin", b"anna")])
        self.assertEqual(raised.exception.code(), grpc.StatusCode.UNAUTHENTICATED)

    def test_headers_of_a_client_are_no_metadata(self):
        answer = self.ask("GET", "/v1/jobs", headers={"hone-peer": "unix:", "hone-certificate-bin": "anna"})
        self.assertEqual(answer.status, 401)

    def test_the_log_has_the_address_of_the_client_and_not_the_token(self):
        self.ask("POST", "/v1/jobs", {"requestId": "for-the-log", "spec": {}}, self.tokens["submitter"])
        log = (self.folder / "honed.log").read_text()
        line = next(line for line in log.splitlines() if "for-the-log" in line)
        self.assertIn("caller=token:submitter", line)
        self.assertRegex(line, r"peer=\"?ipv4:127\.0\.0\.1:\d+")
        self.assertNotIn(self.tokens["submitter"], log)

    def test_the_description_of_the_calls_is_for_everybody(self):
        described = self.ask("GET", "/v1/openapi.json").json
        self.assertEqual(described["openapi"], "3.0.3")
        self.assertIn("/v1/jobs/{job}:cancel", described["paths"])


class Requests(HttpTest):
    def test_a_job_is_made_listed_read_changed_and_deleted(self):
        connection = self.connect()  # one for all of it
        job = self.ask("POST", "/v1/jobs", {"spec": {**WINE, "labels": {"team": "vision"}}}, connection=connection)
        self.assertEqual(job.status, 200, job.body)
        name = job.json["name"]
        listed = self.ask("GET", "/v1/jobs?labels[team]=vision&page_size=5&task=classification", connection=connection)
        self.assertEqual([one["name"] for one in listed.json["jobs"]], [name])
        self.assertEqual(self.ask("GET", "/v1/jobs?labels[team]=other", connection=connection).json, {})
        changed = self.ask("PATCH", f"/v1/{name}", {"displayName": "other"}, connection=connection)
        self.assertEqual(changed.json["displayName"], "other", changed.body)
        wait_until("it has ended", lambda: self.ask("GET", f"/v1/{name}").json["state"] == "SUCCEEDED")
        points = self.ask("GET", f"/v1/{name}/metrics?maxPoints=50&metrics=loss", connection=connection).json["points"]
        self.assertTrue(points)
        self.assertEqual(self.ask("DELETE", f"/v1/{name}", connection=connection).json, {})
        self.assertEqual(self.ask("GET", f"/v1/{name}", connection=connection).error["status"], "NOT_FOUND")

    def test_what_is_wrong_in_a_request_is_named(self):
        for method, path, body, status, says in (
                ("POST", "/v1/jobs", {"spec": {"nonsense": 1}}, 400, "nonsense"),
                ("POST", "/v1/jobs", {"spec": {**WINE, "training": {"batchSize": 0}}}, 400, "training.batch_size: must be between"),
                ("POST", "/v1/jobs", "{", 400, "the JSON"),
                ("POST", "/v1/jobs", '{"a":' * 5000, 400, "the JSON"),
                ("POST", "/v1/jobs", b'{"requestId": "\xff"}', 400, "UTF-8"),
                ("POST", "/v1/jobs?requestId=x", {}, 400, "belongs into the body"),
                ("POST", "/v1/jobs/x:cancel", {"name": "jobs/y"}, 400, "said by the path"),
                ("GET", "/v1/jobs?nonsense=1", None, 400, "nonsense"),
                ("GET", "/v1/jobs?pageSize=many", None, 400, "pageSize: must be a whole number"),
                ("GET", "/v1/jobs?pageSize=1&pageSize=2", None, 400, "said twice"),
                ("GET", "/v1/jobs?states=NONSENSE", None, 400, "states: must be one of"),
                ("GET", "/v1/jobs?states=QUEUED&states=RUNNING", None, 200, ""),
                ("GET", "/v1/jobs?task=%zz", None, 400, "hexadecimal"),
                ("GET", "/v1/jobs/%00", None, 404, "no such path"),
                ("GET", "/v1/nonsense", None, 404, "no such path"),
                ("GET", "/v1/jobs/a/b/c", None, 404, "no such path"),
                ("PUT", "/v1/jobs", {}, 405, "it has GET"),
                ("GET", "/v1/jobs/x:cancel", None, 405, "it has OPTIONS, POST")):
            with self.subTest(method=method, path=path, body=str(body)[:40]):
                headers = {"Content-Type": "application/json"} if body is not None else {}
                answer = self.ask(method, path, body, headers=headers)
                self.assertEqual(answer.status, status, answer.body)
                if says:
                    self.assertIn(says, answer.error["message"])
                    self.assertEqual(answer.error["code"], status)

    def test_a_path_that_has_other_methods_says_which(self):
        self.assertEqual(self.ask("PUT", "/v1/jobs").headers["Allow"], "GET, HEAD, OPTIONS, POST")
        options = self.ask("OPTIONS", "/v1/jobs")
        self.assertEqual((options.status, options.headers["Allow"]), (204, "GET, HEAD, OPTIONS, POST"))
        self.assertIsNone(options.headers["Access-Control-Allow-Origin"])

    def test_head_is_get_without_the_body(self):
        got, head = self.ask("GET", "/v1/models"), self.ask("HEAD", "/v1/models")
        self.assertEqual((head.status, head.body, head.headers["Content-Length"]), (200, b"", str(len(got.body))))

    def test_a_body_that_is_no_json_is_refused(self):
        answer = self.ask("POST", "/v1/jobs", "spec: {}", headers={"Content-Type": "text/plain"})
        self.assertEqual(answer.status, 415, answer.body)

    def test_a_body_that_is_too_large_is_refused_before_it_is_read(self):
        answer = self.raw(b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n")
        self.assertIn(b"HTTP/1.1 413", answer)
        self.assertIn(b"Connection: close", answer)

    def test_a_body_in_chunks_that_grows_too_large_is_refused(self):
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        answer = self.raw(b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" +
                          chunk * 7)
        self.assertIn(b"HTTP/1.1 413", answer)

    def test_a_head_that_is_too_large_is_refused(self):
        self.assertIn(b"HTTP/1.1 431", self.raw(b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 40000 + b"\r\n\r\n"))

    def test_what_is_no_http_is_refused_or_cut(self):
        for text in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x00\x05hello\r\n\r\n",
                     b"GET http://else/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"):
            with self.subTest(text=text):
                self.assertRegex(self.raw(text), rb"(?s)^(HTTP/1\.1 400 .*)?$")
        self.assertEqual(self.ask("GET", "/v1/jobs").status, 200)

    def test_two_requests_that_come_at_once_are_answered_in_their_order(self):
        one = b"GET /v1/%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n"
        answer = self.raw(one % (b"server", b"") + one % (b"nonsense", b"Connection: close\r\n"))
        self.assertRegex(answer, rb"(?s)^HTTP/1.1 200 .*HTTP/1.1 404 ")

    def test_a_page_of_another_server_may_not_call(self):
        for origin in ("https://evil.example", "null", f"http://127.0.0.1:{self.port + 1}"):
            with self.subTest(origin=origin):
                self.assertEqual(self.ask("POST", "/v1/jobs/x:cancel", headers={"Origin": origin}).status, 403)
        own = f"http://127.0.0.1:{self.port}"
        self.assertEqual(self.ask("GET", "/v1/jobs", headers={"Origin": own}).status, 200)

    def test_a_name_that_leads_to_loopback_is_refused_where_everybody_may_call(self):
        for host in ("evil.example", f"evil.example:{self.port}", ""):
            with self.subTest(host=host):
                self.assertEqual(self.ask("GET", "/v1/jobs", headers={"Host": host}).status, 421 if host else 200)
        for host in (f"localhost:{self.port}", f"[::1]:{self.port}", "127.0.0.1"):
            self.assertEqual(self.ask("GET", "/v1/jobs", headers={"Host": host}).status, 200)

    def test_every_answer_says_that_nobody_shall_guess_run_or_keep_it(self):
        for path in ("/v1/jobs", "/v1/nonsense", "/nonsense"):
            headers = self.ask("GET", path).headers
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
            self.assertEqual(headers["Cache-Control"], "no-store")
            self.assertIn("default-src 'none'", headers["Content-Security-Policy"])

    def test_a_job_file_is_taken_as_it_is_written(self):
        text = "classification: {}\ndata: {dataset: wine}\nmodel: {layers: [{dense: {units: 3}}]}\ntraining: {epochs: 1}\n"
        job = self.ask("POST", "/v1/jobs", {"jobFile": text, "validateOnly": True})
        self.assertEqual(job.status, 200, job.body)
        self.assertEqual(job.json["spec"]["training"]["epochs"], "1")
        self.assertNotIn("name", job.json)

    def test_what_is_wrong_in_a_job_file_is_told_with_its_line(self):
        def violations(text, **more):
            answer = self.ask("POST", "/v1/jobs", {"jobFile": text, "validateOnly": True, **more})
            self.assertEqual(answer.status, 400, answer.body)
            return [(one["field"], one["description"]) for detail in answer.error["details"] for one in detail.get("fieldViolations", [])]

        text = "classification: {}\ndata: {dataset: wine}\nmodel: {layers: []}\ntraining: {epoch: 1}\n"
        self.assertEqual([field for field, _ in violations(text)], ["training"])
        self.assertRegex(violations(text)[0][1], "^line 4, column .*epoch")
        self.assertEqual(violations("a: [")[0][0], "job_file")
        self.assertIn("line ", violations("a: [")[0][1])
        self.assertEqual(violations("classification: {}\ndata: {path: /etc/passwd}\n")[0][0], "data.path")
        self.assertEqual(violations("a: 1", spec=WINE)[0][0], "spec")
        bomb = "a: &a [x]\nb: [*a, *a]\n"
        self.assertEqual(violations(bomb)[0][0], "job_file")
        self.assertTrue(violations("[" * 10000))
        self.assertTrue(violations("x" * (1 << 20) + ": 1"))


class Readme(HttpTest):
    def test_the_lines_of_the_readme_work(self):
        root = pathlib.Path(__file__).resolve().parent.parent.parent
        lines = re.search(r"<!-- curl: begin.*?-->\n(.*?)<!-- curl: end", (root / "README.md").read_text(encoding="utf-8"), re.S)[1]
        name = self.ask("POST", "/v1/jobs", {"spec": WINE}).json["name"]
        lines = lines.replace("jobs/ozhe43ek2mhfuaw4", name).replace("localhost:8080", f"127.0.0.1:{self.port}")
        lines = re.sub(r"curl -s(N?) ", r"curl -sS\1 --fail-with-body ", lines)
        folder = self.folder / "readme"
        folder.mkdir()
        (folder / "client").symlink_to(root / "client")
        (folder / "prices.csv").write_text("\n".join(wine_rows()) + "\n", encoding="utf-8")
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", lines], cwd=folder, capture_output=True, text=True, timeout=2 * LONGEST_SECONDS, check=False)
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr)
        for said in ('"state":"QUEUED"', '"snapshot":', "event: end", '"name":"datasets/prices"'):
            self.assertIn(said, done.stdout)


class Streams(HttpTest):
    @staticmethod
    def events(text):
        """[{field: value}] of server-sent events; comments are left out."""
        events = []
        for block in text.decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if fields:
                events.append(fields)
        return events

    def test_a_job_is_watched_to_its_end_and_from_the_middle_on(self):
        name = self.ask("POST", "/v1/jobs", {"spec": WINE}).json["name"]
        answer = self.ask("GET", f"/v1/{name}:watch", headers={"Accept": "text/event-stream"})
        self.assertEqual(answer.headers["Content-Type"], "text/event-stream")
        events = self.events(answer.body)
        self.assertEqual(events[-1]["event"], "end")
        told = [json.loads(event["data"]) for event in events[:-1]]
        self.assertIn("snapshot", told[0])
        sequences = [int(one["event"]["sequence"]) for one in told if "event" in one]
        self.assertEqual(sequences, list(range(1, len(sequences) + 1)))
        middle = len(events) // 2
        again = self.events(self.ask("GET", f"/v1/{name}:watch", headers={
            "Accept": "text/event-stream", "Last-Event-ID": events[middle]["id"]}).body)
        self.assertEqual([event["id"] for event in again if "id" in event and "snapshot" not in event["data"]],
                         [event["id"] for event in events[middle + 1:] if "id" in event])
        lines = self.ask("GET", f"/v1/{name}:watch").body.splitlines()
        self.assertEqual([json.loads(line)["event"]["sequence"] for line in lines if b'"event":{' in line], [str(i) for i in sequences])

    def test_an_error_before_the_first_event_has_its_own_code(self):
        answer = self.ask("GET", "/v1/jobs/none:watch", headers={"Accept": "text/event-stream"})
        self.assertEqual((answer.status, answer.error["status"]), (404, "NOT_FOUND"))

    def test_a_watch_ends_when_its_client_leaves(self):
        name = self.sleeping_job()
        connections = [self.connect() for _ in range(30)]
        for connection in connections:
            connection.request("GET", f"/v1/{name}:watch", headers={"Accept": "text/event-stream"})
            self.assertEqual(connection.getresponse().status, 200)

        def watched():
            return int(re.search(r"^hone_watch_streams (\d+)", self.server.metrics(), re.M)[1])

        wait_until("all watch", lambda: watched() >= 30)
        threads = len(list(pathlib.Path(f"/proc/{self.server.process.pid}/task").iterdir()))
        self.assertLess(threads, 80)
        for connection in connections:
            connection.sock.close() if connection.sock else None
            connection.close()
        wait_until("none watches", lambda: watched() == 0)
        self.ask("POST", f"/v1/{name}:cancel")

    def second_server(self, name):
        server = Honed(OPTIONS.bin / "honed", self.folder / name, "--data-mirror", self.folder / "mirror", "--worker",
                       write_sleeper(self.folder, OPTIONS.bin / "hone-worker"), "--grace-seconds", "1")
        self.addCleanup(server.stop)
        return server

    def test_an_artifact_is_its_bytes(self):
        name = self.ended_job()
        data = bytes(range(256)) * 40_000  # 10 MB
        folder = self.put_artifact(self.server, name, "samples/a b.png", data)
        (folder / "empty.txt").touch()
        listed = self.ask("GET", f"/v1/{name}/artifacts").json["artifacts"]
        self.assertEqual([one["path"] for one in listed], ["samples/a b.png", "samples/empty.txt"])
        for path in ("samples/a%20b.png", "samples%2Fa%20b.png"):
            answer = self.ask("GET", f"/v1/{name}/artifacts/{path}")
            self.assertEqual((answer.status, answer.headers["Content-Type"], answer.headers["Content-Length"]), (200, "image/png", str(len(data))))
            self.assertEqual(answer.headers["Content-Disposition"], 'inline; filename="a b.png"')
            self.assertTrue(answer.body == data)
        self.assertEqual(self.ask("GET", f"/v1/{name}/artifacts/samples/empty.txt").body, b"")
        for path in ("samples/none", "../../store.db", "..%2F..%2Fstore.db", "%2Fetc%2Fpasswd"):
            self.assertIn(self.ask("GET", f"/v1/{name}/artifacts/{path}").status, (400, 404), path)

    def test_a_client_that_takes_nothing_does_not_hold_up_the_end_of_the_server(self):
        server = self.second_server("third")
        port = int(server.http_url.rsplit(":", 1)[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST_SECONDS)
        self.addCleanup(connection.close)
        name = self.ended_job(connection)
        self.put_artifact(server, name, "large.bin", bytes(64 << 20))
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(f"GET /v1/{name}/artifacts/large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            self.assertTrue(slow.recv(100))
            self.assertEqual(server.stop(), 0)

    def ended_job(self, connection=None):
        name = self.ask("POST", "/v1/jobs", {"spec": WINE}, connection=connection).json["name"]
        wait_until("it has ended", lambda: self.ask("GET", f"/v1/{name}", connection=connection).json["state"] == "SUCCEEDED")
        return name

    @staticmethod
    def put_artifact(server, job, path, data):
        """As if the job's worker had left it. The folder that it is in."""
        path = server.folder / "data" / "runs" / job.split("/")[1] / "attempt-1" / "artifacts" / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path.parent

    def test_watchers_are_sent_away_when_the_server_ends(self):
        server = self.second_server("second")
        connection = http.client.HTTPConnection("127.0.0.1", int(server.http_url.rsplit(":", 1)[1]), timeout=LONGEST_SECONDS)
        self.addCleanup(connection.close)
        name = self.ask("POST", "/v1/jobs", {"spec": {**WINE, "displayName": "SLEEPS"}}, connection=connection).json["name"]
        connection.request("GET", f"/v1/{name}:watch", headers={"Accept": "text/event-stream"})
        answer = connection.getresponse()
        self.assertTrue(answer.readline())
        ended = threading.Thread(target=server.stop)
        ended.start()
        self.assertIn(b'"goodbye"', answer.read())
        ended.join()
        self.assertEqual(server.process.returncode, 0)


class Uploads(HttpTest):
    BYTES = ("\n".join(wine_rows()) + "\n").encode()
    SHA256 = hashlib.sha256(BYTES).hexdigest()

    def test_a_data_set_is_uploaded(self):
        answer = self.ask("PUT", f"/v1/datasets/whole:upload?format=CSV&sha256={self.SHA256}", self.BYTES, headers={"Expect": "100-continue"})
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual((answer.json["name"], answer.json["bytes"]), ("datasets/whole", str(len(self.BYTES))))

    def test_an_upload_that_was_cut_goes_on(self):
        half = len(self.BYTES) // 2
        with socket.create_connection(("127.0.0.1", self.port), timeout=LONGEST_SECONDS) as connection:
            connection.sendall(f"PUT /v1/datasets/cut:upload?format=CSV&sha256={self.SHA256} HTTP/1.1\r\nHost: localhost\r\n"
                               f"Content-Length: {len(self.BYTES)}\r\n\r\n".encode() + self.BYTES[:half])
            header = {"datasetId": "cut", "format": "CSV", "bytes": str(len(self.BYTES)), "sha256": self.SHA256}

            def offset():
                return int(self.ask("POST", "/v1/datasets:beginUpload", {"header": header}).json.get("offset", 0))

            time.sleep(0.2)
        arrived = wait_until("something has arrived", offset)
        answer = self.ask("PUT", f"/v1/datasets/cut:upload?format=CSV&sha256={self.SHA256}&offset={arrived}", self.BYTES[arrived:])
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(self.ask("GET", "/v1/datasets/cut").json["sha256"], self.SHA256)

    def test_what_is_wrong_with_an_upload_is_said_and_the_connection_goes_on_or_ends(self):
        other = hashlib.sha256(b"other").hexdigest()
        for path, body, status, says in (("a:upload?format=CSV", self.BYTES, 400, "sha256"),
                                         (f"a:upload?format=CSV&sha256={other}", self.BYTES, 400, ""),
                                         (f"a:upload?format=NONE&sha256={self.SHA256}", self.BYTES, 400, "format"),
                                         (f".a:upload?format=CSV&sha256={self.SHA256}", self.BYTES, 400, ""),
                                         (f"a:upload?format=CSV&sha256={self.SHA256}&more=1", self.BYTES, 400, "more")):
            with self.subTest(path=path):
                answer = self.ask("PUT", f"/v1/datasets/{path}", body)
                self.assertEqual(answer.status, status, answer.body)
                self.assertIn(says, answer.error["message"])
        self.assertIn(b"HTTP/1.1 411", self.raw(
            f"PUT /v1/datasets/a:upload?sha256={self.SHA256} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()))


class Tls(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="hone-https-")
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.authority = Authority(self.folder, "authority")
        self.certificate, self.key = self.folder / "server.pem", self.folder / "server.key"
        put(self.authority.issue("first"), self.certificate, self.key)

    def start(self, *options):
        server = Honed(OPTIONS.bin / "honed", self.folder / "server", "--tls-cert", self.certificate, "--tls-key", self.key, *options)
        self.addCleanup(server.stop)
        return server

    def ask(self, server, path, pair=None, **more):
        context = ssl.create_default_context(cafile=self.authority.certificate)
        if pair:
            context.load_cert_chain(*pair)
        connection = http.client.HTTPSConnection("localhost", int(server.http_url.rsplit(":", 1)[1]), timeout=LONGEST_SECONDS, context=context)
        self.addCleanup(connection.close)
        connection.request("GET", path, **more)
        subject = dict(part[0] for part in connection.sock.getpeercert()["subject"])["commonName"]
        return Answer(connection.getresponse()), subject

    def test_a_new_certificate_serves_new_connections(self):
        server = self.start()
        self.assertEqual(self.ask(server, "/v1/jobs")[1], "first")
        put(self.authority.issue("second"), self.certificate, self.key)
        wait_until("the new one serves", lambda: self.ask(server, "/v1/jobs")[1] == "second")

    def test_the_gate_is_told_of_a_clients_certificate(self):
        server = self.start("--tls-client-ca", self.authority.certificate, "--tls-client-role", "viewer", "--log-level", "debug")
        self.assertEqual(self.ask(server, "/v1/jobs")[0].status, 401)
        pair = self.authority.issue("anna")
        self.assertEqual(self.ask(server, "/v1/jobs", pair)[0].status, 200)
        self.assertEqual(self.ask(server, "/v1/tokens", pair)[0].status, 403)
        self.assertIn("certificate:anna", self.ask(server, "/v1/tokens", pair)[0].error["message"])
        stranger = Authority(self.folder / "strange", "strange").issue("anna")
        with self.assertRaises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
            self.ask(server, "/v1/jobs", stranger)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("descriptors", type=pathlib.Path)
    OPTIONS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest])
