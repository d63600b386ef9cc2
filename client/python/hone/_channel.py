"""The way to the server: its address, TLS and the token, and a callable for each RPC."""
from __future__ import annotations

import ipaddress
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional, Union

import grpc
from google.protobuf import descriptor_pb2, message_factory

from hone.v1 import dataset_service_pb2, model_service_pb2, project_pb2, sweep_pb2, training_service_pb2

DEFAULT_PORT = 50051
# As the command line's: a server that was away is looked for again soon, one that is gone without a word is noticed by its silence, and a job of a thousand
# classes has a confusion matrix of a million counts.
_OPTIONS = (
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
)
_SERVICES = (
    training_service_pb2.DESCRIPTOR.services_by_name["TrainingService"],
    model_service_pb2.DESCRIPTOR.services_by_name["ModelService"],
    dataset_service_pb2.DESCRIPTOR.services_by_name["DatasetService"],
    sweep_pb2.DESCRIPTOR.services_by_name["SweepService"],
    project_pb2.DESCRIPTOR.services_by_name["ProjectService"],
)


@dataclass(frozen=True)
class TLS:
    """How the server proves who it is, and how this client does. Files are PEM.

    `ca` has the authorities that are trusted, instead of the system's. `certificate` and `key` are the client's own, for a server that asks for one.
    """

    ca: Union[str, Path, None] = None
    certificate: Union[str, Path, None] = None
    key: Union[str, Path, None] = None


@dataclass(frozen=True)
class Target:
    """A server, checked."""

    address: str
    credentials: Optional[grpc.ChannelCredentials]  # None: plain text
    metadata: tuple[tuple[str, str], ...] = field(repr=False)  # of every call; the token is in it
    options: tuple[tuple[str, int], ...]  # of the channel


def target(server: Optional[str], token: Optional[str], tls: Union[bool, TLS], project: Optional[str] = None) -> Target:
    """ValueError: a token that would be sent in plain text to another machine, or cannot be one, as a project; a certificate without its key. OSError: a file that
    cannot be read."""
    address = server or os.environ.get("HONE_SERVER") or f"127.0.0.1:{DEFAULT_PORT}"
    if ":" not in address:
        address = f"{address}:{DEFAULT_PORT}"
    loopback = _is_loopback(address)
    if token and not tls and not loopback:
        raise ValueError(f"a token would be sent to {address} in plain text, where others can read it; give `tls` too (True for the system's authorities)")
    # Else gRPC would say what is wrong at each call, and the token with it.
    if token and not all("!" <= character <= "~" for character in token):
        raise ValueError("the token must be printable ASCII characters without spaces or ends of lines, as `honed token create` has printed it")
    credentials = _credentials(TLS() if tls is True else tls) if tls else None
    project = project or os.environ.get("HONE_PROJECT")
    if project and not all("!" <= character <= "~" for character in project):
        raise ValueError("the project must be 1 to 64 letters, digits, '-', '_' or '.'")
    metadata = (*((("authorization", f"Bearer {token}"),) if token else ()), *((("hone-project", project),) if project else ()))
    # A proxy of the environment would be asked for this machine, too.
    return Target(address, credentials, metadata, (*_OPTIONS, ("grpc.enable_http_proxy", 0)) if loopback else _OPTIONS)


def open_channel(library: Any, to: Target) -> Any:
    """Of grpc, or of grpc.aio. It does not connect yet."""
    if to.credentials is None:
        return library.insecure_channel(to.address, to.options)
    return library.secure_channel(to.address, to.credentials, to.options)


def stubs(channel: Any) -> dict[str, Callable[..., Any]]:
    """By the names of the RPCs; of a channel of grpc or of grpc.aio."""
    made = {}
    for service in _SERVICES:
        description = descriptor_pb2.ServiceDescriptorProto()
        service.CopyToProto(description)
        for method, said in zip(service.methods, description.method):
            kind = f"{'stream' if said.client_streaming else 'unary'}_{'stream' if said.server_streaming else 'unary'}"
            made[method.name] = getattr(channel, kind)(
                f"/{service.full_name}/{method.name}",
                request_serializer=lambda request: request.SerializeToString(),
                response_deserializer=message_factory.GetMessageClass(method.output_type).FromString)
    return made


def _is_loopback(address: str) -> bool:
    if address.startswith("unix:"):
        return True
    host = address.rsplit(":", 1)[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _credentials(tls: TLS) -> grpc.ChannelCredentials:
    if (tls.certificate is None) != (tls.key is None):
        raise ValueError("tls: give both `certificate` and `key`, or neither")
    return grpc.ssl_channel_credentials(
        root_certificates=Path(tls.ca).read_bytes() if tls.ca is not None else _system_authorities(),
        private_key=Path(tls.key).read_bytes() if tls.key is not None else None,
        certificate_chain=Path(tls.certificate).read_bytes() if tls.certificate is not None else None)


def _system_authorities() -> Optional[bytes]:
    """None where Python finds none: then gRPC takes those that it brings along."""
    known = ssl.create_default_context().get_ca_certs(binary_form=True)
    return "".join(map(ssl.DER_cert_to_PEM_cert, known)).encode() or None
