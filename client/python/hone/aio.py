"""The client for asyncio, the twin of client.py: the same names, to be awaited, or to be read with `async for`."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any, AsyncGenerator, Iterable, Mapping, Optional, Sequence, Union

from hone._channel import TLS, target
from hone._display import Display
from hone._io import AsyncioIo
from hone._job_file import JobLike
from hone._requests import Messages, drawings_of, writing_of
from hone._session import Sent, Session
from hone.client import Client, Job, Model, model_name
from hone.events import Event
from hone.history import History
from hone.predictions import Input, Prediction, TextPiece
from hone.resources import Dataset, JobArtifact, JobInfo, ModelInfo, Plan, ServerInfo


class AsyncClient:
    """The twin of Client, for one event loop."""

    def __init__(self, server: Optional[str] = None, token: Optional[str] = None, tls: Union[bool, TLS] = False, *,
                 project: Optional[str] = None):
        self._session = Session(AsyncioIo(target(server, token, tls, project)))

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close()

    async def close(self) -> None:
        await self._session.close()

    async def server_info(self) -> ServerInfo:
        return await self._session.server_info()

    async def call(self, rpc: str, request: Any, *, repeatable: bool = False, timeout: float = 60.0) -> Any:
        return await self._session.call(rpc, request, repeatable=repeatable, timeout=timeout)

    async def submit(self, job: JobLike, *, request_id: str = "") -> AsyncJob:
        return AsyncJob(self, await self._session.submit(job, request_id))

    async def plan(self, job: JobLike) -> Plan:
        return await self._session.plan(job)

    async def job(self, name: str) -> AsyncJob:
        return AsyncJob(self, await self._session.job(name))

    async def jobs(self, *, states: Iterable[str] = (), task: str = "", labels: Optional[Mapping[str, str]] = None,
             oldest_first: bool = False) -> AsyncGenerator[AsyncJob, None]:
        async for info in self._session.jobs(states, task, dict(labels or {}), oldest_first):
            yield AsyncJob(self, info)

    async def upload(self, path: Union[str, os.PathLike[str]], name: Optional[str] = None, *, on_sent: Optional[Sent] = None) -> Dataset:
        return await self._session.upload(Path(path), name, on_sent)

    async def dataset(self, name: str) -> Dataset:
        return await self._session.dataset(name)

    def datasets(self) -> AsyncGenerator[Dataset, None]:
        return self._session.datasets()

    async def delete_dataset(self, name: str, *, force: bool = False) -> None:
        await self._session.delete_dataset(name, force)

    async def model(self, name: str) -> AsyncModel:
        return AsyncModel(self, await self._session.model(name))

    async def models(self, *, display_name: str = "", task: str = "", job: str = "") -> AsyncGenerator[AsyncModel, None]:
        async for info in self._session.models(display_name, task, job):
            yield AsyncModel(self, info)

    async def predict(self, model: str, *inputs: Input, beams: int = 0) -> list[Prediction]:
        return await self._session.predict(model, inputs, beams)

    def generate(self, model: str, prompt: str = "", *, messages: Messages = (), count: int = 500, temperature: Optional[float] = None, top_k: int = 0,
                 top_p: Optional[float] = None, repetition_penalty: Optional[float] = None, seed: Optional[int] = None,
                 stop: Sequence[str] = ()) -> AsyncGenerator[TextPiece, None]:
        return self._session.generate(model, writing_of(prompt, messages, count, temperature, top_k, top_p, repetition_penalty, seed, stop))

    def draw(self, model: str, count: int = 64, *, seed: Optional[int] = None, class_name: str = "",
             to_seed: Optional[int] = None) -> AsyncGenerator[bytes, None]:
        return self._session.draw(model, drawings_of(count, seed, class_name, to_seed))

    async def export(self, model: str, folder: Union[str, os.PathLike[str]]) -> ModelInfo:
        return await self._session.export(model, Path(folder))


class AsyncJob:
    """The twin of Job."""

    def __init__(self, client: AsyncClient, info: JobInfo):
        self.info = info
        self._client = client
        self._session = client._session

    def __repr__(self) -> str:
        return f"<AsyncJob {self.info.name} {self.info.display_name!r} {self.info.state}>"

    @property
    def name(self) -> str:
        return self.info.name

    async def refresh(self) -> JobInfo:
        return self._set(await self._session.job(self.name))

    def follow(self) -> AsyncGenerator[Event, None]:
        return self._session.follow(self.name, self._take)

    async def wait(self) -> JobInfo:
        async for _ in self.follow():
            pass
        return self.info

    async def show(self) -> JobInfo:
        display = Display(self.info)
        async for event in self.follow():
            display.take(event)
        display.finish(self.info)
        return self.info

    async def history(self, metrics: Iterable[str] = (), *, max_points: int = 0) -> History:
        return await self._session.history(self.name, metrics, max_points)

    async def cancel(self) -> JobInfo:
        return self._set(await self._session.change_job("CancelJob", self.name))

    async def pause(self) -> JobInfo:
        return self._set(await self._session.change_job("PauseJob", self.name))

    async def resume(self) -> JobInfo:
        return self._set(await self._session.change_job("ResumeJob", self.name))

    async def retry(self, *, from_start: bool = False) -> AsyncJob:
        return AsyncJob(self._client, await self._session.retry_job(self.name, from_start))

    async def delete(self) -> None:
        await self._session.delete_job(self.name)

    async def artifacts(self) -> list[JobArtifact]:
        return await self._session.artifacts(self.name)

    async def artifact(self, path: str) -> bytes:
        return await self._session.artifact(self.name, path)

    async def model(self) -> AsyncModel:
        return await self._client.model(model_name(await self.refresh()))

    def _take(self, info: JobInfo) -> None:
        self.info = info

    def _set(self, info: JobInfo) -> JobInfo:
        self.info = info
        return info


class AsyncModel:
    """The twin of Model."""

    def __init__(self, client: AsyncClient, info: ModelInfo):
        self.info = info
        self._client = client

    def __repr__(self) -> str:
        return f"<AsyncModel {self.info.name} {self.info.display_name!r} {self.info.task}>"

    @property
    def name(self) -> str:
        return self.info.name

    async def predict(self, *inputs: Input, beams: int = 0) -> list[Prediction]:
        return await self._client.predict(self.name, *inputs, beams=beams)

    def generate(self, prompt: str = "", **options: Any) -> AsyncGenerator[TextPiece, None]:
        return self._client.generate(self.name, prompt, **options)

    def draw(self, count: int = 64, **options: Any) -> AsyncGenerator[bytes, None]:
        return self._client.draw(self.name, count, **options)

    async def export(self, folder: Union[str, os.PathLike[str]]) -> ModelInfo:
        return await self._client.export(self.name, folder)

    async def delete(self) -> None:
        await self._client._session.delete_model(self.name)


def _take_over_words() -> None:
    """What is the same is described once: by the twins in client.py."""
    for twin, original in ((AsyncClient, Client), (AsyncJob, Job), (AsyncModel, Model)):
        for name, method in vars(original).items():
            if not name.startswith("_") and method.__doc__:
                vars(twin)[name].__doc__ = method.__doc__


_take_over_words()
