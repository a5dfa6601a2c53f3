"""The project's compile output for policies that are given as YAML values."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.message import Message

from mesh.api.load import placed
from mesh.api.meshconfig import MeshConfig
from mesh.model import Labels, ObjectKey
from mesh.pilot.compile import authz, jwt
from mesh.pilot.compile.authz import Place
from mesh.pilot.memo import Memo
from mesh.pilot.reader import Reader
from mesh.pilot.scope import Scope, scope_of
from tests.pilot.authz import tokens
from tests.pilot.authz.calls import ALIASES, Workload
from tests.pilot.compile.world import World, sidecar

SERVICES = """
- name: gate
  namespace: weather
  addresses: [10.1.0.7]
  ports: [{number: 9000, name: http}, {number: 9001, name: grpc}]
  instances: [{address: 10.0.0.7}]
"""
MESH = {
    "trustDomainAliases": list(ALIASES),
    "extensionProviders": [
        {
            "name": "gate",
            "envoyExtAuthzHttp": {
                "service": "weather/gate.weather.svc.cluster.local",
                "port": 9000,
                "includeRequestHeadersInCheck": ["x-ext-authz"],
            },
        },
        {
            "name": "gate-grpc",
            "envoyExtAuthzGrpc": {"service": "weather/gate.weather.svc.cluster.local", "port": 9001},
        },
    ],
}
"""The mesh's settings, as far as policies depend on them."""


class Compiled:
    """Policies in force, and the filters that they become."""

    def __init__(
        self, policies: Iterable[Mapping[str, Any]], mesh: Mapping[str, Any] = MESH, services: str = SERVICES
    ) -> None:
        self.world = World(services, mesh=MeshConfig.model_validate(mesh))
        for each in policies:
            self.put(each)

    def put(self, policy: Mapping[str, Any]) -> None:
        """Take a policy as a user writes it; `KEYS` stands for the keys of the tokens here."""
        document: Any = copy.deepcopy(dict(policy))
        for rule in (document.get("spec") or {}).get("jwtRules", ()):
            if rule.get("jwks") == "KEYS":
                rule["jwks"] = tokens.jwks()
        self.world.store.put(placed(document, "weather"))
        metadata = document["metadata"]
        key = ObjectKey(document["kind"], metadata.get("namespace", "weather"), metadata["name"])
        assert self.world.store.rejected(key) is None, self.world.store.rejected(key)

    def http(self, workload: Workload) -> tuple[Message, ...]:
        """The HTTP filters of a workload."""
        return self._ask(http, workload)

    def tcp(self, workload: Workload) -> tuple[Message, ...]:
        """The network filters of a workload."""
        return self._ask(tcp, workload)

    def filters(self, workload: Workload, *, tcp: bool) -> tuple[Message, ...]:
        """The filters of a workload."""
        return self.tcp(workload) if tcp else self.http(workload)

    def _ask(self, query: Any, workload: Workload) -> tuple[Message, ...]:
        memo, snapshot = Memo(Reader), self.world.snapshot
        scope: Scope = memo.value(snapshot, scope_of, sidecar(namespace=workload.namespace))
        found: tuple[Message, ...] = memo.value(snapshot, query, scope, place_of(workload))
        return found


def place_of(workload: Workload) -> authz.Place:
    return Place(workload.namespace, Labels(workload.labels))


def http(read: Reader, scope: Scope, place: Place) -> tuple[Message, ...]:
    return (*jwt.filters(read, scope, place), *authz.http_filters(read, scope, place))


def tcp(read: Reader, scope: Scope, place: Place) -> tuple[Message, ...]:
    return authz.tcp_filters(read, scope, place)
