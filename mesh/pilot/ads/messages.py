"""The words of the protocol as values: what a client asks, what it is answered, what it said to that.

Both forms of xDS (delta and state-of-the-world) are spoken in these; their bytes are the business of `wire`.
Source of the rules: Envoy, "xDS REST and gRPC protocol".
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mesh.pilot.types import Resource

WILDCARD = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaRequest:
    """A `DeltaDiscoveryRequest`: changes of the subscription, an answer to a response, or both.

    `error` is None but for a NACK. `initial_versions` (name to version) counts in a stream's first request
    for a type only: what the client still holds from an earlier stream.
    """

    type_url: str
    nonce: str = ""
    error: str | None = None
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    initial_versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SotwRequest:
    """A `DiscoveryRequest`: the whole subscription, each time, and an answer if `nonce` is set."""

    type_url: str
    nonce: str = ""
    error: str | None = None
    names: tuple[str, ...] = ()
    version: str = ""


Request = DeltaRequest | SotwRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One message to the client.

    `changed` and `removed` are what differs from what the client has; `full` is the whole state that a
    state-of-the-world message of this type must carry (empty in delta). `version` is the snapshot's number.
    """

    type_url: str
    nonce: str
    version: int
    changed: tuple[Resource, ...] = ()
    removed: tuple[str, ...] = ()
    full: tuple[Resource, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """Names of all that the message is about."""
        return frozenset([*(resource.name for resource in self.changed), *self.removed])


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client said to a response: an ACK, or a NACK with its reason in `error`."""

    response: Response
    error: str | None


@dataclass(frozen=True, slots=True)
class Rejection:
    """A resource that the client refused, at one version, and why. It keeps what it had before."""

    name: str
    version: str
    error: str
    nonce: str
    snapshot: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one request led to."""

    responses: tuple[Response, ...] = ()
    answer: Answer | None = None


class View(Protocol):
    """What one proxy shall have at one version of the world. Pure: the same question has the same answer."""

    @property
    def version(self) -> int:
        """The snapshot's number; grows."""
        ...

    def resources(self, type_url: str, wildcard: bool, names: Collection[str]) -> Mapping[str, Resource]:
        """The resources of a type: all that concern the proxy if `wildcard`, and those of `names`.

        A name that does not exist is absent. The mapping must not change afterwards.
        """
        ...
