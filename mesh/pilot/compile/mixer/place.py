"""Where calls are checked: a port of a workload, with what is known of it there."""

from dataclasses import dataclass

from mesh.model import Labels
from mesh.model.labels import EMPTY


@dataclass(frozen=True, slots=True)
class Place:
    """A chain of filters. `facts` are attributes of the workload and its annotations (see `facts`).

    `port` is the workload's own (0: any), `host` the first service behind it, `protocol` one of `http`,
    `grpc`, `tcp`; `secured` says that every caller shows a certificate of the mesh. At a gateway nothing is
    known of the destination: its routes decide about that later.
    """

    namespace: str
    facts: Labels = EMPTY
    port: int = 0
    host: str = ""
    protocol: str = "http"
    gateway: bool = False
    secured: bool = False

    @property
    def reporter(self) -> str:
        """`context.reporter.kind` of what happens here."""
        return "outbound" if self.gateway else "inbound"

    def extensions(self) -> dict[str, str]:
        """What istio-policy is told of the place, by attribute."""
        found = {"context.reporter.kind": self.reporter, "context.protocol": self.protocol}
        if not self.gateway:
            found["destination.namespace"] = self.namespace
            found["destination.port"] = str(self.port) if self.port else ""
            found["destination.service.host"] = self.host
        return {name: value for name, value in found.items() if value}
