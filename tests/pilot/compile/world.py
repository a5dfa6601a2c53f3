"""A world written as YAML, and its resources as plain values: nothing needs to run."""

import textwrap
from collections.abc import Mapping
from typing import Any, cast

import yaml
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from mesh.api.load import documents
from mesh.api.meshconfig import MeshConfig
from mesh.galley.store import ConfigStore
from mesh.model import ConfigObject, Labels, ObjectKey, Proxy, ProxyKind, Service
from mesh.model.sources import Changes
from mesh.model.trust import TRUST_NAME, Credential, TrustBundle
from mesh.pilot.compile import Compiler
from mesh.pilot.snapshot import Snapshot
from mesh.pilot.types import CDS, EDS, LDS, RDS, Resource
from mesh.registry.aggregate import AggregateRegistry
from mesh.registry.entries import EntryRegistry
from mesh.registry.static import StaticService, instances, service, workload
from mesh.registry.table import Table

MESSAGES: Mapping[str, type[Message]] = {
    LDS: listener_pb2.Listener,
    RDS: route_pb2.RouteConfiguration,
    CDS: cluster_pb2.Cluster,
    EDS: endpoint_pb2.ClusterLoadAssignment,
}
DOMAIN = "svc.cluster.local"

WEATHER = """
- name: frontend
  namespace: weather
  addresses: [10.1.0.1]
  ports: [{number: 3000, name: http}]
  instances: [{address: 10.0.0.1, labels: {app: frontend, version: v1}}]
- name: forecast
  namespace: weather
  addresses: [10.1.0.2]
  ports: [{number: 3002, name: http}]
  instances:
    - {address: 10.0.0.2, labels: {app: forecast, version: v1}, locality: pocket/pocket-a}
    - {address: 10.0.0.3, labels: {app: forecast, version: v2}, locality: pocket/pocket-b}
- name: istio-ingressgateway
  namespace: istio-system
  addresses: [10.1.0.9]
  ports: [{number: 80, name: http2}, {number: 443, name: https}, {number: 31400, name: tcp}]
  instances: [{address: 10.0.0.9, ports: {80: 8080, 443: 8443, 31400: 31400}}]
"""
"""The demo's services, as far as most tests need them."""


