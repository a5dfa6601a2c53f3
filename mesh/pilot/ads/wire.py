"""Bytes of the discovery messages to and from the protocol's values. The only place that knows their layout.

A response is put together from parts that are serialized once: a message's fields may stand in any order and
a repeated field may be written one entry at a time, so the entries of all resources are joined to the rest.
Source: the protobuf encoding; field numbers from `envoy/service/discovery/v3/discovery.proto`.
"""

from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import any_pb2
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError

from mesh.model import Locality, Proxy
from mesh.pilot.ads.messages import DeltaRequest, Request, Response, SotwRequest
from mesh.pilot.types import Resource

RESOURCES = bytes([2 << 3 | 2])  # the tag of field 2, `resources`, in both responses


class BadMessage(ValueError):
    """A client's message that cannot be understood; the text says what is wrong with it."""


def parse_delta(raw: bytes) -> tuple[DeltaRequest, Proxy | None]:
    """Read a `DeltaDiscoveryRequest` and the proxy that it names, if it does. Raises `BadMessage`."""
    message = _parsed(discovery_pb2.DeltaDiscoveryRequest, raw)
    request = DeltaRequest(
        type_url=message.type_url,
        nonce=message.response_nonce,
        error=_words(message.error_detail.message) if message.HasField("error_detail") else None,
        subscribe=tuple(message.resource_names_subscribe),
        unsubscribe=tuple(message.resource_names_unsubscribe),
        initial_versions=dict(message.initial_resource_versions),
    )
    return request, _proxy_of(message)


def parse_sotw(raw: bytes) -> tuple[SotwRequest, Proxy | None]:
    """Read a `DiscoveryRequest` and the proxy that it names, if it does. Raises `BadMessage`."""
    message = _parsed(discovery_pb2.DiscoveryRequest, raw)
    request = SotwRequest(
        type_url=message.type_url,
        nonce=message.response_nonce,
        error=_words(message.error_detail.message) if message.HasField("error_detail") else None,
        names=tuple(message.resource_names),
        version=message.version_info,
    )
    return request, _proxy_of(message)


def parse(raw: bytes, *, sotw: bool) -> tuple[Request, Proxy | None]:
    """Read a request of either form."""
    return parse_sotw(raw) if sotw else parse_delta(raw)


def _words(error: str) -> str:
    """Envoy's words, without the marker that protobuf puts before a message that it prints."""
    return error.replace("goo.gle/debugonly", "").replace("goo.gle/debugstr", "").strip()


def encode_delta(response: Response) -> bytes:
    """A `DeltaDiscoveryResponse`."""
    rest = discovery_pb2.DeltaDiscoveryResponse(
        system_version_info=str(response.version),
        type_url=response.type_url,
        nonce=response.nonce,
        removed_resources=response.removed,
    )
    return b"".join([rest.SerializeToString(), *map(_delta_entry, response.changed)])


def encode_sotw(response: Response) -> bytes:
    """A `DiscoveryResponse`."""
    rest = discovery_pb2.DiscoveryResponse(
        version_info=str(response.version), type_url=response.type_url, nonce=response.nonce
    )
    return b"".join([rest.SerializeToString(), *map(_sotw_entry, response.full)])


def encode(response: Response, *, sotw: bool) -> bytes:
    """The message of either form."""
    return encode_sotw(response) if sotw else encode_delta(response)


def _delta_entry(resource: Resource) -> bytes:
    entry = discovery_pb2.Resource(
        name=resource.name,
        version=resource.version,
        resource=any_pb2.Any(type_url=resource.type_url, value=resource.payload),
    )
    return _field(entry.SerializeToString())


def _sotw_entry(resource: Resource) -> bytes:
    return _field(any_pb2.Any(type_url=resource.type_url, value=resource.payload).SerializeToString())


def _field(body: bytes) -> bytes:
    return RESOURCES + _varint(len(body)) + body


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _parsed(kind: Any, raw: bytes) -> Any:
    try:
        message = kind.FromString(raw)
    except DecodeError as error:
        raise BadMessage(f"not a {kind.DESCRIPTOR.name}: {error}") from None
    if not message.type_url:
        raise BadMessage(f"{kind.DESCRIPTOR.name} without type_url; on an aggregated stream each needs it")
    return message


def _proxy_of(message: Any) -> Proxy | None:
    if not message.HasField("node"):
        return None
    node: base_pb2.Node = message.node
    metadata = MessageToDict(node.metadata)
    place = Locality(node.locality.region, node.locality.zone, node.locality.sub_zone)
    if str(place) and not metadata.get("LOCALITY"):
        metadata["LOCALITY"] = "/".join((place.region, place.zone, place.subzone))
    for name, kind in (("LABELS", dict), ("STATUS_PORT", (int, float))):
        if name in metadata and not isinstance(metadata[name], kind):
            raise BadMessage(f"node {node.id!r}: its metadata has {name} {metadata[name]!r}")
    try:
        return Proxy.parse(node.id, metadata)
    except ValueError as error:
        raise BadMessage(str(error)) from None
