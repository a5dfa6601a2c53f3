"""The kinds of configuration, one table: names, versions, model, what `kubectl get` shows."""

from dataclasses import dataclass

from mesh.api.base import Model
from mesh.api.networking import DestinationRule, Gateway, VirtualService

NETWORKING = "networking.istio.io"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind; the first version is the one stored. `columns` are pairs of title and JSON path."""

    group: str
    kind: str
    plural: str
    model: type[Model]
    versions: tuple[str, ...] = ("v1", "v1beta1", "v1alpha3")
    short_names: tuple[str, ...] = ()
    columns: tuple[tuple[str, str], ...] = ()

    @property
    def resource(self) -> str:
        """`plural.group`, as CRDs are named."""
        return f"{self.plural}.{self.group}"


KINDS = (
    Kind(
        NETWORKING, "VirtualService", "virtualservices", VirtualService, short_names=("vs",),
        columns=(("Gateways", ".spec.gateways"), ("Hosts", ".spec.hosts")),
    ),
    Kind(
        NETWORKING, "DestinationRule", "destinationrules", DestinationRule, short_names=("dr",),
        columns=(("Host", ".spec.host"),),
    ),
    Kind(
        NETWORKING, "Gateway", "gateways", Gateway, short_names=("gw",),
        columns=(("Selector", ".spec.selector"),),
    ),
)  # fmt: skip
BY_KIND = {kind.kind: kind for kind in KINDS}
