"""Names of Envoy's resources, exactly as Istio gives them; people and tools know them."""

from typing import NamedTuple

BLACK_HOLE = "BlackHoleCluster"
PASSTHROUGH = "PassthroughCluster"
INBOUND_PASSTHROUGH = "InboundPassthroughCluster"
VIRTUAL_OUTBOUND = "virtualOutbound"
VIRTUAL_INBOUND = "virtualInbound"
WILDCARD_ADDRESS = "0.0.0.0"
OUTBOUND_PORT = 15001
INBOUND_PORT = 15006
OWN_PORTS = frozenset({OUTBOUND_PORT, INBOUND_PORT, 15021, 15090})
"""Ports on which every proxy listens itself: interception, readiness, metrics."""


class ClusterName(NamedTuple):
    """`outbound|3002|v1|forecast.weather.svc.cluster.local`: direction, port, subset, host name."""

    direction: str
    port: int
    subset: str
    hostname: str

    def __str__(self) -> str:
        return f"{self.direction}|{self.port}|{self.subset}|{self.hostname}"

    @classmethod
    def parse(cls, name: str) -> "ClusterName | None":
        """The parts of a name; None if it is not of this form."""
        parts = name.split("|")
        if len(parts) != 4 or not parts[1].isdecimal():
            return None
        return cls(parts[0], int(parts[1]), parts[2], parts[3])


def outbound(port: int, hostname: str, subset: str = "") -> str:
    """The cluster by which callers reach a service port, or a subset of it."""
    return str(ClusterName("outbound", port, subset, hostname))


def inbound(port: int) -> str:
    """The cluster by which a sidecar reaches a port of its own workload."""
    return str(ClusterName("inbound", port, "", ""))


def sni(port: int, hostname: str, subset: str = "") -> str:
    """The name that callers of the mesh ask for when TLS begins: what they call, as a host name."""
    return f"outbound_.{port}_.{subset}_.{hostname}"


def listener(address: str, port: int) -> str:
    """The listener of an address and port."""
    return f"{address}_{port}"


def sniffed_route(hostname: str, port: int) -> str:
    """The routes of a service whose protocol is found out from the first bytes."""
    return f"{hostname}:{port}"


def gateway_route(port: int, bind: str = "") -> str:
    """The routes of a gateway's HTTP port."""
    return f"http.{port}.{bind}" if bind else f"http.{port}"


def https_route(port: int, name: str, gateway: str, namespace: str) -> str:
    """The routes of a gateway's server of HTTPS."""
    return f"https.{port}.{name}.{gateway}.{namespace}"


def operation(hostname: str, port: int, path: str = "/*") -> str:
    """What a route is called in traces."""
    return f"{hostname}:{port}{path}"
