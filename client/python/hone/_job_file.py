"""A job as a dict or a file, in the words of a job file, as a hone.v1.JobSpec. What only the server can judge is not judged here."""
from __future__ import annotations

import difflib
import json
import operator
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Optional, Union

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

from hone.errors import FieldProblem, JobFileError
from hone.v1 import job_pb2

# What `submit` takes: the path of a job file (JSON, or YAML with PyYAML), a job in the words of a job file, or the message of the wire.
JobLike = Union[str, "os.PathLike[str]", Mapping[str, Any], job_pb2.JobSpec]

_INTEGERS = (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64)
_FLOATS = (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE)
# Where a job file may have a `path`, a place on this machine, and what a server takes instead of it.
_PLACES = {
    "data": "dataset",
    "model.pretrained": "model",
    "image_generation.evaluation": "classifier",
    "reinforcement_learning.maze": "text",
}


@dataclass
class LocalJob:
    spec: job_pb2.JobSpec
    data: Optional[Path] = None  # `data.path`, whose file the server is to have first


class _Problems(list[FieldProblem]):
    def add(self, path: str, what: str) -> None:
        self.append(FieldProblem(path, what))

    def check(self) -> None:
        if self:
            raise JobFileError(self)


def load_job(path: Union[str, "os.PathLike[str]"]) -> dict[str, Any]:
    """The job of a file, JSON or YAML, as a dict, to be changed before it is submitted.

    JobFileError: it is not written as a job, or is YAML and PyYAML is not installed. OSError: it cannot be read.
    """
    text = Path(path).read_text(encoding="utf-8")
    try:
        found = json.loads(text, object_pairs_hook=_map)
    except json.JSONDecodeError as error:
        found = _load_yaml(path, text, error)
    if isinstance(found, dict) and "axes" in found:
        raise JobFileError([FieldProblem(str(path), "is a sweep file, since it has `axes`: `hone sweep` takes it")])
    problems = _Problems()
    plain = _message(found, job_pb2.JobSpec.DESCRIPTOR, "", problems)
    problems.check()
    plain.setdefault("display_name", Path(path).stem)
    return plain


def read_job(job: JobLike) -> LocalJob:
    """JobFileError with all that is wrong. OSError: a file that it names cannot be read."""
    if isinstance(job, job_pb2.JobSpec):
        return LocalJob(job)
    problems = _Problems()
    plain = _message(job if isinstance(job, Mapping) else load_job(job), job_pb2.JobSpec.DESCRIPTOR, "", problems)
    problems.check()
    data = _take_places(plain, problems)
    problems.check()
    spec = job_pb2.JobSpec()
    try:
        json_format.ParseDict(plain, spec)
    except json_format.ParseError as error:
        raise JobFileError([FieldProblem("", str(error))]) from None
    return LocalJob(spec, data)


def _take_places(plain: dict[str, Any], problems: _Problems) -> Optional[Path]:
    """Takes the places of this machine out of the job. A maze comes in as its text; the file of the data is for the caller; a folder no server can have."""
    data = None
    for place, instead in _PLACES.items():
        there: Any = plain
        for name in place.split("."):
            there = there.get(name, {})
        if "path" not in there:
            continue
        path = there.pop("path")
        if instead in there:
            problems.add(place, f"must have either `{instead}` or `path`, got both")
        elif place == "data":
            data = Path(path)
        elif instead == "text":
            there["text"] = Path(path).read_text(encoding="utf-8")
        else:
            problems.add(f"{place}.path", f"is a folder of this machine; a server takes `{place}.{instead}`, one of its own")
    return data


def _load_yaml(path: Any, text: str, not_json: json.JSONDecodeError) -> Any:
    try:
        import yaml
    except ImportError:
        raise JobFileError([FieldProblem(
            str(path), f"is no JSON ({not_json}); for YAML install PyYAML: pip install 'hone-client[yaml]'")]) from None

    # No types: YAML's would make `no` a false and `1e-3` a text.
    class Loader(yaml.BaseLoader):  # type: ignore[misc, unused-ignore]
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
            return _map([(str(self.construct_object(key)), self.construct_object(value, deep=True)) for key, value in node.value])

    try:
        return yaml.load(text, Loader=Loader)
    except yaml.YAMLError as error:
        raise JobFileError([FieldProblem(str(path), str(error))]) from None


