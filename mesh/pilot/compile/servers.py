"""Which servers of which Gateways a gateway proxy runs, and on which of its ports.

Source: Istio's reference of Gateway. A server's port is that of the gateway's Service; the proxy listens on
the port behind it. Servers of all Gateways that select the proxy add up; on a port where they disagree
whether it is TLS, HTTP in clear text or neither, the oldest Gateway decides.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mesh.api.networking.gateway import Server
from mesh.model import Labels, ObjectKey, Protocol
from mesh.pilot.compile import names
from mesh.pilot.hosts import full
from mesh.pilot.reader import Reader

TERMINATING = ("SIMPLE", "MUTUAL", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL")


@dataclass(frozen=True, slots=True)
class Served:
    """A server of a Gateway as a proxy runs it: on `port`, where the Gateway says `number`."""

    gateway: ObjectKey
    server: Server
    number: int
    port: int

    @property
    def gateway_name(self) -> str:
        """The Gateway as `namespace/name`."""
        return f"{self.gateway.namespace}/{self.gateway.name}"

    @property
    def protocol(self) -> Protocol:
        """What is spoken, after TLS if that ends here."""
        return self.server.port.speaks

    @property
    def tls(self) -> bool:
        """Whether TLS ends here. Servers of protocol HTTP have none, as in Istio."""
        ends = self.server.tls is not None and self.server.tls.mode in TERMINATING
        return ends and not self.protocol.is_http

    @property
    def redirects(self) -> bool:
        """Whether requests in clear text are sent to HTTPS."""
        return self.server.tls is not None and self.server.tls.https_redirect

    @property
    def http(self) -> bool:
        """Whether requests are seen: HTTP in clear text, or HTTPS that ends here."""
        return self.protocol.is_http or (self.tls and self.protocol is Protocol.HTTPS)

    @property
    def names(self) -> bool:
        """Whether callers begin with TLS and the name that they want, so that servers can share a port."""
        return self.tls or self.protocol.is_tls

    @property
    def address(self) -> str:
        """The address to listen on."""
        return self.server.bind or names.WILDCARD_ADDRESS

    @property
    def route_name(self) -> str:
        """The name of its routes; servers of HTTPS have their own each."""
        if self.tls:
            return names.https_route(
                self.number, self.server.port.name, self.gateway.name, self.gateway.namespace
            )
        return names.gateway_route(self.port, self.server.bind or "")

    def server_names(self) -> tuple[str, ...]:
        """The names in TLS that lead to it; none if all do."""
        hosts = (full(each.rpartition("/")[2], self.gateway.namespace) for each in self.server.hosts)
        found = tuple(dict.fromkeys(hosts))
        return () if "*" in found else found

    def hosts_for(self, namespace: str) -> tuple[str, ...]:
        """The hosts that rules of a namespace may have here; hosts may be written `namespace/host`."""
        return tuple(self._hosts_for(namespace))

    def _hosts_for(self, namespace: str) -> Iterable[str]:
        for each in self.server.hosts:
            owner, slash, host = each.rpartition("/")
            wanted = self.gateway.namespace if owner == "." else owner
            if not slash or wanted in ("*", namespace):
                yield full(host, self.gateway.namespace)


def servers(read: Reader, labels: Labels, ports: tuple[tuple[int, int], ...]) -> tuple[Served, ...]:
    """All servers that a gateway proxy runs. `ports` are the pairs of its Service and itself."""
    found: list[Served] = []
    kinds: dict[tuple[str, int], tuple[bool, bool]] = {}
    for gateway in read.gateways():
        if labels.matches(gateway.spec.selector):
            for server in gateway.spec.servers:
                served = Served(gateway.key, server, server.port.number, listening(server.port.number, ports))
                if served.port in names.OWN_PORTS:
                    continue
                kind = (served.names, served.http and not served.names)
                if kinds.setdefault((served.address, served.port), kind) == kind:
                    found.append(served)
    return tuple(found)


def listening(number: int, ports: tuple[tuple[int, int], ...]) -> int:
    """The proxy's own port for one of its Service; the same number if the Service does not have it."""
    return next((port for wanted, port in ports if wanted == number), number)
