"""The kinds of configuration, one table: names, versions, model, what `kubectl get` shows."""

from dataclasses import dataclass

from mesh.api.base import Model
from mesh.api.mixer import (
    AttributeManifest,
    Handler,
    Instance,
    Parameters,
    QuotaSpec,
    QuotaSpecBinding,
    Rule,
)
from mesh.api.mixer.kinds import ADAPTERS, TEMPLATES, UNSERVED
from mesh.api.networking import (
    DestinationRule,
    EnvoyFilter,
    Gateway,
    ProxyConfig,
    ServiceEntry,
    Sidecar,
    VirtualService,
    WorkloadEntry,
    WorkloadGroup,
)
from mesh.api.security import AuthorizationPolicy, PeerAuthentication, RequestAuthentication
from mesh.api.telemetry import Telemetry

NETWORKING = "networking.istio.io"
SECURITY = "security.istio.io"
TELEMETRY = "telemetry.istio.io"
MIXER = "config.istio.io"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind; the first version is the one stored. `columns` are pairs of title and JSON path.

    `optional` says that an object without a spec means something: all of the spec's defaults.
    `watched` says that components of the mesh read it now.
    """

    group: str
    kind: str
    plural: str
    model: type[Model]
    versions: tuple[str, ...] = ("v1", "v1beta1", "v1alpha3")
    short_names: tuple[str, ...] = ()
    columns: tuple[tuple[str, str], ...] = ()
    optional: bool = False
    watched: bool = True

    @property
    def resource(self) -> str:
        """`plural.group`, as CRDs are named."""
        return f"{self.plural}.{self.group}"


MIXER_KINDS: tuple[tuple[str, str, type[Model]], ...] = (
    ("handler", "handlers", Handler),
    ("instance", "instances", Instance),
    ("rule", "rules", Rule),
    ("attributemanifest", "attributemanifests", AttributeManifest),
    ("QuotaSpec", "quotaspecs", QuotaSpec),
    ("QuotaSpecBinding", "quotaspecbindings", QuotaSpecBinding),
    *((kind, plural, Parameters) for kind, plural in {**ADAPTERS, **TEMPLATES}.items()),
)
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
    Kind(
        NETWORKING, "ServiceEntry", "serviceentries", ServiceEntry, short_names=("se",),
        columns=(
            ("Hosts", ".spec.hosts"), ("Location", ".spec.location"), ("Resolution", ".spec.resolution")
        ),
    ),
    Kind(
        NETWORKING, "WorkloadEntry", "workloadentries", WorkloadEntry, short_names=("we",),
        columns=(("Address", ".spec.address"),),
    ),
    Kind(NETWORKING, "WorkloadGroup", "workloadgroups", WorkloadGroup, short_names=("wg",)),
    Kind(NETWORKING, "Sidecar", "sidecars", Sidecar),
    Kind(NETWORKING, "EnvoyFilter", "envoyfilters", EnvoyFilter, ("v1alpha3",)),
    Kind(NETWORKING, "ProxyConfig", "proxyconfigs", ProxyConfig, ("v1beta1",)),
    Kind(
        SECURITY, "PeerAuthentication", "peerauthentications", PeerAuthentication, ("v1", "v1beta1"),
        short_names=("pa",), columns=(("Mode", ".spec.mtls.mode"),), optional=True,
    ),
    Kind(
        SECURITY, "RequestAuthentication", "requestauthentications", RequestAuthentication, ("v1", "v1beta1"),
        short_names=("ra",), optional=True,
    ),
    Kind(
        SECURITY, "AuthorizationPolicy", "authorizationpolicies", AuthorizationPolicy, ("v1", "v1beta1"),
        short_names=("ap",), columns=(("Action", ".spec.action"),), optional=True,
    ),
    Kind(
        TELEMETRY, "Telemetry", "telemetries", Telemetry, ("v1", "v1alpha1"),
        short_names=("telemetry",), optional=True,
    ),
    *(
        Kind(
            MIXER, kind, plural, model, ("v1alpha2",),
            optional=model is Parameters, watched=kind not in UNSERVED,
        )
        for kind, plural, model in MIXER_KINDS
    ),
)  # fmt: skip
WATCHED = tuple(kind for kind in KINDS if kind.watched)
BY_KIND = {kind.kind: kind for kind in KINDS}
