"""Make before break: no route leads to a cluster that is not there yet, or no longer."""

import pytest

from tests.pilot.ads.conversation import Conversation, cds, connected, eds, lds, rds
from tests.pilot.ads.world import World, world

pytestmark = pytest.mark.behaviour("X1")
BOTH = pytest.mark.parametrize("sotw", [False, True], ids=["delta", "sotw"])


def one_service() -> World:
    return world(cds("a"), eds("a"), lds("l", route="r"), rds("r"))


@BOTH
def test_envoy_comes_up(sotw: bool) -> None:
    envoy = Conversation(one_service(), sotw=sotw)
    assert envoy.asks("CDS") == ["CDS a"]
    assert envoy.acks("CDS") == []
    assert envoy.asks("EDS", "a") == ["EDS a"]
    assert envoy.acks("EDS") == []
    assert envoy.asks("LDS") == ["LDS l"]
    assert envoy.acks("LDS") == []
    assert envoy.asks("RDS", "r") == ["RDS r"]
    assert envoy.acks("RDS") == []


@BOTH
def test_a_route_moves_to_a_new_cluster_and_the_old_one_goes_last(sotw: bool) -> None:
    envoy = connected(one_service(), sotw=sotw)
    moved = envoy.world_becomes(cds("b"), eds("b"), rds("r", "2"), without=[("CDS", "a"), ("EDS", "a")])
    assert moved == ["CDS b"]
    assert envoy.acks("CDS") == []  # its endpoints are not there yet
    assert envoy.asks("EDS", "b") == ["EDS b"]
    assert envoy.acks("EDS") == ["RDS r"]
    assert envoy.acks("RDS") == ["CDS -a"]
    envoy.drops("EDS", "a")
    assert envoy.acks("CDS") == []


@BOTH
def test_endpoints_follow_a_changed_cluster_at_once_though_they_are_the_same(sotw: bool) -> None:
    """Envoy keeps back its ACK until the changed cluster is warm, and does not ask for endpoints again."""
    envoy = connected(one_service(), sotw=sotw)
    assert envoy.world_becomes(cds("a", "2")) == ["CDS a", "EDS a"]


@BOTH
def test_endpoints_follow_a_changed_cluster_also_if_others_are_just_under_way(sotw: bool) -> None:
    envoy = connected(one_service(), sotw=sotw)
    assert envoy.world_becomes(eds("a", "2")) == ["EDS a"]
    assert envoy.world_becomes(cds("a", "2")) == ["CDS a"]
    assert envoy.acks("EDS") == ["EDS a"]


@BOTH
def test_endpoints_alone_wait_for_nothing(sotw: bool) -> None:
    envoy = connected(one_service(), sotw=sotw)
    envoy.world_becomes(rds("r", "2"))
    assert envoy.world_becomes(eds("a", "2")) == ["EDS a"]


@BOTH
def test_a_new_listener_waits_for_the_clusters_too(sotw: bool) -> None:
    envoy = connected(one_service(), sotw=sotw)
    assert envoy.world_becomes(cds("b"), eds("b"), lds("m", route="s"), rds("s")) == ["CDS b"]
    envoy.acks("CDS")
    envoy.asks("EDS", "b")
    assert envoy.acks("EDS") == ["LDS m"]
    assert envoy.acks("LDS") == []
    assert envoy.asks("RDS", "s") == ["RDS s"]


@BOTH
def test_a_cluster_stays_while_a_new_listener_lacks_its_routes(sotw: bool) -> None:
    envoy = connected(one_service(), sotw=sotw)
    assert envoy.world_becomes(lds("l", "2", route="s"), rds("s"), without=[("CDS", "a")]) == ["LDS l"]
    assert envoy.acks("LDS") == []
    assert envoy.asks("RDS", "s") == ["RDS s"]
    assert envoy.acks("RDS") == ["CDS -a"]


@BOTH
def test_a_listener_that_goes_makes_room_for_the_one_that_comes(sotw: bool) -> None:
    """Both in one message: Envoy removes first, so that the new one may have the same address."""
    envoy = connected(one_service(), sotw=sotw)
    assert envoy.world_becomes(lds("m", route="r"), without=[("LDS", "l")]) == ["LDS m -l"]


@BOTH
def test_what_changes_while_a_response_is_under_way_is_gathered(sotw: bool) -> None:
    envoy = connected(one_service(), sotw=sotw)
    assert envoy.world_becomes(eds("a", "2")) == ["EDS a"]
    assert envoy.world_becomes(eds("a", "3")) == []
    assert envoy.world_becomes(eds("a", "4")) == []
    assert envoy.acks("EDS") == ["EDS a"]
    assert envoy.acks("EDS") == []


@BOTH
def test_what_comes_back_before_the_answer_is_sent_once_more(sotw: bool) -> None:
    envoy = connected(one_service(), sotw=sotw)
    envoy.world_becomes(eds("a", "2"))
    assert envoy.world_becomes(eds("a", "1")) == []
    assert envoy.acks("EDS") == ["EDS a"]


@BOTH
def test_routes_are_not_held_for_ever_by_endpoints_that_nobody_asks_for(sotw: bool) -> None:
    envoy = connected(one_service(), sotw=sotw)
    envoy.world_becomes(cds("b"), eds("b"), rds("r", "2"))
    assert envoy.acks("CDS") == []
    assert envoy.machine.holding
    assert envoy.waits_too_long() == ["RDS r"]
    assert not envoy.machine.holding
    assert envoy.acks("RDS") == []
    assert envoy.world_becomes(rds("r", "3")) == ["RDS r"]  # b was given up and holds no more


@BOTH
def test_that_there_are_no_listeners_is_said_after_the_clusters(sotw: bool) -> None:
    envoy = Conversation(world(cds("a"), eds("a")), sotw=sotw)
    envoy.asks("CDS")
    assert envoy.asks("LDS") == []
    assert envoy.machine.holding
    envoy.acks("CDS")
    envoy.asks("EDS", "a")
    assert envoy.acks("EDS") == ["LDS"]


@BOTH
def test_nothing_is_held_when_nothing_is_due(sotw: bool) -> None:
    envoy = connected(one_service(), sotw=sotw)
    envoy.world_becomes(cds("a", "2"))
    assert not envoy.machine.holding


@BOTH
def test_a_client_without_clusters_is_held_by_none(sotw: bool) -> None:
    client = Conversation(one_service(), sotw=sotw)
    assert client.asks("LDS") == ["LDS l"]
    client.acks("LDS")
    assert client.asks("RDS", "r") == ["RDS r"]
    client.acks("RDS")
    assert client.world_becomes(cds("a", "2"), rds("r", "2")) == ["RDS r"]
