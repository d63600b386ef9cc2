"""All that a client does with its server, once for the blocking and the asyncio client (_io.py says how)."""
from __future__ import annotations

import contextlib
import time
import uuid
from pathlib import Path
from typing import Any, AsyncGenerator, Callable, Iterable, Optional, Sequence

from hone import _job_file
from hone._convert import convert
from hone._files import ModelFolder, Upload, dataset_id_of, format_of, sha256_of
from hone._io import Io
from hone.errors import FieldProblem, HoneError, JobFileError, ServerUnreachable
from hone.events import Event, event_of, gap_of
from hone.history import History
from hone.predictions import Input, Prediction, TextPiece, input_of, prediction_of, text_piece_of
from hone.resources import Dataset, JobArtifact, JobInfo, ModelInfo, Plan, ServerInfo
from hone.v1 import dataset_service_pb2, job_pb2, model_service_pb2, prediction_pb2, training_service_pb2

Info = Callable[[JobInfo], None]
Sent = Callable[[int, int], None]  # bytes that are sent, and all of them

# How long something is tried again: a call, while the server is away or busy; a stream of events, and an upload, since something has come of it.
_CALL_PATIENCE = 30.0
_FOLLOW_PATIENCE = 300.0
_UPLOAD_PATIENCE = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 2.0
_TRIES_OF_STRANGERS = 4  # where no server has ever answered: the address may be wrong
_PAGE = 1000
_MOST_INPUTS = 256  # of one call
_MODEL_NAME = "models/"


class _Again:
    """When the next try is due, and when it is time to give up."""

    def __init__(self, patience: float):
        self._patience = patience
        self.moved()

    def moved(self) -> None:
        """Something has come of it."""
        self._since = time.monotonic()
        self._pause = _FIRST_PAUSE

    def excuse(self, seconds: float) -> None:
        """Time in which something may have come of it."""
        self._since += seconds

    def pause(self, error: HoneError) -> float:
        """Seconds to wait before the next try; the error itself where there is none."""
        pause = max(self._pause, error.retry_after or 0.0)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        if time.monotonic() + pause > self._since + self._patience:
            raise error
        return pause


