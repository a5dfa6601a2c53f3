"""What Pilot knows: registry and configuration, put together into snapshots as they change."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Set
from typing import Any

from mesh.model import ConfigObject, ObjectKey
from mesh.model.sources import Changes, ConfigSource, Registry
from mesh.model.trust import TRUST_NAME
from mesh.pilot.ads.view import Snapshot

REGISTRY_KINDS = frozenset({"Service", "EndpointSlice", "Pod", "Node", "Namespace"})
TRUST = ("ConfigMap", TRUST_NAME)

Make = Callable[[Any, frozenset[ObjectKey], Changes], Snapshot]
"""Makes a snapshot from the one before (None at first) and what differs: configuration, registry."""


class World:
    """Registry and configuration together. Collects what changes until the next snapshot is asked for.

    `config_kinds` are the kinds of the mesh's own configuration, `further_kinds` what else `config` brings.
    `changed` is called in the event loop after each change, with the objects that caused it as far as they
    are known.
    """

    def __init__(
        self,
        registry: Registry,
        config: ConfigSource,
        make: Make,
        *,
        config_kinds: Set[str] = frozenset(),
        further_kinds: Set[str] = frozenset(),
    ) -> None:
        self.config_kinds = config_kinds
        self.registry = registry
        self.config = config
        self.snapshot: Snapshot | None = None
        self.changed: Callable[[Iterable[ObjectKey]], None] = lambda causes: None
        self._make = make
        self._kinds = config_kinds | further_kinds
        self._config_changes: frozenset[ObjectKey] = frozenset()
        self._registry_changes = Changes()
        self._meant: dict[ObjectKey, ConfigObject] = dict(config.objects())
        self._trust: ObjectKey | None = None
        registry.subscribe(self._registry_changed)
        config.subscribe(self._config_changed)

    def __repr__(self) -> str:
        return f"<World at {self.snapshot.version if self.snapshot else 'no snapshot'}>"

    async def synced(self) -> None:
        """Wait until all that existed at the start is known."""
        await asyncio.gather(self.registry.synced.wait(), self.config.synced.wait())

    def build(self) -> Snapshot:
        """The snapshot of now. If it cannot be made, what has changed is kept for the next attempt."""
        self.snapshot = self._make(self.snapshot, self._config_changes, self._registry_changes)
        self._config_changes, self._registry_changes = frozenset(), Changes()
        return self.snapshot

    # What was seen (see `debug.inforce.Sources`)

    def serves(self, kind: str) -> bool:
        """Whether objects of this kind mean anything to Pilot."""
        return kind in REGISTRY_KINDS or kind in self._kinds

    def seen(self, key: ObjectKey) -> str | None:
        """The version of an object that was seen last; None if it does not exist."""
        return self._source(key).seen(key)

    def rejected(self, key: ObjectKey) -> str | None:
        """Why the version that was seen last is not in use; None if it is."""
        if key.kind in REGISTRY_KINDS:
            return None
        error = self.config.rejected(key)
        return None if error is None else str(error)

    def expected(self) -> frozenset[str]:
        """Proxies that run, by `name.namespace`: those of ready workloads, unless they are denied entry."""
        workloads, denied = set(self.registry.workloads().values()), self._denied()
        return frozenset(
            f"{each.name}.{each.namespace}"
            for each in workloads
            if each.has_sidecar
            and each.ready
            and f"/ns/{each.namespace}/sa/{each.service_account}" not in denied
        )

    def _denied(self) -> frozenset[str]:
        """The identities that get no certificate any more, without their trust domain."""
        held = self.config.objects().get(self._trust) if self._trust else None
        denied: tuple[str, ...] = held.spec.denied if held is not None else ()
        return frozenset("/" + uri.split("/", 3)[-1] for uri in denied)

    def _source(self, key: ObjectKey) -> Registry | ConfigSource:
        return self.registry if key.kind in REGISTRY_KINDS else self.config

    # Changes

    def _config_changed(self, keys: frozenset[ObjectKey]) -> None:
        """Take note of what means something else now.

        A new status or a refused version does not. Counted as a change it would be taken for the object's
        last one, and that is in force at once, whatever became of the real one.
        """
        self._trust = next((key for key in keys if (key.kind, key.name) == TRUST), self._trust)
        objects = self.config.objects()
        differing = {key for key in keys if objects.get(key) is not self._meant.get(key)}
        for key in differing:
            if key in objects:
                self._meant[key] = objects[key]
            else:
                self._meant.pop(key, None)
        if differing:
            self._config_changes |= differing
            self.changed(frozenset(differing))

    def _registry_changed(self, changes: Changes) -> None:
        self._registry_changes |= changes
        self.changed(frozenset(self._causes(changes)))

    def _causes(self, changes: Changes) -> Iterator[ObjectKey]:
        """The platform's objects behind a change. One that is gone is known no longer."""
        services, workloads = self.registry.services(), self.registry.workloads()
        for hostname in {*changes.services, *(hostname for hostname, _ in changes.instances)}:
            service = services.get(hostname)
            if service is not None and service.origin is not None:
                yield service.origin
        for address in changes.workloads:
            workload = workloads.get(address)
            if workload is not None and workload.origin is not None:
                yield workload.origin
