"""What the server keeps, as it was when it was asked: jobs, models, data sets."""
from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Optional

ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")


@dataclass(frozen=True)
class Layer:
    """A row of the layer table."""

    name: str
    kind: str
    role: str  # INPUT, HIDDEN, OUTPUT
    output_shape: list[int]  # of one example
    weights: int
    biases: int
    trainable: bool
    share: float  # of all parameters, 0 to 1
    inputs: list[str]
    forward_flops: float


@dataclass(frozen=True)
class Plan:
    """What a job costs, known before it runs."""

    layers: list[Layer]
    depth: int
    parameters: int
    trainable_parameters: int
    frozen_parameters: int
    forward_flops_per_example: float
    training_flops_per_example: float
    batch_size: int
    steps_per_epoch: int
    total_steps: int
    train_examples: int
    validation_examples: int
    test_examples: int
    threads: int
    shards: int
    precision: str
    peak_memory_bytes: int
    checkpoint_bytes: int
    seconds: Optional[float]  # of the whole job; None: not measured
    step_seconds: Optional[float]


@dataclass(frozen=True)
class ClassReport:
    name: str
    precision: float
    recall: float
    f1: float
    examples: int


@dataclass(frozen=True)
class Comparison:
    """Two models on the same examples."""

    other_metrics: dict[str, float]
    examples: int
    both_right: int
    only_first: int
    only_second: int
    both_wrong: int
    p_value: Optional[float]
    difference: float
    low: float
    high: float
    verdict: str


@dataclass(frozen=True)
class Evaluation:
    """How good a model is, measured when its training has ended."""

    split: str
    metrics: dict[str, float]
    classes: list[ClassReport]
    confusion: list[int]  # [i * n + j]: examples of class i that were taken for class j
    fit_verdict: str  # "", "overfitting", "underfitting"
    fit_reason: str
    comparison: Optional[Comparison]


@dataclass(frozen=True)
class Progress:
    step: int
    total_steps: int
    epoch: float
    samples: int
    active_seconds: float
    eta_seconds: float
    phase: str


@dataclass(frozen=True)
class JobInfo:
    """A job as the server kept it when it was asked. proto/hone/v1/job_resource.proto describes the fields."""

    name: str
    display_name: str
    spec: dict[str, Any]  # as it was sent, in the words of a job file
    resolved_spec: dict[str, Any]  # with every default written out; {} in lists
    labels: dict[str, str]
    priority: int
    state: str  # QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED, CANCELLING, PAUSING, PAUSED
    end_reason: str  # "" before the end
    message: str
    attempt: int
    queue_position: int
    threads: int
    create_time: Optional[datetime]
    start_time: Optional[datetime]
    end_time: Optional[datetime]
    progress: Progress
    metrics: dict[str, float]  # the latest value of each
    evaluation: Optional[Evaluation]
    model: str  # `models/<id>`, or ""
    plan: Optional[Plan]
    last_sequence: int
    retry_of: str
    failures: int
    retries: int
    queue_eta_seconds: Optional[float]

    @property
    def ended(self) -> bool:
        return self.state in ENDED


@dataclass(frozen=True)
class ModelFile:
    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ModelInfo:
    name: str
    display_name: str
    job: str
    task: str
    create_time: Optional[datetime]
    bytes: int
    files: list[ModelFile]
    evaluation: Optional[Evaluation]
    plan: Optional[Plan]
    pinned: bool
    archive_sha256: str


@dataclass(frozen=True)
class Dataset:
    name: str
    format: str  # CSV, CSV_GZ, TAR, TAR_GZ, JSONL, JSONL_GZ, TEXT, TEXT_GZ
    bytes: int
    sha256: str
    create_time: Optional[datetime]

    @property
    def id(self) -> str:
        """What a job says as `data.dataset`."""
        return self.name[len("datasets/"):]


@dataclass(frozen=True)
class JobArtifact:
    """A file that a job has left beside its model."""

    path: str
    bytes: int
    update_time: Optional[datetime]


@dataclass(frozen=True)
class ServerInfo:
    version: str
    engine: str
    cpu: str
    threads: int
    cpu_quota_cores: float
    concurrent_jobs: int
    threads_per_job: int
    capabilities: list[str]
    memory_bytes: int
