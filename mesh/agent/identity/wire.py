"""Bytes of the discovery messages that the agent speaks: with Envoy about secrets, with Pilot about trust."""

from collections.abc import Mapping
from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.message import DecodeError

from mesh.agent.identity.conversation import Answer, Asked
from mesh.agent.identity.shelf import ROOTCA, SECRET


class NotUnderstood(Exception):
    """A message of Pilot that cannot be read."""


def read_delta(raw: bytes) -> Asked:
    """A `DeltaDiscoveryRequest` of Envoy."""
    message = discovery_pb2.DeltaDiscoveryRequest.FromString(raw)
    return Asked(
        nonce=message.response_nonce,
        error=message.error_detail.message if message.HasField("error_detail") else None,
        wanted=tuple(message.resource_names_subscribe),
        unwanted=tuple(message.resource_names_unsubscribe),
        known=dict(message.initial_resource_versions),
    )


def read_sotw(raw: bytes) -> Asked:
    """A `DiscoveryRequest` of Envoy."""
    message = discovery_pb2.DiscoveryRequest.FromString(raw)
    return Asked(
        nonce=message.response_nonce,
        error=message.error_detail.message if message.HasField("error_detail") else None,
        wanted=tuple(message.resource_names),
    )


def write_delta(answer: Answer) -> bytes:
    """A `DeltaDiscoveryResponse`."""
    message = discovery_pb2.DeltaDiscoveryResponse(
        type_url=SECRET, nonce=answer.nonce, removed_resources=answer.absent,
        system_version_info=answer.version,
    )  # fmt: skip
    for secret in answer.secrets:
        entry = message.resources.add(name=secret.name, version=secret.version)
        entry.resource.type_url, entry.resource.value = SECRET, secret.payload
    return message.SerializeToString()


def write_sotw(answer: Answer) -> bytes:
    """A `DiscoveryResponse`."""
    message = discovery_pb2.DiscoveryResponse(
        type_url=SECRET, nonce=answer.nonce, version_info=answer.version
    )
    for secret in answer.secrets:
        message.resources.add(type_url=SECRET, value=secret.payload)
    return message.SerializeToString()


def subscription(node: Mapping[str, Any], version: str) -> bytes:
    """The agent's first message to Pilot: who it is, and that it wants the bundle (that it has already)."""
    who = base_pb2.Node(id=node["id"], cluster=node["cluster"])
    who.metadata.update(node["metadata"])
    return discovery_pb2.DeltaDiscoveryRequest(
        node=who, type_url=SECRET, resource_names_subscribe=[ROOTCA],
        initial_resource_versions={ROOTCA: version} if version else {},
    ).SerializeToString()  # fmt: skip


def reply(nonce: str, error: str = "") -> bytes:
    """The agent's ACK to Pilot, or its refusal with the reason."""
    message = discovery_pb2.DeltaDiscoveryRequest(type_url=SECRET, response_nonce=nonce)
    if error:
        message.error_detail.message = error
    return message.SerializeToString()


def read_bundle(raw: bytes) -> tuple[str, str, bytes | None]:
    """Nonce, version and payload of the bundle in a `DeltaDiscoveryResponse`; None if it has no bundle."""
    try:
        message = discovery_pb2.DeltaDiscoveryResponse.FromString(raw)
    except DecodeError as error:
        raise NotUnderstood(f"what Pilot sent is no DeltaDiscoveryResponse: {error}") from None
    for entry in message.resources:
        if entry.name == ROOTCA:
            return message.nonce, entry.version, entry.resource.value
    return message.nonce, "", None
