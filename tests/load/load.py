#!/usr/bin/python3
"""What honed carries, measured: an idle server, jobs sent three times over a line that is cut, a long queue, a long history, many
watchers, predictions, a chat beside two jobs that fine-tune its model, and ghz. Prints one line for each number with the goal beside it; ends 1
where a goal is missed.

    load.py BIN DESCRIPTORS FILL_STORE [--counts-only] [--only idle submits queue watchers predictions chat ghz] [--submits 2000] [--queued 10000]
            [--events 10000000] [--watchers 500] [--seconds 30] [--tokens 400]

BIN holds hone, honed and hone-worker. The chat's model is the checkpoint smollm2-135m in HONE_CHECKPOINT_DIR or ~/.cache/hone/checkpoints. With --counts-only a goal of time, memory or processor that is missed is no failure. ghz is used where it is on the PATH or in ~/go/bin (go install github.com/bojand/ghz/cmd/ghz@latest).
"""
import argparse
import asyncio
import collections
import concurrent.futures
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import grpc  # noqa: E402
from honed import Honed, write_mirror, write_sleeper  # noqa: E402
from wire import Wire  # noqa: E402

MIB = 1 << 20
ENDLESS_STEPS = 1_000_000_000  # the most that a job may ask for: hours on any machine


class Report:
    def __init__(self, counts_only):
        self.counts_only = counts_only
        self.missed = 0

    def line(self, what, value, unit, goal=None, least=False):
        met = goal is None or (value >= goal if least else value <= goal)
        self.missed += not met and (unit == "" or not self.counts_only)
        sign = "≥" if least else "≤"
        text = "" if goal is None else f"   goal {sign} {goal:g} {unit}: {'ok' if met else 'MISSED'}"
        print(f"{what:<58} {value:>10.4g} {unit}{text}", flush=True)


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


class Cutter:
    """A line to the server that ends when the answer's first frame comes: what was asked has been done by then."""

    HEADERS = 1  # type of an HTTP/2 frame

    def __init__(self, port):
        self.port = port
        self.cuts = 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            server = socket.create_connection(("127.0.0.1", self.port))
            threading.Thread(target=self.forward, args=(client, server), daemon=True).start()
            threading.Thread(target=self.answer, args=(server, client), daemon=True).start()

    @staticmethod
    def forward(source, target):
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
        except OSError:
            pass

    def answer(self, server, client):
        kept = b""
        try:
            while data := server.recv(1 << 16):
                kept += data
                while len(kept) >= 9:
                    size = 9 + int.from_bytes(kept[:3], "big")
                    if kept[3] == self.HEADERS:
                        self.cuts += 1
                        return
                    if len(kept) < size:
                        break
                    client.sendall(kept[:size])
                    kept = kept[size:]
        except OSError:
            pass
        finally:
            for end in (server, client):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()


def children(pid):
    """The processes that `pid` has started and that have not ended."""
    found = set()
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        found.update(map(int, (task / "children").read_text(encoding="ascii").split()))
    return [child for child in sorted(found) if "State:\tZ" not in pathlib.Path(f"/proc/{child}/status").read_text(encoding="utf-8")]


def memory_of(pids, file):
    """Bytes of all processes together: proportional set size, private memory that no file holds, and how much of `file` is mapped, once as the
    sum of the resident pages of each process and once as these share them."""
    total, inode = collections.Counter(), str(file.stat().st_ino)
    for pid in pids:
        mapped = False
        for line in pathlib.Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8").splitlines():
            key, *rest = line.split()
            if not key.endswith(":"):  # addresses, rights, offset, device, inode, path
                mapped = rest[3] == inode
            elif key in ("Pss:", "Rss:") and mapped:
                total["file " + key[:-1]] += int(rest[0]) << 10
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            key, *rest = line.split()
            if key in ("Pss:", "Pss_Anon:"):
                total[key[:-1]] += int(rest[0]) << 10
    return total


