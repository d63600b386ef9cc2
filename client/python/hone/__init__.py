"""The client of Hone, a service that trains neural networks on CPUs.

    client = hone.Client("127.0.0.1:50051")
    job = client.submit("wine.yaml")
    for event in job.follow():
        print(event)
    print(job.history()["loss"])

`Client` blocks, `AsyncClient` is its twin for asyncio. The messages of the wire are in hone.v1.
"""
from hone._channel import TLS
from hone._job_file import load_job
from hone.aio import AsyncClient, AsyncJob, AsyncModel
from hone.client import Client, Job, Model
from hone.errors import FieldProblem, HoneError, JobFileError, ServerUnreachable
from hone.events import (ArtifactWritten, CheckpointWritten, DataReport, Evaluated, Event, Gap, LayerStatistics, Log, Metrics, Started,
                         StateChange)
from hone.history import History
from hone.predictions import TextPiece
from hone.resources import Dataset, Evaluation, JobInfo, ModelInfo, Plan, ServerInfo

__all__ = [
    "ArtifactWritten", "AsyncClient", "AsyncJob", "AsyncModel", "CheckpointWritten", "Client", "DataReport", "Dataset", "Evaluated", "Evaluation",
    "Event", "FieldProblem", "Gap", "History", "HoneError", "Job", "JobFileError", "JobInfo", "LayerStatistics", "Log", "Metrics", "Model", "ModelInfo",
    "Plan", "ServerInfo", "ServerUnreachable", "Started", "StateChange", "TLS", "TextPiece", "load_job",
]
