"""Calls that are made against policies: what a caller is, asks for, and shows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TRUST_DOMAIN = "cluster.local"
ALIASES = ("old.example",)


@dataclass(frozen=True)
class Token:
    """A token in the Authorization header. `flaw` is what is wrong with it; empty for a good one."""

    claims: Mapping[str, Any]
    flaw: str = ""  # "signature", "expired", "issuer", "audience"


@dataclass(frozen=True)
class Call:
    """One call. `identity` is the path of the caller's SPIFFE name, without the scheme; None shows no
    certificate. `forwarded` is X-Forwarded-For. `port` counts the ports of the workload.
    """

    tcp: bool = False
    identity: str | None = None
    source: str = "127.2.0.1"
    forwarded: str | None = None
    server_name: str | None = None
    port: int = 0
    method: str = "GET"
    path: str = "/"
    host: str = "forecast"
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    token: Token | None = None


@dataclass(frozen=True)
class Workload:
    """What is called: where it is, and the labels that policies select."""

    namespace: str
    labels: Mapping[str, str]
    address: str
    ports: tuple[int, ...]
