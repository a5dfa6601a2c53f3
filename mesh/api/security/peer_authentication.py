"""PeerAuthentication: whether workloads take connections with mutual TLS, without, or both.

Source: Istio's reference of security.istio.io/v1 PeerAuthentication; every field is named as there.
"""

from collections.abc import Iterator
from typing import Literal

from mesh.api.base import LARGEST_PORT, Model
from mesh.api.checks import Fault, check
from mesh.api.selector import WorkloadSelector


class MutualTLS(Model):
    """What is taken; UNSET inherits from the policy of the namespace, of the mesh, at last PERMISSIVE."""

    mode: Literal["UNSET", "DISABLE", "PERMISSIVE", "STRICT"] = "UNSET"


class PeerAuthentication(Model):
    """The mode for the mesh (in the root namespace), a namespace, workloads (with a selector) and ports."""

    selector: WorkloadSelector | None = None
    mtls: MutualTLS | None = None
    port_level_mtls: dict[int, MutualTLS] = {}

    @check
    def _ports(self) -> Iterator[Fault]:
        for port in self.port_level_mtls:
            if not 0 < port <= LARGEST_PORT:
                yield Fault(f"portLevelMtls[{port}]", f"{port} is not a port number (1-65535)")

    @check
    def _scope(self) -> Iterator[Fault]:
        if self.port_level_mtls and not (self.selector and self.selector.match_labels):
            remedy = "add selector.matchLabels, ports belong to workloads"
            yield Fault("portLevelMtls", "is set without a selector", remedy)
