"""Who takes part in a call, as attributes: by address, by uid and by identity, from the registry alone.

Made once for each version of a workload, so that a call costs a look-up and a `dict.update`.
Source: Istio 1.6, attribute vocabulary (`source.*`, `destination.*`, `destination.service.*`).
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from mesh.model.service import Instance, Service, Workload
from mesh.model.sources import Changes, Registry
from mesh.rules import workloads as made
from mesh.rules.workloads import Attributes, service_attributes, uid, workload_attributes

__all__ = [
    "Attributes",
    "Workloads",
    "packed",
    "peer",
    "service_attributes",
    "source_of",
    "uid",
    "workload_attributes",
]

SPIFFE = "spiffe://"
Place = tuple[str, int]
NONE: Attributes = {}


class Workloads:
    """Looks workloads and services up in a registry, following its changes."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._made: dict[tuple[str, str], tuple[Workload, Attributes]] = {}
        self._named: dict[str, Workload] = {}
        self._uids: dict[str, str] = {}
        self._services: dict[str, tuple[Service, Attributes]] = {}
        self._hosts: dict[Place, dict[tuple[str, int], None]] = {}
        self._places: dict[tuple[str, int], tuple[Place, ...]] = {}
        registry.subscribe(self._changed)
        self._changed(Changes(frozenset(), frozenset(registry.instances()), frozenset(registry.workloads())))

    def at(self, address: str) -> Workload | None:
        """The workload that has an address, or None."""
        return self._registry.workloads().get(address)

    def named(self, uid: str) -> Workload | None:
        """The workload `kubernetes://<pod>.<namespace>`, or None."""
        return self._named.get(uid)

    def source(self, workload: Workload) -> Attributes:
        """`source.*` of a workload; not to be changed. A principal is what peers prove."""
        return self._of("source", workload)

    def destination(self, workload: Workload) -> Attributes:
        """`destination.*` of a workload; not to be changed, and without a principal."""
        return self._of("destination", workload)

    def service(self, host: str) -> Attributes:
        """`destination.service.*` of a host name; of one that no registry knows only the host."""
        found = self._registry.services().get(host)
        if found is None:
            return {"destination.service.host": host}
        kept = self._services.get(host)
        if kept is None or kept[0] is not found:
            self._services[host] = kept = (found, service_attributes(found))
        return kept[1]

    def services_at(self, address: str, port: int) -> tuple[str, ...]:
        """Host names of the services that have an instance at that address and (the instance's) port."""
        return tuple(dict.fromkeys(host for host, _ in self._hosts.get((address, port), ())))

    def _of(self, side: str, workload: Workload) -> Attributes:
        key = (side, workload.address)
        kept = self._made.get(key)
        if kept is None or kept[0] is not workload:
            self._made[key] = kept = (workload, workload_attributes(side, workload))
        return kept[1]

    def _changed(self, changes: Changes) -> None:
        for address in changes.workloads:
            self._workload(address)
        for key in changes.instances:
            self._instances(key)

    def _workload(self, address: str) -> None:
        self._made.pop(("source", address), None)
        self._made.pop(("destination", address), None)
        before = self._uids.pop(address, None)
        gone = self._named.get(before or "")
        if before and gone and not any(self._uids.get(each) == before for each in gone.addresses):
            del self._named[before]
        found = self.at(address)
        if found is not None:
            self._uids[address] = uid(found)
            self._named[uid(found)] = found

    def _instances(self, key: tuple[str, int]) -> None:
        for place in self._places.pop(key, ()):
            self._hosts.get(place, {}).pop(key, None)
            if not self._hosts.get(place):
                self._hosts.pop(place, None)
        found: Iterable[Instance] = self._registry.instances().get(key, ())
        self._places[key] = places = tuple((each.address, each.port) for each in found)
        for place in places:
            self._hosts.setdefault(place, {})[key] = None


@lru_cache(maxsize=4096)
def packed(address: str) -> bytes | None:
    """An address as bytes, as `mesh.rules.workloads` has it; callers' addresses come again and again."""
    return made.packed(address)


@lru_cache(maxsize=4096)
def peer(side: str, uri: str) -> Attributes:
    """What a peer's certificate proves: its principal (without `spiffe://`) and its namespace."""
    if not uri.startswith(SPIFFE):
        return {f"{side}.principal": uri} if uri else NONE
    principal = uri[len(SPIFFE) :]
    parts = principal.split("/")
    if len(parts) == 5 and parts[1] == "ns" and parts[3] == "sa":
        return {f"{side}.principal": principal, f"{side}.namespace": parts[2]}
    return {f"{side}.principal": principal}


def source_of(workloads: Workloads, address: str, uri: str) -> dict[str, Any]:
    """`source.*` by address and certificate; a workload that contradicts the certificate is not believed.

    An address can go to another Pod before the registry hears of it; a certificate is proof.
    """
    proved = peer("source", uri)
    found = workloads.at(address)
    if found is None or proved.get("source.namespace", found.namespace) != found.namespace:
        ip = packed(address)
        return {**proved, "source.ip": ip} if ip is not None else dict(proved)
    return {**workloads.source(found), **proved, "source.ip": packed(address)}
