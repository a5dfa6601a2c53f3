"""The real Envoy takes whole listeners with all of Mixer's filters in them, and calls nothing deprecated."""

from pathlib import Path

import pytest

from mesh.model import Proxy
from mesh.pilot.types import LDS
from tests.mixer.policy.rig import action, handler, instance, rule
from tests.pilot.compile.test_envoy import bootstrap, judged
from tests.pilot.compile.world import WEATHER, gateway, plain
from tests.pilot.mixer.mixed import CALLING, Mixed, deny, forecast

pytestmark = pytest.mark.behaviour("P4")

POLICY = """
- name: istio-policy
  namespace: istio-system
  addresses: [10.1.0.20]
  ports: [{number: 15004, name: grpc-policy}]
  instances: [{address: 10.0.0.20}]
- name: store
  namespace: weather
  addresses: [10.1.0.21]
  ports: [{number: 5432, name: tcp}]
  instances: [{address: 10.0.0.2}]
"""
GATEWAY = """
kind: Gateway
metadata: {name: front, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
    - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}
    - {port: {number: 31400, name: tcp, protocol: TCP}, hosts: ["*"]}
"""


def world() -> Mixed:
    """Rules of every way: refused by Envoy, asked about, asked about some, headers changed."""
    operation = {"name": "x-checked", "values": ['"yes"'], "operation": "APPEND"}
    removal = {"name": "server", "operation": "REMOVE"}
    found = Mixed(
        *deny("a", 'context.protocol == "tcp" || request.headers["x-user"] == "mallory"'),
        *deny("b", f'request.method == "POST" && {CALLING}'),
        handler("white", "listchecker", overrides=["v1", "v2"]),
        instance("version", "listentry", value='request.headers["x-version"] | "v1"'),
        rule("c", "", [action("white", "version")]),
        rule(
            "d",
            'request.path == "/d"',
            requestHeaderOperations=[operation],
            responseHeaderOperations=[removal],
        ),
        services=WEATHER + POLICY,
    )
    found.rules(GATEWAY)
    return found


@pytest.mark.parametrize(
    "proxy", [forecast(checkRetries="2", checkTimeout="300ms"), gateway()], ids=["sidecar", "gateway"]
)
def test_envoy_accepts_it(proxy: Proxy, tmp_path: Path) -> None:
    found = world().everything(proxy)
    assert judged(bootstrap(found.values()), tmp_path / "envoy.json") == ""


def test_connections_that_are_not_http_are_refused_or_asked_about() -> None:
    asked = Mixed(*deny(match=f'context.protocol == "tcp" && {CALLING}'), services=WEATHER + POLICY)
    names = ["meshwright.mixer.rules", "envoy.filters.network.tcp_proxy"]
    assert tcp(world()) == names
    assert tcp(asked) == ["envoy.filters.network.ext_authz", "envoy.filters.network.tcp_proxy"]


def tcp(found: Mixed) -> list[str]:
    """The network filters of the store's port."""
    chains = plain(found.all(forecast(), LDS)["virtualInbound"])["filter_chains"]
    mine = [each for each in chains if each["filter_chain_match"].get("destination_port") == 5432]
    return [each["name"] for each in mine[0]["filters"]]
