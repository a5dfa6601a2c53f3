"""W3, M3: instances become endpoints; W4: by place, weighted or from near to far."""

from typing import Any

import pytest

from mesh.model import Locality, Proxy
from mesh.pilot.compile.localities import covers, distributed, priorities
from mesh.pilot.types import EDS
from tests.pilot.compile.world import DOMAIN, World, contains, gateway, sidecar

pytestmark = pytest.mark.behaviour("W3", "M3")

NAME = f"outbound|80||a.weather.{DOMAIN}"
SERVICE = """
- name: a
  namespace: weather
  addresses: [10.1.0.7]
  ports: [{number: 80, name: http}]
  instances:
    - {address: 10.0.1.1, ports: {80: 8080}, labels: {version: v1, app: a}, locality: eu/a/1, name: a-1}
    - {address: 10.0.1.2, labels: {version: v2}, locality: eu/b/1}
    - {address: 10.0.1.3, labels: {version: v1}, locality: us/c/1}
    - {address: 10.0.1.4, labels: {version: v1}, locality: eu/a/1, healthy: false}
"""


def at(place: str = "") -> Proxy:
    """A caller somewhere."""
    return sidecar(address="10.9.9.9", locality=Locality.parse(place))


def rule(policy: str = "", **more: str) -> str:
    further = "".join(f"\n  {key}: {value}" for key, value in more.items())
    return f"""
kind: DestinationRule
metadata: {{name: a}}
spec:
  host: a{further}
  trafficPolicy: {{{policy}}}
"""


def addresses(found: Any) -> list[list[str]]:
    """The addresses of each group."""
    return [
        [each["endpoint"]["address"]["socket_address"]["address"] for each in group["lb_endpoints"]]
        for group in found.get("endpoints", [])
    ]


def test_ready_instances_by_place() -> None:
    found = World(SERVICE).endpoints(at(), NAME)
    assert addresses(found) == [["10.0.1.1"], ["10.0.1.2"], ["10.0.1.3"]]
    assert found["endpoints"][0]["locality"] == {"region": "eu", "zone": "a", "sub_zone": "1"}


def test_an_instance_has_its_own_port_and_says_what_it_is() -> None:
    first = World(SERVICE).endpoints(at(), NAME)["endpoints"][0]["lb_endpoints"][0]
    contains(first, {"endpoint": {"address": {"socket_address": {"port_value": 8080}}}})
    assert first["metadata"]["filter_metadata"]["istio"] == {"workload": "a-1;weather;a;v1;"}


@pytest.mark.behaviour("M2")
def test_subsets_choose_by_labels() -> None:
    world = World(SERVICE, rule(subsets="[{name: v2, labels: {version: v2}}]"))
    assert addresses(world.endpoints(at(), NAME.replace("||", "|v2|"))) == [["10.0.1.2"]]


def test_a_subset_that_nobody_is_in_is_empty_but_there() -> None:
    world = World(SERVICE, rule(subsets="[{name: v9, labels: {version: v9}}]"))
    name = NAME.replace("||", "|v9|")
    assert world.endpoints(at(), name) == {"cluster_name": name}


@pytest.mark.parametrize(
    "name",
    [
        f"outbound|80|v1|a.weather.{DOMAIN}",
        f"outbound|81||a.weather.{DOMAIN}",
        f"outbound|80||b.weather.{DOMAIN}",
        "nonsense",
        "BlackHoleCluster",
    ],
)
def test_what_does_not_exist_is_absent(name: str) -> None:
    assert World(SERVICE).named(at(), EDS, name) == {}


def test_a_change_of_instances_changes_these_endpoints_only() -> None:
    world = World(SERVICE)
    before = world.everything(at())
    world.services(SERVICE.replace("healthy: false", "healthy: true"))
    after = world.everything(at())
    assert {key for key in after if after[key] is not before[key]} == {(EDS, NAME)}


