"""Protocols of service ports, and how a port's name or `appProtocol` selects one.

Source of the rules: Istio, "Protocol Selection" (`name: <protocol>[-<suffix>]`, `appProtocol` first).
"""

from enum import StrEnum


class Protocol(StrEnum):
    """What a port speaks. `AUTO` is found out from the first bytes of each connection."""

    HTTP = "HTTP"
    HTTP2 = "HTTP2"
    GRPC = "GRPC"
    GRPC_WEB = "GRPC-Web"
    HTTPS = "HTTPS"
    TLS = "TLS"
    TCP = "TCP"
    MONGO = "Mongo"
    REDIS = "Redis"
    MYSQL = "MySQL"
    UDP = "UDP"
    AUTO = "AUTO"

    @property
    def is_http(self) -> bool:
        """Whether Envoy's HTTP connection manager handles it in clear text."""
        return self in _HTTP

    @property
    def is_http2(self) -> bool:
        """Whether it is always HTTP/2."""
        return self in (Protocol.HTTP2, Protocol.GRPC)

    @property
    def is_tls(self) -> bool:
        """Whether the application itself brings TLS, so that only SNI can be seen."""
        return self in (Protocol.HTTPS, Protocol.TLS)

    @classmethod
    def parse(cls, name: str) -> "Protocol | None":
        """The protocol that a bare name means, in any case; None if it names none."""
        return _NAMES.get(name.lower())

    @classmethod
    def of_port(cls, name: str = "", app_protocol: str = "", transport: str = "TCP") -> "Protocol":
        """The protocol of a Kubernetes Service port.

        `app_protocol` decides first (also Kubernetes' own `kubernetes.io/h2c`, `kubernetes.io/ws` and
        `kubernetes.io/wss`), then `name` up to its first dash; UDP transport is always UDP; what says
        nothing is `AUTO`.
        """
        if transport.upper() == "UDP":
            return cls.UDP
        if app_protocol:
            found = _APP_PROTOCOLS.get(app_protocol.lower()) or cls.parse(app_protocol)
            if found is not None:
                return found
        lowered = name.lower()
        if lowered == "grpc-web" or lowered.startswith("grpc-web-"):
            return cls.GRPC_WEB
        return cls.parse(lowered.split("-", 1)[0]) or cls.AUTO


_HTTP = frozenset({Protocol.HTTP, Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB})
_NAMES = {member.value.lower(): member for member in Protocol if member is not Protocol.AUTO}
_APP_PROTOCOLS = {
    "kubernetes.io/h2c": Protocol.HTTP2,
    "kubernetes.io/ws": Protocol.HTTP,
    "kubernetes.io/wss": Protocol.HTTPS,
}