class World:
    """Services and rules that can be changed; every look makes a snapshot of what has changed since."""

    def __init__(self, services: str = WEATHER, rules: str = "", mesh: MeshConfig | None = None) -> None:
        self.table = Table()
        self.store = ConfigStore()
        self.mesh = mesh or MeshConfig()
        self.compiler = Compiler()
        self._snapshot: Snapshot | None = None
        self._changes = Changes()
        self._keys: set[ObjectKey] = set()
        self._texts: dict[ObjectKey, ConfigObject] = {}
        self.entries = EntryRegistry(cast(Any, self.store), cast(Any, self.table))
        self.registry = AggregateRegistry([cast(Any, self.table), self.entries])
        self.store.subscribe(self._keys.update)
        self.entries.subscribe(self._registry_changed)
        self.services(services)
        self.rules(rules)

    def services(self, text: str) -> None:
        """Set services, each with all of its instances."""
        for each in yaml.safe_load(textwrap.dedent(text)) or []:
            given = StaticService.model_validate(each)
            host = f"{given.name}.{given.namespace}.{DOMAIN}"
            runs = {at.address: workload(given, at) for at in given.instances}
            self._changes |= self.table.put_service(host, service(host, given))
            self._changes |= self.table.put_instances(host, instances(host, given, runs))
            for address, one in runs.items():
                runs_here = self.table.put_workload(address, one)
                self._changes |= runs_here
                self.table.tell(runs_here)

    def _registry_changed(self, changes: Changes) -> None:
        self._changes |= changes

    def put(self, one: Service) -> None:
        """Set a service as it is; its instances stay."""
        self._changes |= self.table.put_service(one.hostname, one)

    def remove_service(self, host: str) -> None:
        """Take a service away, and its instances."""
        self._changes |= self.table.put_service(host, None) | self.table.put_instances(host, {})

    def rules(self, text: str) -> None:
        """Set rules; those without a namespace are in `weather`."""
        for document, _ in documents(textwrap.dedent(text), "rules"):
            document.setdefault("apiVersion", "networking.istio.io/v1")
            document["metadata"].setdefault("namespace", "weather")
            self.store.put(document)
            key = ObjectKey(document["kind"], document["metadata"]["namespace"], document["metadata"]["name"])
            error = self.store.rejected(key)
            assert error is None, error

    def remove_rule(self, kind: str, name: str, namespace: str = "weather") -> None:
        """Take a rule away."""
        self.store.remove(ObjectKey(kind, namespace, name))

    def trust(self, bundle: TrustBundle) -> None:
        """Set what the mesh trusts."""
        self._text(ObjectKey("ConfigMap", "istio-system", TRUST_NAME), bundle)

    def secret(self, name: str, credential: Credential | None, namespace: str = "istio-system") -> None:
        """Set or (None) remove a Secret of gateways."""
        self._text(ObjectKey("Secret", namespace, name), credential)

    def _text(self, key: ObjectKey, spec: TrustBundle | Credential | None) -> None:
        self._keys.add(key)
        if spec is None:
            del self._texts[key]
        else:
            self._texts[key] = ConfigObject(key, "", "v1", spec)

    def objects(self) -> Mapping[ObjectKey, ConfigObject]:
        """All of the configuration."""
        return {**self.store.objects(), **self._texts}

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot of now."""
        changes, self._changes = self._changes, Changes()
        keys = frozenset(self._keys)
        self._keys.clear()
        self._snapshot = Snapshot.build(self._snapshot, self.registry, self, self.mesh, changes, keys)
        return self._snapshot

    # What a proxy gets

    def all(self, proxy: Proxy, type_url: str) -> Mapping[str, Resource]:
        return self.compiler.all(self.snapshot, proxy, type_url)

    def named(self, proxy: Proxy, type_url: str, *names: str) -> Mapping[str, Resource]:
        return self.compiler.named(self.snapshot, proxy, type_url, names)

    def everything(self, proxy: Proxy) -> dict[tuple[str, str], Resource]:
        """All that a proxy asks for: listeners and clusters, and what these wait for."""
        snapshot = self.snapshot
        found: dict[tuple[str, str], Resource] = {}
        for full in (LDS, CDS):
            every = self.compiler.all(snapshot, proxy, full)
            found |= {(full, name): each for name, each in every.items()}
            for kind in (RDS, EDS):
                names = {name for each in every.values() for of, name in each.waits_for if of == kind}
                wanted = self.compiler.named(snapshot, proxy, kind, names)
                found |= {(kind, name): each for name, each in wanted.items()}
        return found

    def listener(self, proxy: Proxy, name: str) -> Any:
        return plain(self.all(proxy, LDS)[name])

    def cluster(self, proxy: Proxy, name: str) -> Any:
        return plain(self.all(proxy, CDS)[name])

    def endpoints(self, proxy: Proxy, name: str) -> Any:
        return plain(self.named(proxy, EDS, name)[name])

    def routes(self, proxy: Proxy, name: str) -> Any:
        return plain(self.named(proxy, RDS, name)[name])

    def virtual_host(self, proxy: Proxy, name: str, host: str) -> Any:
        """The virtual host of a name in a route configuration."""
        hosts = {each["name"]: each for each in self.routes(proxy, name)["virtual_hosts"]}
        return hosts[host]

    def rule_routes(self, http: str, *, proxy: Proxy | None = None, rules: str = "") -> Any:
        """The routes to forecast under a VirtualService with these `http` routes."""
        indented = textwrap.indent(textwrap.dedent(http).strip(), "    ")
        self.rules(
            "kind: VirtualService\nmetadata: {name: forecast}\n"
            f"spec:\n  hosts: [forecast]\n  http:\n{indented}\n"
        )
        self.rules(rules)
        host = f"forecast.weather.{DOMAIN}:3002"
        return self.virtual_host(proxy or sidecar(), "3002", host)["routes"]


def sidecar(
    name: str = "frontend", namespace: str = "weather", address: str = "10.0.0.1", **more: Any
) -> Proxy:
    """A sidecar; without an address of an instance it receives nothing."""
    return Proxy(ProxyKind.SIDECAR, address, name, namespace, **more)


def gateway(address: str = "10.0.0.9", **labels: str) -> Proxy:
    """A gateway, the ingress gateway unless it has other labels."""
    chosen = Labels(labels or {"istio": "ingressgateway"})
    return Proxy(ProxyKind.ROUTER, address, "istio-ingressgateway", "istio-system", labels=chosen)


def plain(resource: Resource) -> Any:
    """A resource as plain values: names as in the messages, nested `Any`s opened, numbers as numbers."""
    message = MESSAGES[resource.type_url].FromString(resource.payload)
    return _numbers(MessageToDict(message, preserving_proto_field_name=True))


def _numbers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _numbers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_numbers(each) for each in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def contains(found: Any, wanted: Any, path: str = "") -> None:
    """Assert that `found` has all of `wanted`, whatever else is there; lists must be as long."""
    if isinstance(wanted, dict):
        assert isinstance(found, dict), f"{path}: {found!r} is no mapping"
        for key, each in wanted.items():
            assert key in found, f"{path}.{key} is missing; there are {sorted(found)}"
            contains(found[key], each, f"{path}.{key}")
    elif isinstance(wanted, list):
        assert isinstance(found, list) and len(found) == len(wanted), f"{path}: {found!r} != {wanted!r}"
        for index, (one, other) in enumerate(zip(found, wanted, strict=True)):
            contains(one, other, f"{path}[{index}]")
    else:
        assert found == wanted, f"{path}: {found!r} != {wanted!r}"
