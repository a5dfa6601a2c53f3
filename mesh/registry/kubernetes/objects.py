"""Kubernetes' objects as they were last seen, with the indexes that tell what hangs on what."""

from collections.abc import Iterable, Iterator

from mesh.model import ObjectKey
from mesh.platform.reflector import Obj
from mesh.registry.kubernetes import convert


class Objects:
    """Objects by key; slices by Service and by address, Pods by node."""

    def __init__(self) -> None:
        self._objects: dict[ObjectKey, Obj] = {}
        self._slices: dict[tuple[str, str], dict[ObjectKey, Obj]] = {}
        self._hosts: dict[str, dict[ObjectKey, str]] = {}
        self._pods: dict[str, dict[ObjectKey, Obj]] = {}
        self._addresses: dict[ObjectKey, tuple[str, ...]] = {}

    def get(self, key: ObjectKey) -> Obj | None:
        """One object, or None."""
        return self._objects.get(key)

    def put(self, obj: Obj) -> None:
        """Take a new version of an object."""
        key = key_of(obj)
        self._unlink(key)
        self._objects[key] = obj
        if key.kind == "Pod":
            self._pods.setdefault(obj["spec"].get("nodeName") or "", {})[key] = obj
        elif key.kind == "EndpointSlice":
            self._slices.setdefault(service_of(obj), {})[key] = obj
            for address, _ in convert.endpoints(obj):
                self._hosts.setdefault(address, {})[key] = convert.hostname(*service_of(obj))

    def remove(self, obj: Obj) -> None:
        """Forget an object."""
        key = key_of(obj)
        self._unlink(key)
        self._objects.pop(key, None)

    def missing(self, kind: str, objects: Iterable[Obj]) -> list[Obj]:
        """What is known of a kind but not among `objects`."""
        present = {key_of(obj) for obj in objects}
        return [obj for key, obj in self._objects.items() if key.kind == kind and key not in present]

    def addresses(self, pod: ObjectKey, now: tuple[str, ...]) -> tuple[str, ...]:
        """The addresses that a Pod had or has; `now` are remembered for the next time."""
        before = self._addresses.pop(pod, ())
        if now:
            self._addresses[pod] = now
        return tuple(dict.fromkeys((*before, *now)))

    def node_of(self, pod: Obj) -> Obj | None:
        """The Node that a Pod runs on, if it is known."""
        return self._objects.get(ObjectKey("Node", "", (pod.get("spec") or {}).get("nodeName") or ""))

    def pods_on(self, node: str) -> list[Obj]:
        """The Pods of a node."""
        return list(self._pods.get(node, {}).values())

    def slices_of(self, name: str, namespace: str) -> Iterator[Obj]:
        """The EndpointSlices of a Service, in a steady order."""
        found = self._slices.get((name, namespace), {})
        return (found[key] for key in sorted(found))

    def services_at(self, address: str) -> frozenset[str]:
        """Host names of the Services that have an endpoint at an address."""
        return frozenset(self._hosts.get(address, {}).values())

    def _unlink(self, key: ObjectKey) -> None:
        obj = self._objects.get(key)
        if obj is None:
            return
        if key.kind == "Pod":
            self._pods.get(obj["spec"].get("nodeName") or "", {}).pop(key, None)
        elif key.kind == "EndpointSlice":
            self._slices.get(service_of(obj), {}).pop(key, None)
            for address, _ in convert.endpoints(obj):
                self._hosts.get(address, {}).pop(key, None)


def key_of(obj: Obj) -> ObjectKey:
    """The key of an object."""
    metadata = obj["metadata"]
    return ObjectKey(obj["kind"], metadata.get("namespace", ""), metadata["name"])


def service_of(of_slice: Obj) -> tuple[str, str]:
    """Name and namespace of the Service that an EndpointSlice belongs to."""
    metadata = of_slice["metadata"]
    return (metadata.get("labels") or {}).get(convert.SERVICE_NAME, ""), metadata["namespace"]
