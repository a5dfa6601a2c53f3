"""What a Mixer knows the mesh by, wherever it comes from."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from mesh.mixer.peers import Peers
from mesh.model.sources import ConfigSource, Registry
from mesh.pki.holder import Holder
from mesh.pki.serving import grpc_credentials
from mesh.pki.trust import Trust
from mesh.tasks import Task

LOOPBACK = "127.0.0.1"


class Listening(Protocol):
    """A gRPC server."""

    def listen(self, address: str, credentials: Any = None) -> int:
        """Bind `host:port` (0: any port) and give back the port."""


@dataclass(slots=True)
class World:
    """Registry, configuration, certificate and trust; `tasks` keep them up to date.

    `domains` gives the mesh's trust domains.

    Without `identity` and `trust` a Mixer serves in plain text, on loopback only.
    """

    registry: Registry
    config: ConfigSource
    identity: Holder | None = None
    trust: Trust | None = None
    tasks: list[Task] = field(default_factory=list)
    domains: Callable[[], tuple[str, ...]] | None = None

    def peers(self, own: str) -> Peers | None:
        """Who may call: proxies of the mesh's trust domains, of `own` where no others are known.

        None without trust: anybody, on loopback.
        """
        return None if self.trust is None else Peers(self.trust, self.domains or (lambda: (own,)))

    def listen(self, server: Listening, host: str, port: int) -> int:
        """Open a gRPC server's port, with mutual TLS where there is a certificate. Raises `CannotListen`."""
        if self.identity is None or self.trust is None:
            return server.listen(f"{LOOPBACK}:{port}")
        return server.listen(f"{host}:{port}", grpc_credentials(self.identity, self.trust.roots, mutual=True))
