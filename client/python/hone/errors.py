"""What can go wrong: HoneError and its kinds for calls, JobFileError for jobs that are not written as they should be."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional, Sequence

from hone.rpc import status_pb2

# Codes of gRPC that another try may mend, where no server has answered: one that dies in the middle of an answer is not always UNAVAILABLE.
_BROKEN_LINE = {"UNAVAILABLE", "UNKNOWN", "INTERNAL", "CANCELLED"}


@dataclass(frozen=True)
class FieldProblem:
    """A field that is wrong, by its path in the job file, and what would be right."""

    field: str
    what: str

    def __str__(self) -> str:
        return f"{self.field}: {self.what}" if self.field else self.what


class HoneError(Exception):
    """A call that failed. Its text has a line for each wrong field.

    `code` is gRPC's, such as "NOT_FOUND"; `reason` is the server's for programs, such as "QUEUE_FULL", or ""; `problems` are the wrong fields of an
    INVALID_ARGUMENT; `retry_after` is the time in seconds after which the server wants to be asked again, if it said so.
    """

    def __init__(self, code: str, message: str, *, reason: str = "", problems: Sequence[FieldProblem] = (), retry_after: Optional[float] = None):
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        self.problems = list(problems)
        self.retry_after = retry_after

    def __str__(self) -> str:
        named = [str(problem) for problem in self.problems if problem.what not in self.message]
        return "\n".join([f"{self.code}: {self.message}", *named])


class ServerUnreachable(HoneError):
    """No answer: the server could not be reached, or the connection broke."""


class JobFileError(ValueError):
    """A job that is not written as it should be; nothing was sent. `problems` has all that was found."""

    def __init__(self, problems: Sequence[FieldProblem]):
        super().__init__("\n".join(map(str, problems)))
        self.problems = list(problems)


def from_rpc(error: Any) -> HoneError:
    """Of a grpc.RpcError, of a blocking call or of one of asyncio. A server's answer always has details, an error of gRPC's own never."""
    code, message = error.code().name, error.details() or ""
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    if not details:
        return (ServerUnreachable if code in _BROKEN_LINE else HoneError)(code, message)
    found = HoneError(code, message)
    for detail in status_pb2.Status.FromString(details).details:
        kind = detail.type_url.rsplit("/", 1)[-1]
        if kind == "google.rpc.BadRequest":
            bad = status_pb2.BadRequest.FromString(detail.value)
            found.problems += [FieldProblem(one.field, one.description) for one in bad.field_violations]
        elif kind == "google.rpc.RetryInfo":
            delay = status_pb2.RetryInfo.FromString(detail.value).retry_delay
            found.retry_after = delay.seconds + delay.nanos / 1e9
        elif kind == "google.rpc.ErrorInfo":
            found.reason = status_pb2.ErrorInfo.FromString(detail.value).reason
    return found