class Session:
    def __init__(self, io: Io):
        self._io = io
        self._heard = False  # of the server, ever

    async def close(self) -> None:
        await self._io.close()

    async def call(self, rpc: str, request: Any, *, repeatable: bool = False, timeout: float = 60.0) -> Any:
        """Any RPC with one answer. It is made again while the server asks for it, and, where doing it twice does no harm (`repeatable`), while the server
        cannot be reached, for at most 30 seconds."""
        again = _Again(_CALL_PATIENCE)
        tries = 0
        while True:
            try:
                answer = await self._io.call(rpc, request, timeout)
                self._heard = True
                return answer
            except HoneError as error:
                tries += 1
                lost = isinstance(error, ServerUnreachable)
                if error.retry_after is None and not (lost and repeatable and (self._heard or tries < _TRIES_OF_STRANGERS)):
                    raise
                pause = again.pause(error)
            await self._io.wait(pause)

    # Jobs

    async def submit(self, job: _job_file.JobLike, request_id: str) -> JobInfo:
        request = training_service_pb2.CreateJobRequest(spec=await self._spec(job), request_id=request_id or uuid.uuid4().hex)
        return job_info(await self.call("CreateJob", request, repeatable=True))

    async def plan(self, job: _job_file.JobLike) -> Plan:
        request = training_service_pb2.CreateJobRequest(spec=await self._spec(job), validate_only=True)
        return convert(Plan, (await self.call("CreateJob", request, repeatable=True)).plan)

    async def job(self, name: str) -> JobInfo:
        return job_info(await self.call("GetJob", training_service_pb2.GetJobRequest(name=_full("jobs", name)), repeatable=True))

    async def jobs(self, states: Iterable[str], task: str, labels: dict[str, str], oldest_first: bool) -> AsyncGenerator[JobInfo, None]:
        request = training_service_pb2.ListJobsRequest(page_size=_PAGE, states=states, task=task, labels=labels, oldest_first=oldest_first)
        async for one in self._pages("ListJobs", request, "jobs"):
            yield job_info(one)

    async def change_job(self, rpc: str, name: str) -> JobInfo:
        """CancelJob, PauseJob or ResumeJob."""
        return job_info(await self.call(rpc, getattr(training_service_pb2, f"{rpc}Request")(name=name)))

    async def retry_job(self, name: str, from_start: bool) -> JobInfo:
        request = training_service_pb2.RetryJobRequest(name=name, request_id=uuid.uuid4().hex, from_start=from_start)
        return job_info(await self.call("RetryJob", request, repeatable=True))

    async def delete_job(self, name: str) -> None:
        await self.call("DeleteJob", training_service_pb2.DeleteJobRequest(name=name))

    async def follow(self, name: str, on_info: Info) -> AsyncGenerator[Event, None]:
        """Every event once, in order, over as many streams as it takes; each goes on by the token of the answer before. `on_info` gets the job as it is
        at the begin of each stream and at the end."""
        token = ""
        asked_again = 0  # for the events of a gap that begins with this one
        again = _Again(_FOLLOW_PATIENCE)
        while True:
            request = training_service_pb2.WatchJobRequest(name=name, resume_token=token)
            error = HoneError("UNAVAILABLE", "the server has shut down")
            ended = True
            try:
                async with _closing(self._io.stream("WatchJob", request)) as answers:
                    async for answer in answers:
                        self._heard = True
                        kind = answer.WhichOneof("kind")
                        if kind == "gap" and asked_again != answer.gap.from_sequence:
                            # There was no room for them; there may be some now.
                            asked_again = answer.gap.from_sequence
                            ended = False
                            break
                        again.moved()
                        token = answer.resume_token
                        if kind == "snapshot":
                            on_info(job_info(answer.snapshot))
                        elif kind == "event":
                            yield event_of(answer.event)
                        elif kind == "gap":
                            yield gap_of(answer.gap)
                        elif kind == "goodbye":
                            ended = False
                if ended:
                    break
            except HoneError as broken:
                if broken.retry_after is None and not (self._heard and isinstance(broken, ServerUnreachable)):
                    raise
                error = broken
            await self._io.wait(again.pause(error))
        on_info(await self.job(name))

    async def history(self, name: str, metrics: Iterable[str], max_points: int) -> History:
        request = training_service_pb2.GetMetricHistoryRequest(name=name, max_points=max_points, metrics=metrics)
        answer = await self.call("GetMetricHistory", request, repeatable=True)
        return History(answer.points, answer.total_points)

    async def artifacts(self, name: str) -> list[JobArtifact]:
        request = training_service_pb2.ListArtifactsRequest(name=name, page_size=_PAGE)
        return [convert(JobArtifact, one) async for one in self._pages("ListArtifacts", request, "artifacts")]

    async def artifact(self, name: str, path: str) -> bytes:
        request = training_service_pb2.DownloadArtifactRequest(name=name, path=path)
        async with _closing(self._io.stream("DownloadArtifact", request)) as chunks:
            return b"".join([chunk.data async for chunk in chunks])

    # Models

    async def model(self, name: str) -> ModelInfo:
        """By `models/<id>`, by the id, or by a display name, of which the newest is meant. HoneError NOT_FOUND."""
        try:
            return await self._get_model(_full("models", name))
        except HoneError as error:
            if name.startswith(_MODEL_NAME) or error.code not in ("NOT_FOUND", "INVALID_ARGUMENT"):
                raise
        request = model_service_pb2.ListModelsRequest(display_name=name, page_size=1)
        found = (await self.call("ListModels", request, repeatable=True)).models
        if not found:
            raise HoneError("NOT_FOUND", f"there is no model {_full('models', name)}, and none is called {name}")
        return await self._get_model(found[0].name)

    async def models(self, display_name: str, task: str, job: str) -> AsyncGenerator[ModelInfo, None]:
        request = model_service_pb2.ListModelsRequest(page_size=_PAGE, display_name=display_name, task=task, job=job)
        async for one in self._pages("ListModels", request, "models"):
            yield convert(ModelInfo, one)

    async def delete_model(self, name: str) -> None:
        await self.call("DeleteModel", model_service_pb2.DeleteModelRequest(name=name))

    async def predict(self, model: str, inputs: Sequence[Input], beams: int) -> list[Prediction]:
        name = await self._model_name(model)
        answers: list[Prediction] = []
        for first in range(0, len(inputs), _MOST_INPUTS):
            request = model_service_pb2.PredictRequest(name=name)
            request.inputs.extend(await self._io.work(lambda: [input_of(one, beams) for one in inputs[first:first + _MOST_INPUTS]]))
            answers += map(prediction_of, (await self.call("Predict", request, repeatable=True)).predictions)
        return answers

    async def generate(self, model: str, writing: prediction_pb2.Writing) -> AsyncGenerator[TextPiece, None]:
        request = model_service_pb2.GenerateRequest(name=await self._model_name(model), text=writing)
        async with _closing(self._io.stream("Generate", request)) as pieces:
            async for piece in pieces:
                yield text_piece_of(piece)

    async def draw(self, model: str, drawings: model_service_pb2.GenerateRequest.Drawings) -> AsyncGenerator[bytes, None]:
        request = model_service_pb2.GenerateRequest(name=await self._model_name(model), drawings=drawings)
        async with _closing(self._io.stream("Generate", request)) as pictures:
            async for picture in pictures:
                yield picture.picture

    async def export(self, model: str, folder: Path) -> ModelInfo:
        info = await self.model(model)
        with await self._io.work(ModelFolder, folder) as files:
            async with _closing(self._io.stream("DownloadModel", model_service_pb2.DownloadModelRequest(name=info.name))) as chunks:
                async for chunk in chunks:
                    await self._io.work(files.take, chunk)
            await self._io.work(files.finish)
        return info

    # Data sets

    async def upload(self, path: Path, name: Optional[str], on_sent: Optional[Sent]) -> Dataset:
        """Without a name: a data set of the server with the bytes of this file, which is sent where there is none."""
        kind = format_of(path)
        sha256 = await self._io.work(sha256_of, path)
        if name is None:
            same = dataset_service_pb2.ListDatasetsRequest(sha256=sha256, formats=[kind], page_size=1)
            for known in (await self.call("ListDatasets", same, repeatable=True)).datasets:
                return convert(Dataset, known)
        header = dataset_service_pb2.UploadHeader(
            dataset_id=name or dataset_id_of(path, sha256), format=kind, bytes=path.stat().st_size, sha256=sha256)
        return await self._put(path, header, on_sent)

    async def _put(self, path: Path, header: dataset_service_pb2.UploadHeader, on_sent: Optional[Sent]) -> Dataset:
        """Sends a file. After a cut it asks how far the server got and goes on from there."""
        again = _Again(_UPLOAD_PATIENCE)
        furthest = 0
        while True:
            header.offset = 0
            begun = await self.call("BeginUpload", dataset_service_pb2.BeginUploadRequest(header=header), repeatable=True)
            if begun.HasField("dataset"):
                return convert(Dataset, begun.dataset)
            header.offset = begun.offset
            if begun.offset > furthest:
                furthest = begun.offset
                again.moved()
            upload = Upload(path, header, on_sent)
            opened = time.monotonic()
            try:
                return convert(Dataset, await self._io.call("UploadDataset", iter(upload), None))
            except HoneError as error:
                if upload.error is not None:
                    raise upload.error from None
                # ABORTED: the server still takes an older stream for alive.
                if error.retry_after is None and error.code != "ABORTED" and not isinstance(error, ServerUnreachable):
                    raise
                # Where all of it is there, the stream waits for the server to check it.
                if begun.offset < header.bytes:
                    again.excuse(time.monotonic() - opened)
                pause = again.pause(error)
            await self._io.wait(pause)

    async def dataset(self, name: str) -> Dataset:
        request = dataset_service_pb2.GetDatasetRequest(name=_full("datasets", name))
        return convert(Dataset, await self.call("GetDataset", request, repeatable=True))

    async def datasets(self) -> AsyncGenerator[Dataset, None]:
        async for one in self._pages("ListDatasets", dataset_service_pb2.ListDatasetsRequest(page_size=_PAGE), "datasets"):
            yield convert(Dataset, one)

    async def delete_dataset(self, name: str, force: bool) -> None:
        await self.call("DeleteDataset", dataset_service_pb2.DeleteDatasetRequest(name=_full("datasets", name), force=force))

    async def server_info(self) -> ServerInfo:
        return convert(ServerInfo, await self.call("GetServerInfo", training_service_pb2.GetServerInfoRequest(), repeatable=True))

    # Parts of the above

    async def _spec(self, job: _job_file.JobLike) -> job_pb2.JobSpec:
        """What the server is asked for. A file that `data.path` names is there as a data set then."""
        local = await self._io.work(_job_file.read_job, job)
        await self._name_models(local.spec)
        if local.data is not None:
            local.spec.data.dataset = (await self.upload(local.data, None, None)).id
        return local.spec

    async def _pages(self, rpc: str, request: Any, items: str) -> AsyncGenerator[Any, None]:
        while True:
            page = await self.call(rpc, request, repeatable=True)
            for one in getattr(page, items):
                yield one
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def _get_model(self, name: str) -> ModelInfo:
        return convert(ModelInfo, await self.call("GetModel", model_service_pb2.GetModelRequest(name=name), repeatable=True))

    async def _model_name(self, model: str) -> str:
        return model if model.startswith(_MODEL_NAME) else (await self.model(model)).name

    async def _name_models(self, spec: Any) -> None:
        """Puts `models/<id>` in the place of the names that the job gives its earlier model, its classifier and the models that it measures."""
        places = (
            ("model.pretrained", "model", spec.model.pretrained),
            ("image_generation.evaluation", "classifier", spec.image_generation.evaluation),
            ("evaluation", "model", spec.evaluation),
            ("evaluation", "against", spec.evaluation),
        )
        for path, field, message in places:
            name = getattr(message, field)
            if not name:
                continue
            try:
                setattr(message, field, await self._model_name(name))
            except HoneError as error:
                if error.code != "NOT_FOUND":
                    raise
                raise JobFileError([FieldProblem(f"{path}.{field}", error.message)]) from None


def job_info(message: Any) -> JobInfo:
    return convert(JobInfo, message)


def _full(kind: str, name: str) -> str:
    """`jobs/<id>` of an id."""
    return name if name.startswith(f"{kind}/") else f"{kind}/{name}"


@contextlib.asynccontextmanager
async def _closing(answers: AsyncGenerator[Any, None]) -> AsyncGenerator[AsyncGenerator[Any, None], None]:
    """contextlib.aclosing, which Python 3.9 does not have."""
    try:
        yield answers
    finally:
        await answers.aclose()
