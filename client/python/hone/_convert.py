"""Messages of the wire as dataclasses. A dataclass names the fields that it takes as the message does; the types in it say how each is read."""
from __future__ import annotations

import dataclasses
import functools
from datetime import datetime, timezone
from typing import Any, Callable, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

T = TypeVar("T")


def convert(cls: type[T], message: Any, **others: Any) -> T:
    """`cls` with the message's fields of the same names; `others` are fields that the message does not have."""
    made: Any = cls
    return cast(T, made(**{name: read(message) for name, read in _readers(made) if name not in others}, **others))


def enum_name(message: Any, name: str) -> str:
    """Of an enum's value: "" of 0, the number of one that this version does not know."""
    number = getattr(message, name)
    value = message.DESCRIPTOR.fields_by_name[name].enum_type.values_by_number.get(number)
    return "" if number == 0 else value.name if value else str(number)


def to_dict(message: Any) -> dict[str, Any]:
    """The message as a job file has it."""
    return _with_numbers(json_format.MessageToDict(message, preserving_proto_field_name=True), message.DESCRIPTOR)


def _with_numbers(values: dict[str, Any], descriptor: Any) -> dict[str, Any]:
    """Protobuf's JSON has whole numbers of 64 bits as text."""
    for name, value in values.items():
        field = descriptor.fields_by_name[name]
        if field.cpp_type in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64):
            values[name] = [int(one) for one in value] if isinstance(value, list) else int(value)
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for one in value if isinstance(value, list) else [value]:
                _with_numbers(one, field.message_type)
    return values


@functools.lru_cache(maxsize=None)
def _readers(cls: Any) -> list[tuple[str, Callable[[Any], Any]]]:
    hints = get_type_hints(cls)
    return [(field.name, _reader(field.name, hints[field.name])) for field in dataclasses.fields(cls)]


def _reader(name: str, hint: Any) -> Callable[[Any], Any]:
    """By the type of the field, one of: list[…], dict[…], Optional[…], a dataclass, str, a number. An Optional is None where the field is not set."""
    if get_origin(hint) is Union:
        read = _reader(name, get_args(hint)[0])
        return lambda message: read(message) if message.HasField(name) else None
    if get_origin(hint) is list:
        item = get_args(hint)[0]
        if _is_dataclass(item):
            return lambda message: [convert(item, one) for one in getattr(message, name)]
        return lambda message: list(getattr(message, name))
    if hint == dict[str, Any]:
        return lambda message: to_dict(getattr(message, name))
    if get_origin(hint) is dict:
        return lambda message: dict(getattr(message, name))
    if _is_dataclass(hint):
        return lambda message: convert(hint, getattr(message, name))
    if hint is datetime:
        return lambda message: getattr(message, name).ToDatetime(tzinfo=timezone.utc)
    if hint is str:
        return lambda message: _text(message, name)
    return lambda message: getattr(message, name)


def _is_dataclass(hint: Any) -> bool:
    return dataclasses.is_dataclass(hint)


def _text(message: Any, name: str) -> str:
    value = getattr(message, name)
    return value if isinstance(value, str) else enum_name(message, name)
