"""M5: references that lead nowhere are named with object, field and remedy."""

import pytest

from mesh.model.trust import Credential
from mesh.pilot.problems import problems
from tests.pilot.compile.world import World

pytestmark = pytest.mark.behaviour("M5")


def found(rules: str) -> list[str]:
    return [f"{each.path}: {each.message}" for each in problems(World(rules=rules).snapshot)]


def rule(destination: str, gateways: str = "mesh") -> str:
    return f"""
    kind: VirtualService
    metadata: {{name: forecast}}
    spec:
      hosts: [forecast]
      gateways: [{gateways}]
      http: [{{route: [{{destination: {{{destination}}}}}]}}]
    """


def test_what_leads_somewhere_is_no_problem() -> None:
    assert found(rule("host: forecast, port: {number: 3002}")) == []


@pytest.mark.parametrize(
    ("destination", "message"),
    [
        ("host: forcast", "host: there is no service forcast.weather.svc.cluster.local"),
        ("host: forecast.weather", "host: there is no service forecast.weather"),
        (
            "host: forecast, port: {number: 80}",
            "port.number: forecast.weather.svc.cluster.local has no port 80",
        ),
        (
            "host: forecast, subset: v3",
            "subset: no DestinationRule names a subset 'v3' of forecast.weather.svc.cluster.local"
            " (there are: none)",
        ),
    ],
)
def test_destinations(destination: str, message: str) -> None:
    assert found(rule(destination)) == [f"spec.http[0].route[0].destination.{message}"]


def test_a_name_with_a_dot_is_explained() -> None:
    (only,) = problems(World(rules=rule("host: forecast.weather")).snapshot)
    assert str(only).startswith("VirtualService weather/forecast: spec.http[0].route[0].destination.host:")
    assert only.remedy.endswith("write name.namespace.svc.cluster.local")


def test_gateways() -> None:
    assert found(rule("host: forecast", "mesh, edge")) == [
        "spec.gateways[1]: there is no Gateway weather/edge"
    ]


def test_destination_rules_for_nothing() -> None:
    assert found("""
    kind: DestinationRule
    metadata: {name: a}
    spec: {host: a}
    """) == ["spec.host: there is no service a.weather.svc.cluster.local"]


def test_what_is_not_served_yet() -> None:
    assert found("""
    kind: Gateway
    metadata: {name: a}
    spec:
      servers:
        - port: {number: 443, name: https, protocol: HTTPS}
          hosts: ["*"]
          tls: {mode: SIMPLE, credentialName: a}
    """) == [
        "spec.servers[0].tls.credentialName: there is no Secret istio-system/a with tls.crt and tls.key, "
        "so the server is left out"
    ]


@pytest.mark.behaviour("T7")
def test_entries_whose_hosts_are_taken_or_that_are_not_served() -> None:
    taken = "a.weather.svc.cluster.local"
    assert found(f"""
    kind: ServiceEntry
    metadata: {{name: one, namespace: elsewhere}}
    spec:
      hosts: [forecast.weather.svc.cluster.local]
      ports: [{{number: 80, name: http, protocol: HTTP}}]
      resolution: STATIC
      endpoints: [{{address: "unix:///run/{taken}"}}]
    ---
    kind: ServiceEntry
    metadata: {{name: two}}
    spec: {{hosts: ["*.b.example"], ports: [{{number: 80, name: http}}], resolution: DYNAMIC_DNS}}
    """) == [
        "spec.hosts[0]: forecast.weather.svc.cluster.local is Service weather/forecast's already, "
        "which is older or the platform's",
        "spec.endpoints[0].address: proxies run in containers of their own "
        "and see no sockets of the workload",
        "spec.resolution: DYNAMIC_DNS is not served, so callers go where they have looked up themselves",
    ]


@pytest.mark.behaviour("T7")
def test_credentials_that_no_gateway_has() -> None:
    rules = """
    kind: DestinationRule
    metadata: {name: a}
    spec:
      host: forecast
      trafficPolicy:
        portLevelSettings: [{port: {number: 3002}, tls: {mode: SIMPLE, credentialName: mine}}]
    """
    (problem,) = found(rules)
    assert problem.startswith("spec.trafficPolicy.portLevelSettings[0].tls.credentialName: no gateway's")
    world = World(rules=rules)
    world.rules("""
    kind: Gateway
    metadata: {name: leaving}
    spec:
      servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
    """)
    world.secret("mine", Credential(ca_cert="roots"))
    assert problems(world.snapshot) == []
