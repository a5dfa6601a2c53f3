"""X3: whatever changes, in whatever order, what is kept is what would be compiled from nothing."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.model import Labels, Proxy
from mesh.pilot.compile import Compiler
from mesh.pilot.snapshot import Snapshot
from mesh.pilot.types import CDS, EDS, LDS, RDS
from tests.pilot.compile.world import DOMAIN, World, gateway, sidecar

pytestmark = pytest.mark.behaviour("X3")

Step = Callable[[World], None]
NAMES = ("forecast", "frontend", "db", "guess")
PROXIES = (
    sidecar(),
    sidecar("forecast", address="10.0.0.2", labels=Labels({"app": "forecast"})),
    sidecar("other", "elsewhere", "10.0.0.77"),
    gateway(),
)


def put_service(name: str, port: int, protocol: str, instances: list[int], headless: bool) -> Step:
    at = ", ".join(
        f"{{address: 10.0.0.{n}, labels: {{version: v{n % 2 + 1}}}, locality: r/z{n % 3}}}" for n in instances
    )
    addresses = "" if headless else f"10.1.0.{NAMES.index(name)}"
    text = f"""
    - name: {name}
      namespace: weather
      addresses: [{addresses}]
      ports: [{{number: {port}, name: {protocol}}}]
      instances: [{at}]
    """
    return lambda world: world.services(text)


def remove_service(name: str) -> Step:
    return lambda world: world.remove_service(f"{name}.weather.{DOMAIN}")


def put_route(name: str, host: str, to: str, weight: int, match: str, gateways: str) -> Step:
    text = f"""
    kind: VirtualService
    metadata: {{name: {name}}}
    spec:
      hosts: [{host}]
      gateways: [{gateways}]
      http:
        - match: [{{{match}}}]
          route:
            - destination: {{host: {to}, subset: v1}}
              weight: {weight}
            - destination: {{host: {to}}}
              weight: 7
        - route: [{{destination: {{host: {to}}}}}]
    """
    return lambda world: world.rules(text)


def put_destination(name: str, host: str, namespace: str, balancer: str, ejection: bool, export: str) -> Step:
    outlier = "outlierDetection: {consecutive5xxErrors: 3}" if ejection else "tls: {mode: DISABLE}"
    text = f"""
    kind: DestinationRule
    metadata: {{name: {name}, namespace: {namespace}}}
    spec:
      host: {host}
      exportTo: ["{export}"]
      trafficPolicy:
        loadBalancer: {balancer}
        {outlier}
      subsets:
        - {{name: v1, labels: {{version: v1}}}}
    """
    return lambda world: world.rules(text)


def put_gateway(name: str, port: int, host: str) -> Step:
    text = f"""
    kind: Gateway
    metadata: {{name: {name}}}
    spec:
      selector: {{istio: ingressgateway}}
      servers: [{{port: {{number: {port}, name: http, protocol: HTTP}}, hosts: ["{host}"]}}]
    """
    return lambda world: world.rules(text)


def remove_rule(kind: str, name: str) -> Step:
    return lambda world: world.remove_rule(kind, name)


names = st.sampled_from(NAMES)
full_hosts = names.map(lambda name: f"{name}.weather.{DOMAIN}")
numbers = st.lists(st.integers(1, 6), max_size=3, unique=True)
protocols = st.sampled_from(["http", "tcp", "grpc", "tls", "''", "redis"])
balancers = st.sampled_from(
    ["{simple: RANDOM}", "{consistentHash: {httpHeaderName: user}}", "{simple: ROUND_ROBIN}"]
)
matches = st.sampled_from(
    ["uri: {prefix: /a}", "sourceLabels: {app: forecast}", "port: 3002", "sourceNamespace: weather"]
)
steps = st.one_of(
    st.builds(put_service, names, st.sampled_from([80, 3002]), protocols, numbers, st.booleans()),
    st.builds(remove_service, names),
    st.builds(
        put_route,
        st.sampled_from("ab"),
        st.one_of(full_hosts, names, st.sampled_from([f"'*.weather.{DOMAIN}'", "outside.example"])),
        names,
        st.integers(0, 100),
        matches,
        st.sampled_from(["mesh", "edge", "mesh, edge"]),
    ),
    st.builds(
        put_destination,
        st.sampled_from("ab"),
        st.one_of(full_hosts, st.just(f"'*.weather.{DOMAIN}'")),
        st.sampled_from(["weather", "istio-system", "elsewhere"]),
        balancers,
        st.booleans(),
        st.sampled_from([".", "*", "elsewhere"]),
    ),
    st.builds(put_gateway, st.just("edge"), st.sampled_from([80, 443]), st.sampled_from(["*", "*.example"])),
    st.builds(remove_rule, st.sampled_from(["VirtualService", "DestinationRule"]), st.sampled_from("ab")),
    st.builds(remove_rule, st.just("Gateway"), st.just("edge")),
)


def compiled(compiler: Compiler, snapshot: Snapshot, proxy: Proxy) -> dict[Any, Any]:
    """All that a proxy can have, by type and name."""
    found: dict[Any, Any] = {}
    for full, part in ((CDS, EDS), (LDS, RDS)):
        every = compiler.all(snapshot, proxy, full)
        wanted = {name for each in every.values() for _, name in each.waits_for}
        for resource in (*every.values(), *compiler.named(snapshot, proxy, part, wanted).values()):
            found[resource.type_url, resource.name] = resource
    return found


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(steps, min_size=1, max_size=3), min_size=1, max_size=8))
def test_what_is_kept_is_what_would_be_compiled_anew(rounds: list[list[Step]]) -> None:
    world = World("", "")
    before: list[tuple[Snapshot, dict[Any, Any]]] = []
    for changes in rounds:
        for change in changes:
            change(world)
        snapshot = world.snapshot
        fresh = Snapshot.build(None, world.table, world.store, world.mesh)
        for proxy in PROXIES:
            assert compiled(world.compiler, snapshot, proxy) == compiled(Compiler(), fresh, proxy)
        before.append((snapshot, compiled(world.compiler, snapshot, PROXIES[0])))
    for snapshot, was in before:
        assert compiled(world.compiler, snapshot, PROXIES[0]) == was


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, min_size=1, max_size=12))
def test_tables_that_grew_are_tables_made_at_once(changes: list[Step]) -> None:
    world = World("", "")
    for change in changes:
        change(world)
        grown = world.snapshot
        whole = Snapshot.build(None, world.table, world.store, world.mesh)
        for table in {*grown.tables, *whole.tables}:
            assert dict(grown.table(table)) == dict(whole.table(table)), table
