"""What generate and draw ask for, as messages. What is None has the server's default."""
from __future__ import annotations

from typing import Any, Optional, Sequence

from hone.v1 import model_service_pb2, prediction_pb2

Messages = Sequence["tuple[str, str]"]  # (role, content)


def writing_of(prompt: str, messages: Messages, count: int, temperature: Optional[float], top_k: int, top_p: Optional[float],
               repetition_penalty: Optional[float], seed: Optional[int], stop: Sequence[str]) -> prediction_pb2.Writing:
    if isinstance(stop, str):
        raise TypeError("stop must be a list of texts, got one text")
    options: dict[str, Any] = {"temperature": temperature, "top_p": top_p, "repetition_penalty": repetition_penalty, "seed": seed}
    return prediction_pb2.Writing(
        prompt=prompt, messages=[prediction_pb2.Writing.Message(role=role, content=content) for role, content in messages], count=count, top_k=top_k,
        stop=stop, **{name: value for name, value in options.items() if value is not None})


def drawings_of(count: int, seed: Optional[int], class_name: str, to_seed: Optional[int]) -> model_service_pb2.GenerateRequest.Drawings:
    options: dict[str, Any] = {"count": count, "seed": seed, "class": class_name, "to_seed": to_seed}
    return model_service_pb2.GenerateRequest.Drawings(**{name: value for name, value in options.items() if value is not None})
