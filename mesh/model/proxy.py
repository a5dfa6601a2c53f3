"""A proxy that asks for configuration: what its bootstrap says of it, as Istio's node id and metadata do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mesh.model.labels import EMPTY, Labels
from mesh.model.locality import Locality


class ProxyKind(StrEnum):
    """The first part of a node id."""

    SIDECAR = "sidecar"
    ROUTER = "router"  # a gateway
    AGENT = "agent"  # the agent beside a proxy: it takes the trust bundle and nothing else


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy. Its node id is `sidecar~198.18.0.7~frontend-v1-x.weather~weather.svc.cluster.local`.

    `metadata` is the bootstrap's node metadata (`NAMESPACE`, `LABELS`, `SERVICE_ACCOUNT`, `WORKLOAD_NAME`,
    `INTERCEPTION_MODE`, ...), as plain values.
    """

    kind: ProxyKind
    address: str
    name: str
    namespace: str
    dns_domain: str = ""
    labels: Labels = EMPTY
    service_account: str = ""
    workload_name: str = ""
    locality: Locality = Locality()
    metadata: Mapping[str, Any] = field(default_factory=dict, compare=False, hash=False)

    @property
    def id(self) -> str:
        """`name.namespace`, by which people name it."""
        return f"{self.name}.{self.namespace}"

    @property
    def node_id(self) -> str:
        """The id that Envoy sends."""
        return f"{self.kind}~{self.address}~{self.name}.{self.namespace}~{self.dns_domain}"

    @classmethod
    def parse(cls, node_id: str, metadata: Mapping[str, Any] | None = None) -> "Proxy":
        """Make a proxy from Envoy's node id and metadata; `ValueError` names what is wrong with the id."""
        metadata = metadata or {}
        parts = node_id.split("~")
        if len(parts) != 4:
            raise ValueError(f"node id {node_id!r}: expected kind~address~name.namespace~domain")
        kind, address, name, domain = parts
        short, dot, namespace = name.rpartition(".")
        if not dot:
            raise ValueError(f"node id {node_id!r}: its third part must be name.namespace, not {name!r}")
        try:
            proxy_kind = ProxyKind(kind)
        except ValueError:
            known = ", ".join(ProxyKind)
            raise ValueError(f"node id {node_id!r}: kind {kind!r} is not one of {known}") from None
        return cls(
            kind=proxy_kind,
            address=address,
            name=short,
            namespace=str(metadata.get("NAMESPACE") or namespace),
            dns_domain=domain,
            labels=Labels({str(k): str(v) for k, v in (metadata.get("LABELS") or {}).items()}),
            service_account=str(metadata.get("SERVICE_ACCOUNT") or ""),
            workload_name=str(metadata.get("WORKLOAD_NAME") or ""),
            locality=Locality.parse(str(metadata.get("LOCALITY") or "")),
            metadata=metadata,
        )
