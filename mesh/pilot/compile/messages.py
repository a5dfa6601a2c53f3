"""Small helpers for Envoy's messages, and the way from a message to a prepared resource."""

import hashlib
from collections.abc import Iterable
from datetime import timedelta

from envoy.config.core.v3 import address_pb2, config_source_pb2
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from mesh.model import ObjectKey
from mesh.pilot.types import Resource


def packed(message: Message) -> Any:
    """The message as an `Any`, with the same bytes each time."""
    result = Any()
    result.Pack(message, deterministic=True)
    return result


def seconds(value: float) -> Duration:
    """Seconds as a message, exact to the microsecond."""
    result = Duration()
    result.FromTimedelta(timedelta(seconds=value))
    return result


def number(value: int | None) -> UInt32Value | None:
    """A number where the field tells 0 from nothing."""
    return None if value is None else UInt32Value(value=value)


def flag(value: bool) -> BoolValue:
    """A truth value where the field tells false from nothing."""
    return BoolValue(value=value)


def socket_address(address: str, port: int) -> address_pb2.Address:
    """An address and port."""
    return address_pb2.Address(socket_address=address_pb2.SocketAddress(address=address, port_value=port))


def from_pilot() -> config_source_pb2.ConfigSource:
    """Where Envoy gets routes and endpoints: its stream with Pilot; it waits as long as it takes."""
    return config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(),
        initial_fetch_timeout=Duration(),
        resource_api_version=config_source_pb2.V3,
    )


def wire(message: Message) -> bytes:
    """The message's bytes, the same each time, however its maps are ordered."""
    return message.SerializeToString(deterministic=True)


def field(field_number: int, content: bytes) -> bytes:
    """One entry of a repeated field of messages, on the wire (protobuf encoding, length-delimited)."""
    return varint(field_number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    """Protobuf's base-128 number."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def resource(
    type_url: str,
    name: str,
    payload: bytes,
    *,
    origins: Iterable[ObjectKey] = (),
    waits_for: Iterable[tuple[str, str]] = (),
) -> Resource:
    """A prepared resource; its version is a hash of its bytes."""
    version = hashlib.blake2b(payload, digest_size=8).hexdigest()
    return Resource(name, type_url, version, payload, tuple(dict.fromkeys(origins)), frozenset(waits_for))