def _map(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise JobFileError([FieldProblem(key, "is given twice")])
        found[key] = value
    return found


def _message(value: Any, descriptor: Any, path: str, problems: _Problems) -> dict[str, Any]:
    """The fields as protobuf's JSON has them, beside the places of this machine."""
    if not isinstance(value, Mapping):
        forgotten = "; write {} for one with default values" if value in (None, "") else ""
        problems.add(path, f"must be a map, got {value!r}{forgotten}")
        return {}
    plain: dict[str, Any] = {}
    for name, item in value.items():
        place = f"{path}.{name}" if path else str(name)
        if name in descriptor.fields_by_name:
            plain[name] = _field(item, descriptor.fields_by_name[name], place, problems)
        elif name == "path" and path in _PLACES:
            plain[name] = os.fspath(item) if isinstance(item, (str, os.PathLike)) else _wrong(item, "a path", place, problems)
        else:
            known = [*descriptor.fields_by_name, *(["path"] if path in _PLACES else [])]
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(known)}" if known else "it has no keys: write {}"
            problems.add(place, f"unknown key; {hint}")
    return plain


def _field(value: Any, of: Any, path: str, problems: _Problems) -> Any:
    if of.message_type is not None and of.message_type.GetOptions().map_entry:
        return {str(key): str(item) for key, item in value.items()} if isinstance(value, Mapping) else _wrong(value, "a map", path, problems)
    if not _is_list(of):
        return _one(value, of, path, problems)
    if isinstance(value, (str, bytes, Mapping)) or not hasattr(value, "__iter__"):
        # One value stands for a list of one.
        return [_one(value, of, path, problems)] if of.message_type is None else _wrong(value, "a list", path, problems)
    return [_one(item, of, f"{path}[{i}]", problems) for i, item in enumerate(value)]


def _one(value: Any, of: Any, path: str, problems: _Problems) -> Any:
    """One value. The words of a YAML file become numbers and truth values."""
    if of.message_type is not None:
        return _message(value, of.message_type, path, problems)
    if of.enum_type is not None:
        known = [name for name, one in of.enum_type.values_by_name.items() if one.number != 0]
        return value if value in known else _wrong(value, f"one of {', '.join(known)}", path, problems)
    if of.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        truth = {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else value
        return truth if isinstance(truth, bool) else _wrong(value, "true or false", path, problems)
    if of.cpp_type in _INTEGERS + _FLOATS:
        return _number(value, of.cpp_type in _INTEGERS, path, problems)
    return value if isinstance(value, str) else _wrong(value, "a text", path, problems)


def _number(value: Any, whole: bool, path: str, problems: _Problems) -> Any:
    try:
        if not isinstance(value, bool):
            return _whole(value) if whole else float(value)
    except (TypeError, ValueError, OverflowError):
        pass
    return _wrong(value, "a whole number" if whole else "a number", path, problems)


def _whole(value: Any) -> int:
    """Of 5, "5", 5.0 or "1e3"."""
    try:
        return int(value) if isinstance(value, str) else operator.index(value)
    except (TypeError, ValueError):
        number = float(value)
    if number != int(number):
        raise ValueError(value)
    return int(number)


def _wrong(value: Any, right: str, path: str, problems: _Problems) -> Any:
    """Adds the problem; None stands in the value's place."""
    problems.add(path, f"must be {right}, got {value!r}")
    return None


def _is_list(of: Any) -> bool:
    # Protobuf 7 has only the first, versions before 6.31 only the second.
    return bool(of.is_repeated) if hasattr(of, "is_repeated") else bool(of.label == FieldDescriptor.LABEL_REPEATED)