# By place


@pytest.mark.behaviour("W4")
def test_without_ejection_all_places_are_alike() -> None:
    world = World(SERVICE)
    assert world.named(at("eu/a/1"), EDS, NAME)[NAME] is world.named(at("us/c/1"), EDS, NAME)[NAME]
    assert [g["load_balancing_weight"] for g in world.endpoints(at("eu/a/1"), NAME)["endpoints"]] == [1, 1, 1]


EJECTION = "outlierDetection: {consecutive5xxErrors: 1}"


def order(world: World, place: str) -> list[int]:
    return [group.get("priority", 0) for group in world.endpoints(at(place), NAME)["endpoints"]]


@pytest.mark.behaviour("W4")
@pytest.mark.parametrize(
    ("place", "priorities"),
    [("eu/a/1", [0, 1, 2]), ("eu/a/2", [0, 1, 2]), ("us/c/1", [1, 1, 0]), ("", [0, 0, 0])],
)
def test_with_ejection_the_nearest_goes_first(place: str, priorities: list[int]) -> None:
    assert order(World(SERVICE, rule(EJECTION)), place) == priorities


@pytest.mark.behaviour("W4")
def test_places_do_not_count_if_turned_off() -> None:
    off = f"{EJECTION}, loadBalancer: {{localityLbSetting: {{enabled: false}}}}"
    assert order(World(SERVICE, rule(off)), "eu/a/1") == [0, 0, 0]


@pytest.mark.behaviour("W4")
def test_distribution_by_place() -> None:
    to = "{from: eu/a/*, to: {eu/a/*: 70, us/*: 30}}"
    world = World(SERVICE, rule(f"loadBalancer: {{localityLbSetting: {{distribute: [{to}]}}}}"))
    found = world.endpoints(at("eu/a/1"), NAME)
    assert addresses(found) == [["10.0.1.1"], ["10.0.1.3"]]
    assert [group["load_balancing_weight"] for group in found["endpoints"]] == [70, 30]
    assert len(world.endpoints(at("eu/b/1"), NAME)["endpoints"]) == 3


@pytest.mark.behaviour("W4")
def test_the_place_of_a_proxy_is_known_from_the_platform() -> None:
    world = World(SERVICE, rule(EJECTION))
    here = sidecar("a-2", address="10.0.1.2")
    found = world.endpoints(here, NAME)["endpoints"]
    assert [group.get("priority", 0) for group in found] == [1, 0, 2]


def test_gateways_have_endpoints_too() -> None:
    assert World(SERVICE).named(gateway(), EDS, NAME)


# The rules of places


@pytest.mark.behaviour("W4")
def test_patterns_of_places() -> None:
    here = Locality("eu", "a", "1")
    assert all(covers(pattern, here) for pattern in ("*", "", "eu", "eu/*", "eu/a", "eu/a/*", "eu/a/1"))
    assert not any(covers(pattern, here) for pattern in ("us", "eu/b", "eu/b/*", "eu/a/2"))


@pytest.mark.behaviour("W4")
def test_places_of_one_pattern_share_by_size() -> None:
    from mesh.api.networking.balancing import LocalityDistribute

    split = LocalityDistribute.model_validate({"from": "*", "to": {"eu/*": 60, "us/*": 40}})
    places = [Locality("eu", "a"), Locality("eu", "b"), Locality("us", "c")]
    assert distributed(Locality("eu"), [split], places, [1, 3, 7]) == [15, 45, 40]


@pytest.mark.behaviour("W4")
def test_failover_to_a_chosen_region() -> None:
    from mesh.api.networking.balancing import LocalityLbSetting

    setting = LocalityLbSetting.model_validate({"failover": [{"from": "eu", "to": "asia"}]})
    places = [Locality("eu"), Locality("us"), Locality("asia")]
    assert priorities(Locality("eu"), setting, places) == [0, 2, 1]