class Load:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.wire = Wire(options.descriptors)
        self.report = Report(options.counts_only)
        self.honed = options.bin / "honed"
        self.mirror = ("--data-mirror", write_mirror(folder / "mirror"))
        self.sleeper = write_sleeper(folder, options.bin / "hone-worker")

    def stub(self, server, rpc, address=None):
        channel = grpc.insecure_channel(address or server.address, options=[("grpc.use_local_subchannel_pool", 1)])
        return channel, self.wire.stub(channel, rpc)

    def spec(self, name, **training):
        spec = self.wire.message("JobSpec")(display_name=name)
        spec.classification.SetInParent()
        spec.data.dataset = "wine"
        spec.model.layers.add().dense.units = 16
        spec.model.layers.add().dense.units = 3
        spec.training.epochs = 1
        for key, value in training.items():
            setattr(spec.training, key, value)
        return spec

    def request(self, name, request_id="", **training):
        return self.wire.message("CreateJobRequest")(spec=self.spec(name, **training), request_id=request_id)

    def idle(self):
        times = []
        for number in range(5):
            server = Honed(self.honed, self.folder / f"idle-{number}")
            times.append(server.ready_seconds)
            if number < 4:
                server.stop()
        time.sleep(2)
        before, began = server.cpu_seconds(), time.monotonic()
        time.sleep(10)
        self.report.line("start to ready, median of 5", 1000 * percentile(times, 0.5), "ms", 200)
        self.report.line("idle: resident memory", server.resident_bytes() / MIB, "MiB", 40)
        self.report.line("idle: processor", (server.cpu_seconds() - before) / (time.monotonic() - began), "cores", 0.005)
        server.stop()

    def blocked(self, name):
        """A server whose only slot is taken by a job that sleeps, so that all others wait."""
        server = Honed(self.honed, self.folder / name, "--worker", self.sleeper, "--silence-seconds", 3600, *self.mirror)
        channel, create = self.stub(server, "CreateJob")
        request = self.request("SLEEPS")
        request.spec.priority = 100
        create(request, timeout=60)
        return server, channel, create

    def submits(self):
        count = self.options.submits
        server, channel, create = self.blocked("submits")
        cutter = Cutter(server.port)
        rng = random.Random(1)
        sends = [(number, rng.random() < 0.1) for number in range(count) for _ in range(3)]
        rng.shuffle(sends)
        names = collections.defaultdict(set)
        errors = collections.Counter()

        def send(work):
            number, cut = work
            request = self.request(f"job {number}", request_id=f"request-{number}")
            line, call = self.stub(server, "CreateJob", cutter.address) if cut else (None, create)
            try:
                names[number].add(call(request, timeout=120).name)
            except grpc.RpcError as error:
                errors["cut" if cut else error.details()] += 1
            finally:
                if line is not None:
                    line.close()

        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(send, sends))
        seconds = time.monotonic() - began
        stored = 0
        page = self.wire.message("ListJobsRequest")(page_size=1000)
        list_jobs = self.wire.stub(channel, "ListJobs")
        while True:
            answer = list_jobs(page)
            stored += len(answer.jobs)
            if not answer.next_page_token:
                break
            page.page_token = answer.next_page_token
        cut = errors.pop("cut", 0)
        print(f"{len(sends)} submits of {count} jobs in {seconds:.1f} s, {cutter.cuts} replies cut after the commit")
        self.report.line("jobs stored, but for the one that runs", stored - 1, "", count)
        self.report.line("the same", stored - 1, "", count, least=True)
        self.report.line("request ids that were answered with two names", sum(len(n) > 1 for n in names.values()), "", 0)
        self.report.line("errors other than a cut line", sum(errors.values()), "", 0)
        for error, times in errors.items():
            print(f"  {times} × {error}")
        self.report.line("replies cut", cut, "", count * 3 * 0.07, least=True)
        server.stop()

    def queue(self):
        folder = self.folder / "queue"
        (folder / "data").mkdir(parents=True)
        began = time.monotonic()
        filled = subprocess.run([self.options.fill_store, folder / "data" / "store.db", "--queued", str(self.options.queued),
                                 "--events", str(self.options.events)], capture_output=True, text=True, check=False)
        if filled.returncode != 0:
            sys.exit(filled.stderr)
        store = (folder / "data" / "store.db").stat().st_size
        print(f"a store of {self.options.queued} queued jobs and {self.options.events} events, {store / MIB:.0f} MiB, "
              f"filled in {time.monotonic() - began:.0f} s")
        for what, times in json.loads(filled.stdout).items():
            self.report.line(f"store: {what}, p99", times["p99_ms"], "ms", 20)
        options = ("--worker", self.sleeper, "--silence-seconds", 3600)
        readies = []
        for _ in range(3):
            server = Honed(self.honed, folder, *options)
            readies.append(server.ready_seconds)
            time.sleep(0.5)
            server.stop(signal.SIGKILL)
        self.report.line("ready again after kill −9, worst of 3", max(readies), "s", 2)
        server = Honed(self.honed, folder, *options)
        channel, list_jobs = self.stub(server, "ListJobs")
        ListJobs = self.wire.message("ListJobsRequest")
        pages = {"newest": {}, "by state": {"states": ["QUEUED"]}, "by label": {"labels": {"team": "team-7"}}, "oldest": {"oldest_first": True}}
        for what, fields in pages.items():
            times = []
            for _ in range(200):
                start = time.monotonic()
                answer = list_jobs(ListJobs(page_size=50, **fields))
                times.append(1000 * (time.monotonic() - start))
            self.report.line(f"ListJobs, page of {len(answer.jobs)}, {what}, p99", percentile(times, 0.99), "ms", 20)
        times, page = [], ListJobs(page_size=50)
        while True:
            start = time.monotonic()
            answer = list_jobs(page)
            times.append(1000 * (time.monotonic() - start))
            if not answer.next_page_token:
                break
            page.page_token = answer.next_page_token
        self.report.line(f"ListJobs, all {len(times)} pages, p99", percentile(times, 0.99), "ms", 20)
        server.metrics()
        self.report.line("server's resident memory after that", server.resident_bytes() / MIB, "MiB", 150)
        server.stop()

    def watchers(self):
        """A job that runs, `--watchers` streams on it: a tenth of them read one event in five seconds, or none."""
        server = Honed(self.honed, self.folder / "watchers", *self.mirror)
        channel, create = self.stub(server, "CreateJob")
        name = create(self.request("watched", epochs=0, steps=ENDLESS_STEPS, threads=1), timeout=120).name
        get = self.wire.stub(channel, "GetJob")
        GetJob = self.wire.message("GetJobRequest")
        while not get(GetJob(name=name)).HasField("progress"):
            time.sleep(0.2)
        alone = server.resident_bytes()
        # The loop is left as it is: closing it waits for a thread of grpcio 1.51 that does not end.
        result = asyncio.new_event_loop().run_until_complete(self.watch_all(server, name))
        print(f"{self.options.watchers} watchers, a tenth of them slow, for {self.options.seconds} s: "
              f"{result['events']} events to each of the others")
        self.report.line("events that a watcher had, at most", result["events"], "", 1, least=True)
        self.report.line("sequence numbers that a watcher missed without a marked gap", result["missing"], "", 0)
        self.report.line("sequence numbers that came twice", result["twice"], "", 0)
        self.report.line("streams that ended by an error", result["failed"], "", 0)
        self.report.line("delay, p99 of those that read", result["p99_ms"], "ms", 500)
        self.report.line("more resident memory than without watchers", (result["resident"] - alone) / MIB, "MiB", 256)
        self.report.line("server's own processor", result["cores"], "cores", 0.2)
        state = self.wire.enum_name(get(GetJob(name=name)), "state")
        if state != "RUNNING":
            sys.exit(f"the watched job has ended while it was watched, {state}: the figures above are not of a running job")
        server.stop()

    async def watch_all(self, server, name):
        watch = self.wire.message("WatchJobRequest")(name=name)
        delays, failed = [], 0
        seen = [[] for _ in range(self.options.watchers)]
        stop = asyncio.Event()
        # Some connections, as from some hosts.
        channels = [grpc.aio.insecure_channel(server.address, options=[("grpc.use_local_subchannel_pool", 1)]) for _ in range(50)]
        measuring = False

        async def follow(number):
            nonlocal failed
            call = self.wire.stub(channels[number % len(channels)], "WatchJob")(watch)
            try:
                async for answer in call:
                    if answer.HasField("event"):
                        seen[number].append(answer.event.sequence)
                        stamp = answer.event.time
                        if measuring and number % 10 != 0:
                            delays.append(1000 * (time.time() - stamp.seconds - stamp.nanos / 1e9))
                    elif answer.HasField("gap"):
                        seen[number].extend(range(answer.gap.from_sequence, answer.gap.to_sequence + 1))
                    if number % 20 == 0:
                        await asyncio.sleep(5)
                    elif number % 20 == 10:
                        await stop.wait()
                    if stop.is_set():
                        break
            except grpc.aio.AioRpcError as error:
                failed += error.code() != grpc.StatusCode.CANCELLED
            call.cancel()

        tasks = [asyncio.create_task(follow(number)) for number in range(self.options.watchers)]
        await asyncio.sleep(5)
        measuring = True
        cpu, began = server.cpu_seconds(), time.monotonic()
        await asyncio.sleep(self.options.seconds)
        cores = (server.cpu_seconds() - cpu) / (time.monotonic() - began)
        measuring = False
        resident = server.resident_bytes()
        stop.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        missing = twice = 0
        for numbers in seen:
            numbers = [n for n in numbers if n > 0]
            twice += len(numbers) - len(set(numbers))
            missing += len(set(range(min(numbers, default=1), max(numbers, default=0) + 1)) - set(numbers))
        return {"missing": missing, "twice": twice, "failed": failed, "p99_ms": percentile(delays, 0.99), "cores": cores,
                "resident": resident, "events": max(map(len, seen))}

    def ghz(self):
        ghz = shutil.which("ghz") or shutil.which(pathlib.Path.home() / "go" / "bin" / "ghz")
        if ghz is None:
            print("ghz is not here: go install github.com/bojand/ghz/cmd/ghz@latest")
            return
        server, _, create = self.blocked("ghz")
        name = create(self.request("looked at"), timeout=60).name
        spec = {"display_name": "ghz", "classification": {}, "data": {"dataset": "wine"},
                "model": {"layers": [{"dense": {"units": 16}}, {"dense": {"units": 3}}]}, "training": {"epochs": 1}}
        for rpc, count, data in (("GetJob", 10_000, {"name": name}),
                                 ("CreateJob", 2_000, {"spec": spec, "request_id": "ghz-{{.RequestNumber}}"})):
            done = subprocess.run([ghz, "--insecure", "--call", f"hone.v1.TrainingService.{rpc}", "-d", json.dumps(data), "-c", "16",
                                   "--connections", "16", "-n", str(count), "-O", "json", server.address],
                                  capture_output=True, text=True, check=True)
            result = json.loads(done.stdout)
            at = {entry["percentage"]: entry["latency"] / 1e6 for entry in result["latencyDistribution"]}
            self.report.line(f"ghz, {count} {rpc}, 16 connections: errors", count - result["statusCodeDistribution"].get("OK", 0), "", 0)
            self.report.line("  a second", result["rps"], "calls")
            self.report.line("  p50", at[50], "ms")
            self.report.line("  p99", at[99], "ms")
        server.stop()

    def predictions(self):
        """One caller after another: the first waits for the process and the model, the others find it loaded."""
        server = Honed(self.honed, self.folder / "predictions", *self.mirror)
        channel, create = self.stub(server, "CreateJob")
        job = create(self.request("predictor"), timeout=60)
        get, named = self.wire.stub(channel, "GetJob"), self.wire.message("GetJobRequest")(name=job.name)
        while not (job := get(named, timeout=60)).model:
            time.sleep(0.05)
        request = self.wire.message("PredictRequest")(name=job.model)
        cells = request.inputs.add().record.cells
        for column in range(13):
            cells[f"column_{column + 1}"] = "1.5"
        predict, times = self.wire.stub(channel, "Predict"), []
        for _ in range(101):
            began = time.monotonic()
            predict(request, timeout=60)
            times.append(1000 * (time.monotonic() - began))
        starts = server.metrics().split('hone_worker_starts_total{mode="predict"} ')[1].split()[0]
        self.report.line("predictions: processes started for 101 calls", float(starts), "", 1)
        self.report.line("  the first", times[0], "ms")
        self.report.line("  the next 100, p50", percentile(times[1:], 0.5), "ms", 5)
        self.report.line("  p99", percentile(times[1:], 0.99), "ms")
        server.stop()

    def chat(self):
        """A model is asked while nothing else goes on, and then while two jobs of a thread each learn adapters for it."""
        checkpoints = pathlib.Path(os.environ.get("HONE_CHECKPOINT_DIR") or pathlib.Path.home() / ".cache" / "hone" / "checkpoints")
        checkpoint = checkpoints / "smollm2-135m"
        if not (checkpoint / "model.safetensors").exists():
            print(f"the chat is left out: there is no checkpoint {checkpoint} (HONE_CHECKPOINT_DIR)")
            return
        server = Honed(self.honed, self.folder / "chat", "--jobs", 2, "--threads", 2)
        chats = self.folder / "chats.jsonl"
        with chats.open("w", encoding="utf-8") as out:
            for number in range(2000):
                question = {"role": "user", "content": f"What is {number} and {number % 7}?"}
                out.write(json.dumps({"messages": [question, {"role": "assistant", "content": f"It is {number + number % 7}."}]}) + "\n")
        for arguments in (["models", "import", checkpoint], ["data", "put", "chats", chats]):
            subprocess.run([self.options.bin / "hone", *arguments], env=dict(os.environ, HONE_SERVER=server.address), check=True,
                           stdout=subprocess.DEVNULL)
        channel, list_models = self.stub(server, "ListModels")
        base = list_models(self.wire.message("ListModelsRequest")()).models[0].name
        file = self.folder / "chat" / "data" / base / "model.safetensors"
        self.times_of_tokens(channel, base)  # the process starts
        alone = self.times_of_tokens(channel, base)
        starts = server.metrics().split('hone_worker_starts_total{mode="predict"} ')[1].split()[0]
        self.report.line("chat: processes started for two texts", float(starts), "", 1)
        self.report.line("chat: time of a token, alone, p50", percentile(alone, 0.5), "ms")
        self.report.line("  p99", percentile(alone, 0.99), "ms")
        before = memory_of([server.process.pid, *children(server.process.pid)], file)
        names = [self.submit_adapters(channel, base, number) for number in range(2)]
        get, GetJob = self.wire.stub(channel, "GetJob"), self.wire.message("GetJobRequest")
        while any(get(GetJob(name=name), timeout=60).progress.step < 2 for name in names):
            if failed := [job.message for name in names if self.wire.enum_name(job := get(GetJob(name=name)), "state") == "FAILED"]:
                sys.exit(f"a job that was to run beside the chat has failed: {failed[0]}")
            time.sleep(0.2)
        steps = [get(GetJob(name=name), timeout=60).progress.step for name in names]
        began = time.monotonic()
        beside = self.times_of_tokens(channel, base)
        seconds = time.monotonic() - began
        steps = [get(GetJob(name=name), timeout=60).progress.step - step for name, step in zip(names, steps)]
        self.report.line("chat: time of a token beside two jobs, p50", percentile(beside, 0.5), "ms")
        self.report.line("  p99", percentile(beside, 0.99), "ms", 3 * percentile(alone, 0.99))
        self.report.line("  steps of both jobs meanwhile, a second", sum(steps) / seconds, "steps")
        pids = children(server.process.pid)
        memory = memory_of([server.process.pid, *pids], file)
        self.report.line("chat and two jobs: processes that serve or train", len(pids), "", 3, least=True)
        self.report.line("  the base's file", file.stat().st_size / MIB, "MiB")
        self.report.line("  of it mapped, as each process counts it", memory["file Rss"] / MIB, "MiB")
        self.report.line("  of it mapped, shared pages counted once (Pss)", memory["file Pss"] / MIB, "MiB", 1.05 * file.stat().st_size / MIB)
        self.report.line("  memory of all processes (Pss)", memory["Pss"] / MIB, "MiB")
        self.report.line("  of it private to a process", memory["Pss_Anon"] / MIB, "MiB")
        self.report.line("  before the jobs: private to a process", before["Pss_Anon"] / MIB, "MiB")
        server.stop()

    def submit_adapters(self, channel, base, number):
        spec = self.wire.message("JobSpec")(display_name=f"adapters {number}")
        spec.language_modeling.window = 128
        spec.data.dataset = "chats"
        spec.data.chat.SetInParent()
        spec.model.pretrained.model = base
        spec.model.pretrained.lora.rank = 8
        spec.training.steps = 20_000  # hours; all batches are gone through while the run is planned, so not more than is needed
        spec.training.batch_size = 4
        spec.training.threads = 1
        spec.training.seed = number + 1
        return self.wire.stub(channel, "CreateJob")(self.wire.message("CreateJobRequest")(spec=spec), timeout=120).name

    def times_of_tokens(self, channel, model):
        """Milliseconds that each token of a text took; those that came as one piece took the same."""
        request = self.wire.message("GenerateRequest")(name=model)
        request.text.prompt = "Once upon a time there was"
        request.text.count = self.options.tokens
        times, last, tokens = [], None, 0
        for piece in self.wire.stub(channel, "Generate")(request, timeout=1200):
            now, more = time.monotonic(), piece.tokens - tokens
            if last is not None:
                times += [1000 * (now - last) / more] * more
            last, tokens = now, piece.tokens
        return times


def main():
    parser = argparse.ArgumentParser()
    for name in ("bin", "descriptors", "fill_store"):
        parser.add_argument(name, type=pathlib.Path)
    parser.add_argument("--only", nargs="+", default=["idle", "submits", "queue", "watchers", "predictions", "chat", "ghz"])
    parser.add_argument("--submits", type=int, default=2000)
    parser.add_argument("--queued", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--watchers", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--tokens", type=int, default=400)
    parser.add_argument("--counts-only", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hone-load-") as folder:
        load = Load(options, pathlib.Path(folder))
        for part in options.only:
            getattr(load, part)()
    sys.stdout.flush()
    os._exit(load.report.missed > 0)  # past the same thread


if __name__ == "__main__":
    main()
