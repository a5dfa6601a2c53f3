"""The reading view of a snapshot that queries get: every look-up is recorded.

The only way by which compilation learns anything, so that it is known what each result depends on.
"""

from collections.abc import Callable, Hashable
from typing import Any, Concatenate, ParamSpec, TypeVar

from mesh.api.meshconfig import MeshConfig
from mesh.model import ConfigObject, Instance, ObjectKey, Service, Workload
from mesh.pilot import tables
from mesh.pilot.memo import Frame, Memo
from mesh.pilot.snapshot import Snapshot

P = ParamSpec("P")
R = TypeVar("R")


class Reader:
    """A snapshot, read by one computation. What it hands out must not be changed."""

    __slots__ = ("_frame", "_memo", "_snapshot")

    def __init__(self, memo: Memo, snapshot: Snapshot, frame: Frame) -> None:
        self._memo = memo
        self._snapshot = snapshot
        self._frame = frame

    def ask(self, query: Callable[Concatenate["Reader", P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What another query gives: remembered if it still holds, else computed. No keyword arguments."""
        entry = self._memo.ask(self._snapshot, query, args)
        self._frame.asked[entry] = None
        value: R = entry.value
        return value

    @property
    def mesh(self) -> MeshConfig:
        """The mesh's settings. Not recorded: when they change, everything is computed anew."""
        return self._snapshot.mesh

    def service(self, hostname: str) -> Service | None:
        """A service by its full host name."""
        found: Service | None = self._get(tables.SERVICE, hostname)
        return found

    def instances(self, hostname: str, port: int) -> tuple[Instance, ...]:
        """The instances of a service port."""
        found: tuple[Instance, ...] = self._get(tables.INSTANCES, (hostname, port)) or ()
        return found

    def instances_at(self, address: str) -> tuple[Instance, ...]:
        """What an address serves, of all services."""
        found: tuple[Instance, ...] = self._get(tables.AT, address) or ()
        return found

    def workload(self, address: str) -> Workload | None:
        """What runs at an address."""
        found: Workload | None = self._get(tables.WORKLOAD, address)
        return found

    def public(self) -> tuple[str, ...]:
        """Host names of the services that all namespaces see, in order."""
        found: tuple[str, ...] = self._get(tables.PUBLIC, tables.ONLY) or ()
        return found

    def private(self, namespace: str) -> tuple[str, ...]:
        """Host names of further services that one namespace sees, in order."""
        found: tuple[str, ...] = self._get(tables.PRIVATE, namespace) or ()
        return found

    def object(self, key: ObjectKey) -> ConfigObject | None:
        """An object of the configuration."""
        found: ConfigObject | None = self._get(tables.OBJECT, key)
        return found

    def rules(self, hostname: str) -> tuple[ConfigObject, ...]:
        """The sidecars' VirtualServices for exactly this host, oldest first."""
        return self._objects(tables.RULES, hostname)

    def wild_rules(self) -> tuple[ConfigObject, ...]:
        """The sidecars' VirtualServices with a wildcard host, oldest first."""
        return self._objects(tables.WILD_RULES, tables.ONLY)

    def sidecar_rules(self) -> tuple[ConfigObject, ...]:
        """All of the sidecars' VirtualServices, oldest first."""
        return self._objects(tables.SIDECAR_RULES, tables.ONLY)

    def bound(self, gateway: str) -> tuple[ConfigObject, ...]:
        """The VirtualServices of a gateway (`namespace/name`), oldest first."""
        return self._objects(tables.BOUND, gateway)

    def destinations(self, namespace: str, hostname: str) -> tuple[ConfigObject, ...]:
        """A namespace's DestinationRules for exactly this host, oldest first."""
        return self._objects(tables.DESTINATIONS, (namespace, hostname))

    def wild_destinations(self, namespace: str) -> tuple[ConfigObject, ...]:
        """A namespace's DestinationRules with a wildcard host, oldest first."""
        return self._objects(tables.WILD_DESTINATIONS, namespace)

    def gateways(self) -> tuple[ConfigObject, ...]:
        """All Gateways, oldest first."""
        return self._objects(tables.GATEWAYS, tables.ONLY)

    def policies(self, kind: str, namespace: str) -> tuple[ConfigObject, ...]:
        """A namespace's policies of one kind of security.istio.io, oldest first."""
        return self._objects(tables.POLICIES, (kind, namespace))

    def mixer(self) -> tuple[ConfigObject, ...]:
        """All of Mixer's objects, in order of their names."""
        return self._objects(tables.MIXER, tables.ONLY)

    def selected(self, namespace: str) -> frozenset[str]:
        """Keys of the labels by which a namespace's policies choose workloads."""
        found: frozenset[str] = self._get(tables.SELECTED, namespace) or frozenset()
        return found

    def labels_used(self) -> frozenset[str]:
        """Keys of the labels by which rules choose callers."""
        found: frozenset[str] = self._get(tables.LABELS_USED, tables.ONLY) or frozenset()
        return found

    def _objects(self, table: str, key: Hashable) -> tuple[ConfigObject, ...]:
        found: tuple[ConfigObject, ...] = self._get(table, key) or ()
        return found

    def _get(self, table: str, key: Hashable) -> Any:
        self._frame.reads[table, key] = None
        return self._snapshot.get(table, key)
