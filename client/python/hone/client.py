"""The blocking client. aio.py has its twin for asyncio."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Generator, Iterable, Mapping, Optional, Sequence, Union

from hone._channel import TLS, target
from hone._display import Display
from hone._io import BlockingIo, iterate, run
from hone._job_file import JobLike
from hone._requests import Messages, drawings_of, writing_of
from hone._session import Sent, Session
from hone.events import Event
from hone.history import History
from hone.predictions import Input, Prediction, TextPiece
from hone.resources import Dataset, JobArtifact, JobInfo, ModelInfo, Plan, ServerInfo


class Client:
    """A client of one server. It connects with its first call; threads may share it. Calls raise HoneError; while the server is too busy, or away for a
    moment, they are made again for up to 30 seconds.

    `server` is host:port, by default HONE_SERVER or 127.0.0.1:50051. `token` is sent with every call (`authorization: Bearer …`), in plain text only to this
    machine itself. `tls=True` trusts the system's authorities; TLS(ca=…, certificate=…, key=…) says others. `project` is for callers who may work in
    several (default: HONE_PROJECT, else the token's).
    """

    def __init__(self, server: Optional[str] = None, token: Optional[str] = None, tls: Union[bool, TLS] = False, *,
                 project: Optional[str] = None):
        self._session = Session(BlockingIo(target(server, token, tls, project)))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        run(self._session.close())

    def server_info(self) -> ServerInfo:
        return run(self._session.server_info())

    def call(self, rpc: str, request: Any, *, repeatable: bool = False, timeout: float = 60.0) -> Any:
        """Any RPC with one answer by its name, with the messages of hone.v1: for what has no method here, such as sweeps. `repeatable`: doing it twice does no
        harm, so it is made again after a broken connection, too. `timeout` is in seconds; an ImportModel may take 660."""
        return run(self._session.call(rpc, request, repeatable=repeatable, timeout=timeout))

    def submit(self, job: JobLike, *, request_id: str = "") -> Job:
        """Queues a job: the path of a job file, a dict in its words, or a hone.v1.JobSpec. The file at `data.path` is uploaded first, unless the server has
        its bytes; models may be given by their display names. The same `request_id` again gives the same job.

        JobFileError: it is not written as a job; HoneError with `problems`: what the server finds wrong.
        """
        return Job(self, run(self._session.submit(job, request_id)))

    def plan(self, job: JobLike) -> Plan:
        """What the job would cost; nothing is stored but its data, which are uploaded as by `submit`."""
        return run(self._session.plan(job))

    def job(self, name: str) -> Job:
        """By `jobs/<id>`, or the id."""
        return Job(self, run(self._session.job(name)))

    def jobs(self, *, states: Iterable[str] = (), task: str = "", labels: Optional[Mapping[str, str]] = None,
             oldest_first: bool = False) -> Generator[Job, None, None]:
        """The server's jobs, the newest first; only those with one of the states, of the task, with all the labels."""
        for info in iterate(self._session.jobs(states, task, dict(labels or {}), oldest_first)):
            yield Job(self, info)

    def upload(self, path: Union[str, os.PathLike[str]], name: Optional[str] = None, *, on_sent: Optional[Sent] = None) -> Dataset:
        """Sends a file; after a cut it goes on where the server got to. With a `name` it is a data set of that name. Without one it is any data set with the
        same bytes; it is sent where there is none. `on_sent` is told the bytes that are sent, and all of them, in a thread of gRPC's."""
        return run(self._session.upload(Path(path), name, on_sent))

    def dataset(self, name: str) -> Dataset:
        return run(self._session.dataset(name))

    def datasets(self) -> Generator[Dataset, None, None]:
        """The newest first."""
        return iterate(self._session.datasets())

    def delete_dataset(self, name: str, *, force: bool = False) -> None:
        """`force`: also where jobs need it."""
        run(self._session.delete_dataset(name, force))

    def model(self, name: str) -> Model:
        """By `models/<id>`, by the id, or by a display name, of which the newest is meant."""
        return Model(self, run(self._session.model(name)))

    def models(self, *, display_name: str = "", task: str = "", job: str = "") -> Generator[Model, None, None]:
        """The server's models, the newest first."""
        for info in iterate(self._session.models(display_name, task, job)):
            yield Model(self, info)

    def predict(self, model: str, *inputs: Input, beams: int = 0) -> list[Prediction]:
        """An answer for each input: texts, pairs of texts, pictures (bytes, or a Path), rows (dicts); see predictions.Input. `beams` is for translations."""
        return run(self._session.predict(model, inputs, beams))

    def generate(self, model: str, prompt: str = "", *, messages: Messages = (), count: int = 500, temperature: Optional[float] = None, top_k: int = 0,
                 top_p: Optional[float] = None, repetition_penalty: Optional[float] = None, seed: Optional[int] = None,
                 stop: Sequence[str] = ()) -> Generator[TextPiece, None, None]:
        """A text, piece by piece, as it is written: what comes behind `prompt`, or, of a model that chats, the answer to `messages`, pairs of a role ("system",
        "user", "assistant") and what it says. At most `count` tokens; the same `seed` writes the same."""
        return iterate(self._session.generate(model, writing_of(prompt, messages, count, temperature, top_k, top_p, repetition_penalty, seed, stop)))

    def draw(self, model: str, count: int = 64, *, seed: Optional[int] = None, class_name: str = "",
             to_seed: Optional[int] = None) -> Generator[bytes, None, None]:
        """PNG files, each as soon as it is drawn. With `to_seed`: the way from the first drawing of `seed` to that of `to_seed`."""
        return iterate(self._session.draw(model, drawings_of(count, seed, class_name, to_seed)))

    def export(self, model: str, folder: Union[str, os.PathLike[str]]) -> ModelInfo:
        """Writes the model's files, whose weights are safetensors, into a new folder, which is there whole or not at all. `hone models export` makes other
        formats of it. FileExistsError: the folder is there."""
        return run(self._session.export(model, Path(folder)))


class Job:
    """A job of a server. `info` is what was last known of it; `refresh` asks again."""

    def __init__(self, client: Client, info: JobInfo):
        self.info = info
        self._client = client
        self._session = client._session

    def __repr__(self) -> str:
        return f"<Job {self.info.name} {self.info.display_name!r} {self.info.state}>"

    @property
    def name(self) -> str:
        return self.info.name

    def refresh(self) -> JobInfo:
        return self._set(run(self._session.job(self.name)))

    def follow(self) -> Generator[Event, None, None]:
        """Every event from the first on, once and in order, until the job has ended; also over a server that goes away and comes back, for at most five
        minutes. `info` is up to date at the end. Leaving the loop leaves the job alone."""
        return iterate(self._session.follow(self.name, self._take))

    def wait(self) -> JobInfo:
        """Until the job has ended, however it did: see `state`, `end_reason` and `message`."""
        for _ in self.follow():
            pass
        return self.info

    def show(self) -> JobInfo:
        """As `wait`, with a bar and the curves of the loss in a notebook, a line in a terminal."""
        display = Display(self.info)
        for event in self.follow():
            display.take(event)
        display.finish(self.info)
        return self.info

    def history(self, metrics: Iterable[str] = (), *, max_points: int = 0) -> History:
        """The curves so far as arrays; of these metrics alone, or of all. Thinned to `max_points`, at most 10,000; 0: 1000."""
        return run(self._session.history(self.name, metrics, max_points))

    def cancel(self) -> JobInfo:
        """A job that runs writes a last checkpoint first."""
        return self._set(run(self._session.change_job("CancelJob", self.name)))

    def pause(self) -> JobInfo:
        return self._set(run(self._session.change_job("PauseJob", self.name)))

    def resume(self) -> JobInfo:
        return self._set(run(self._session.change_job("ResumeJob", self.name)))

    def retry(self, *, from_start: bool = False) -> Job:
        """A new job like this one, which failed or was cancelled; from its last checkpoint, unless `from_start`."""
        return Job(self._client, run(self._session.retry_job(self.name, from_start)))

    def delete(self) -> None:
        """Forgets a job that has ended; its model stays."""
        run(self._session.delete_job(self.name))

    def artifacts(self) -> list[JobArtifact]:
        """What it has left beside its model, such as pictures."""
        return run(self._session.artifacts(self.name))

    def artifact(self, path: str) -> bytes:
        return run(self._session.artifact(self.name, path))

    def model(self) -> Model:
        """What the job has made. LookupError: it has no model, or none yet."""
        return self._client.model(model_name(self.refresh()))

    def _take(self, info: JobInfo) -> None:
        self.info = info

    def _set(self, info: JobInfo) -> JobInfo:
        self.info = info
        return info


class Model:
    """A model of a server."""

    def __init__(self, client: Client, info: ModelInfo):
        self.info = info
        self._client = client

    def __repr__(self) -> str:
        return f"<Model {self.info.name} {self.info.display_name!r} {self.info.task}>"

    @property
    def name(self) -> str:
        return self.info.name

    def predict(self, *inputs: Input, beams: int = 0) -> list[Prediction]:
        """See Client.predict."""
        return self._client.predict(self.name, *inputs, beams=beams)

    def generate(self, prompt: str = "", **options: Any) -> Generator[TextPiece, None, None]:
        """See Client.generate, which takes the same options."""
        return self._client.generate(self.name, prompt, **options)

    def draw(self, count: int = 64, **options: Any) -> Generator[bytes, None, None]:
        """See Client.draw, which takes the same options."""
        return self._client.draw(self.name, count, **options)

    def export(self, folder: Union[str, os.PathLike[str]]) -> ModelInfo:
        """See Client.export."""
        return self._client.export(self.name, folder)

    def delete(self) -> None:
        """Forgets the model and removes its files on the server."""
        run(self._client._session.delete_model(self.name))


def model_name(info: JobInfo) -> str:
    if not info.model:
        raise LookupError(f"{info.name} has no model: it is {info.state}{': ' + info.message if info.message else ''}")
    return info.model
