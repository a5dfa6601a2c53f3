"""The tables of a snapshot: what can be looked up, by which keys, and how they follow from what changed.

Services, instances, workloads and objects are taken over as they are; the others are indexes made from them,
so fine that a key changes only if what depends on it may. Looking up is `reader`'s part.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, MutableMapping
from functools import partial
from typing import Any, Protocol

from mesh.api.chosen import GATEWAY_NAME, age, targets
from mesh.api.kinds import MIXER_KINDS
from mesh.api.meshconfig import MeshConfig
from mesh.api.networking import DestinationRule, VirtualService
from mesh.api.networking.virtual_service import MESH_GATEWAY
from mesh.model import ConfigObject, Instance, ObjectKey, Service, Workload
from mesh.model.sources import Changes
from mesh.pilot.hosts import full, is_wildcard

Key = tuple[str, Hashable]
Table = Mapping[Hashable, Any]
Tables = Mapping[str, Table]

SERVICE = "service"  # host name -> Service
INSTANCES = "instances"  # (host name, service port) -> tuple of Instance
WORKLOAD = "workload"  # address -> Workload
AT = "at"  # address -> tuple of Instance, whichever service they belong to
PUBLIC = "public"  # () -> host names of the services that every namespace sees
PRIVATE = "private"  # namespace -> host names of further services that it sees
OBJECT = "object"  # ObjectKey -> ConfigObject
RULES = "rules"  # host name -> VirtualServices of the sidecars for exactly this host, oldest first
WILD_RULES = "wild-rules"  # () -> VirtualServices of the sidecars with a wildcard host
SIDECAR_RULES = "sidecar-rules"  # () -> all VirtualServices of the sidecars, oldest first
BOUND = "bound"  # namespace/gateway -> VirtualServices of this gateway
DESTINATIONS = "destinations"  # (namespace, host name) -> DestinationRules there, oldest first
WILD_DESTINATIONS = "wild-destinations"  # namespace -> DestinationRules there with a wildcard host
GATEWAYS = "gateways"  # () -> Gateways, oldest first
LABELS_USED = "labels-used"  # () -> keys of the labels by which rules choose callers
POLICIES = "policies"  # (kind, namespace) -> policies of security there, oldest first
MIXER = "mixer"  # () -> all of Mixer's objects, by name
SELECTED = "selected"  # namespace -> keys of the labels by which policies there choose workloads

ONLY: Hashable = ()
"""The key of tables with one entry."""


class Services(Protocol):
    """As much of a registry as is read."""

    def services(self) -> Mapping[str, Service]:
        """All services by host name."""

    def instances(self) -> Mapping[tuple[str, int], tuple[Instance, ...]]:
        """The instances of each service port."""

    def workloads(self) -> Mapping[str, Workload]:
        """All workloads by address."""


class Objects(Protocol):
    """As much of a source of configuration as is read."""

    def objects(self) -> Mapping[ObjectKey, ConfigObject]:
        """All objects in force."""


class Draft:
    """Tables in the making: shares what stays with those before, and notes which keys changed."""

    def __init__(self, before: Tables, mesh: MeshConfig) -> None:
        self.mesh = mesh
        self.tables: dict[str, Table] = dict(before)
        self.changed: set[Key] = set()
        self._own: dict[str, MutableMapping[Hashable, Any]] = {}

    def get(self, table: str, key: Hashable) -> Any:
        """What the draft has so far."""
        return self.tables.get(table, {}).get(key)

    def put(self, table: str, key: Hashable, value: Any) -> None:
        """Set or, with None, remove; a value that is equal to the old one is no change."""
        old = self.get(table, key)
        if old is value or old == value:
            return
        self.changed.add((table, key))
        own = self._owned(table)
        if value is None:
            del own[key]
        else:
            own[key] = value

    def replace(self, table: str, content: Mapping[Hashable, Any]) -> None:
        """Make a table be `content`; what is equal stays."""
        for key in [key for key in self.tables.get(table, {}) if key not in content]:
            self.put(table, key, None)
        for key, value in content.items():
            self.put(table, key, value)

    def _owned(self, table: str) -> MutableMapping[Hashable, Any]:
        if table not in self._own:
            self._own[table] = self.tables[table] = dict(self.tables.get(table, {}))
        return self._own[table]


def fill(
    draft: Draft, registry: Services, config: Objects, changes: Changes, keys: frozenset[ObjectKey]
) -> None:
    """Bring a draft up to date with the sources, as far as `changes` and `keys` say."""
    services(draft, registry.services(), changes.services)
    instances(draft, registry.instances(), changes.instances)
    workloads = registry.workloads()
    for address in changes.workloads:
        draft.put(WORKLOAD, address, workloads.get(address))
    objects = config.objects()
    for key in keys:
        draft.put(OBJECT, key, objects.get(key))
    for kind in {key.kind for table, key in list(draft.changed) if table == OBJECT}:  # type: ignore[attr-defined]
        if kind in INDEXES:
            every = (each for each in draft.tables[OBJECT].values() if each.key.kind == kind)
            INDEXES[kind](draft, sorted(every, key=age))


def differing(draft: Draft, config: Objects) -> frozenset[ObjectKey]:
    """The objects that are not what the draft has; each is one value for as long as it does not change."""
    now = config.objects()
    before: Mapping[Hashable, Any] = draft.tables.get(OBJECT, {})
    gone = {each.key for each in before.values() if each.key not in now}
    return frozenset(gone | {key for key, each in now.items() if before.get(key) is not each})


# Services


def services(draft: Draft, now: Mapping[str, Service], changed: Iterable[str]) -> None:
    """Take over the services that changed, and who sees them."""
    seen = {hostname: exported(draft, draft.get(SERVICE, hostname)) for hostname in changed}
    for hostname in changed:
        draft.put(SERVICE, hostname, now.get(hostname))
    if any(exported(draft, now.get(hostname)) != before for hostname, before in seen.items()):
        visibility(draft)


def exported(draft: Draft, service: Service | None) -> frozenset[str]:
    """The namespaces that see a service; `*` for all."""
    if service is None:
        return frozenset()
    names = service.export_to or draft.mesh.default_service_export_to
    return spread(names, service.namespace)


def spread(export_to: Iterable[str], namespace: str) -> frozenset[str]:
    """What `exportTo` of an object in `namespace` means: namespaces, or `*`."""
    names = {namespace if name == "." else name for name in export_to}
    return frozenset({"*"} if "*" in names else names - {"~"})


def visibility(draft: Draft) -> None:
    """Which services are seen by whom."""
    public: list[str] = []
    private: dict[Hashable, list[str]] = {}
    for hostname, service in sorted(draft.tables.get(SERVICE, {}).items()):
        for namespace in exported(draft, service):
            (public if namespace == "*" else private.setdefault(namespace, [])).append(str(hostname))
    draft.put(PUBLIC, ONLY, tuple(public) or None)
    draft.replace(PRIVATE, {namespace: tuple(names) for namespace, names in private.items()})


def instances(
    draft: Draft,
    now: Mapping[tuple[str, int], tuple[Instance, ...]],
    changed: Iterable[tuple[str, int]],
) -> None:
    """Take over the instances that changed, and find them by address."""
    gone: dict[str, set[tuple[str, int]]] = {}
    here: dict[str, list[Instance]] = {}
    for key in changed:
        for each in draft.get(INSTANCES, key) or ():
            gone.setdefault(each.address, set()).add(key)
        draft.put(INSTANCES, key, now.get(key) or None)
        for each in now.get(key) or ():
            here.setdefault(each.address, []).append(each)
    for address in gone.keys() | here.keys():
        left = gone.get(address, set())
        stay = [x for x in draft.get(AT, address) or () if (x.hostname, x.service_port) not in left]
        every = sorted(stay + here.get(address, []), key=lambda x: (x.hostname, x.service_port))
        draft.put(AT, address, tuple(every) or None)


# Rules


def virtual_services(draft: Draft, every: list[ConfigObject]) -> None:
    """Index VirtualServices by their hosts and gateways."""
    rules: dict[Hashable, list[ConfigObject]] = {}
    wild: list[ConfigObject] = []
    sidecars: list[ConfigObject] = []
    bound: dict[Hashable, list[ConfigObject]] = {}
    for each in every:
        for gateway in gateways_of(each):
            if gateway != MESH_GATEWAY:
                bound.setdefault(gateway, []).append(each)
        if MESH_GATEWAY in gateways_of(each):
            sidecars.append(each)
            hosts = dict.fromkeys(full(host, each.namespace) for host in each.spec.hosts)
            for host in (host for host in hosts if not is_wildcard(host)):
                rules.setdefault(host, []).append(each)
            if any(map(is_wildcard, hosts)):
                wild.append(each)
    draft.replace(RULES, {host: tuple(each) for host, each in rules.items()})
    draft.put(WILD_RULES, ONLY, tuple(wild) or None)
    draft.put(SIDECAR_RULES, ONLY, tuple(sidecars) or None)
    draft.replace(BOUND, {gateway: tuple(each) for gateway, each in bound.items()})
    labels_used(draft)


def gateways_of(rule: ConfigObject) -> tuple[str, ...]:
    """The gateways of a VirtualService as `namespace/name`, and `mesh` for the sidecars."""
    named = rule.spec.gateways or (MESH_GATEWAY,)
    return tuple(
        name if name == MESH_GATEWAY or "/" in name else f"{rule.namespace}/{name}" for name in named
    )


def destination_rules(draft: Draft, every: list[ConfigObject]) -> None:
    """Index DestinationRules by namespace and host."""
    exact: dict[Hashable, list[ConfigObject]] = {}
    wild: dict[Hashable, list[ConfigObject]] = {}
    for each in every:
        host = full(each.spec.host, each.namespace)
        if is_wildcard(host):
            wild.setdefault(each.namespace, []).append(each)
        else:
            exact.setdefault((each.namespace, host), []).append(each)
    draft.replace(DESTINATIONS, {key: tuple(each) for key, each in exact.items()})
    draft.replace(WILD_DESTINATIONS, {key: tuple(each) for key, each in wild.items()})
    labels_used(draft)


def gateways(draft: Draft, every: list[ConfigObject]) -> None:
    """Keep the Gateways in order."""
    draft.put(GATEWAYS, ONLY, tuple(every) or None)


def labels_used(draft: Draft) -> None:
    """Find the labels that make a difference between callers of one namespace."""
    used = {label for each in draft.tables[OBJECT].values() for label in labels_in(each.spec)}
    draft.put(LABELS_USED, ONLY, frozenset(used) or None)


def labels_in(spec: Any) -> Iterator[str]:
    """The labels of callers that a rule asks for."""
    match spec:
        case VirtualService():
            for http in spec.http:
                yield from (label for match in http.match for label in match.source_labels)
            for route in (*spec.tls, *spec.tcp):
                yield from (label for match in route.match for label in match.source_labels)
        case DestinationRule() if spec.workload_selector is not None:
            yield from spec.workload_selector.match_labels


def policies(draft: Draft, every: list[ConfigObject], *, kind: str) -> None:
    """Index policies of one kind by namespace, so that one of another namespace changes nothing there."""
    found: dict[Hashable, list[ConfigObject]] = {}
    for each in every:
        found.setdefault((kind, each.namespace), []).append(each)
    others = {key: each for key, each in draft.tables.get(POLICIES, {}).items() if key[0] != kind}  # type: ignore[index]
    draft.replace(POLICIES, {**others, **{key: tuple(each) for key, each in found.items()}})
    selected(draft)


def selected(draft: Draft) -> None:
    """Find the labels that make a difference between workloads of one namespace."""
    found: dict[Hashable, set[str]] = {}
    for every in draft.tables[POLICIES].values():
        for each in every:
            found.setdefault(each.namespace, set()).update(chosen_by(each.spec))
    draft.replace(SELECTED, {namespace: frozenset(each) for namespace, each in found.items() if each})


def chosen_by(spec: Any) -> Iterator[str]:
    """The labels of workloads that a policy asks for."""
    if spec.selector is not None:
        yield from spec.selector.match_labels
    if targets(spec):
        yield GATEWAY_NAME


def mixer(draft: Draft, every: list[ConfigObject]) -> None:
    """Keep Mixer's objects together: what one means hangs on those that it names."""
    del every
    found = (each for each in draft.tables[OBJECT].values() if each.key.kind in MIXER_NAMES)
    draft.put(MIXER, ONLY, tuple(sorted(found, key=by_key)) or None)


def by_key(config: ConfigObject) -> ObjectKey:
    """Order by name."""
    return config.key


MIXER_NAMES = frozenset(kind for kind, *_ in MIXER_KINDS)
POLICY_KINDS = ("PeerAuthentication", "RequestAuthentication", "AuthorizationPolicy")
SELECTING_KINDS = (*POLICY_KINDS, "Telemetry")
"""Kinds whose objects are for the mesh, for a namespace, or for the workloads that they select."""

INDEXES: dict[str, Callable[[Draft, list[ConfigObject]], None]] = {
    "VirtualService": virtual_services,
    "DestinationRule": destination_rules,
    "Gateway": gateways,
    **{kind: partial(policies, kind=kind) for kind in SELECTING_KINDS},
    **dict.fromkeys(MIXER_NAMES, mixer),
}
