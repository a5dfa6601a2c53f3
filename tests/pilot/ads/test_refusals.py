"""NACK: recorded with the client's words, told apart from its neighbours, not sent again until it changes."""

import pytest

from mesh.pilot.types import CDS, LDS, RDS
from tests.pilot.ads.conversation import Conversation, cds, connected, eds, lds, rds
from tests.pilot.ads.world import World, world

pytestmark = pytest.mark.behaviour("X2")
BOTH = pytest.mark.parametrize("sotw", [False, True], ids=["delta", "sotw"])


def one_service() -> World:
    return world(cds("a"), eds("a"), lds("l", route="r"), rds("r"))


@BOTH
def test_a_refused_resource_is_recorded_and_not_sent_again(sotw: bool) -> None:
    envoy = connected(one_service(), sotw=sotw)
    envoy.world_becomes(rds("r", "bad"))
    assert envoy.refuses("RDS", "no domains") == []
    refusal = envoy.machine.watches[RDS].rejected["r"]
    assert (refusal.version, refusal.error) == ("bad", "no domains")
    assert envoy.world_becomes() == []
    assert envoy.world_becomes(cds("z"), eds("z"))[:1] == ["CDS z"]
    assert not envoy.machine.unsettled().get(RDS)


@BOTH
def test_it_is_sent_when_it_changes_and_the_refusal_is_forgotten(sotw: bool) -> None:
    envoy = connected(one_service(), sotw=sotw)
    envoy.world_becomes(rds("r", "bad"))
    envoy.refuses("RDS")
    assert envoy.world_becomes(rds("r", "good")) == ["RDS r"]
    envoy.acks("RDS")
    assert not envoy.machine.watches[RDS].rejected


@BOTH
def test_going_back_to_what_the_client_has_needs_no_message(sotw: bool) -> None:
    envoy = connected(one_service(), sotw=sotw)
    envoy.world_becomes(rds("r", "bad"))
    envoy.refuses("RDS")
    assert envoy.world_becomes(rds("r", "1")) == []
    assert not envoy.machine.watches[RDS].rejected


@BOTH
def test_the_bad_one_of_many_is_found_and_the_good_ones_get_through(sotw: bool) -> None:
    envoy = Conversation(world(*(lds(name) for name in "abcd")), sotw=sotw)
    said = envoy.asks("LDS")
    offered = []
    while said:
        offered += said
        bad = "c" in said[0].split()
        said = envoy.refuses("LDS", "c is bad") if bad else envoy.acks("LDS")
    assert offered == ["LDS a b c d", "LDS a b", "LDS c d", "LDS c", "LDS d"]
    watch = envoy.machine.watches[LDS]
    assert sorted(watch.accepted) == ["a", "b", "d"]
    assert list(watch.rejected) == ["c"]


def test_in_sotw_the_whole_state_has_the_last_good_version_of_what_was_refused() -> None:
    envoy = Conversation(world(cds("a"), cds("b")), sotw=True)
    envoy.asks("CDS")
    envoy.acks("CDS")
    envoy.world_becomes(cds("a", "bad"))
    envoy.refuses("CDS")
    envoy.world_becomes(cds("b", "2"), cds("c"))
    assert envoy.full("CDS") == ["a@1", "b@2", "c@1"]


def test_in_sotw_what_was_never_accepted_is_left_out() -> None:
    envoy = Conversation(world(cds("bad")), sotw=True)
    envoy.asks("CDS")
    envoy.refuses("CDS")
    envoy.world_becomes(cds("a"))
    assert envoy.full("CDS") == ["a@1"]


@BOTH
def test_a_refused_route_keeps_the_cluster_that_its_last_good_version_uses(sotw: bool) -> None:
    envoy = connected(one_service(), sotw=sotw)
    said = envoy.world_becomes(cds("b"), eds("b"), rds("r", "bad"), without=[("CDS", "a"), ("EDS", "a")])
    assert said == ["CDS b"]
    envoy.acks("CDS")
    envoy.asks("EDS", "b")
    assert envoy.acks("EDS") == ["RDS r"]
    assert envoy.refuses("RDS") == []
    assert not envoy.machine.holding  # kept on purpose, not late
    assert envoy.machine.unsettled() == {}
    assert envoy.world_becomes(rds("r", "good")) == ["RDS r"]
    assert envoy.acks("RDS") == ["CDS -a"]


@BOTH
def test_a_refused_cluster_does_not_hold_the_routes(sotw: bool) -> None:
    envoy = connected(one_service(), sotw=sotw)
    assert envoy.world_becomes(cds("bad"), eds("bad"), rds("r", "2")) == ["CDS bad"]
    assert envoy.refuses("CDS") == ["RDS r"]


@BOTH
def test_a_refused_resource_that_goes_is_forgotten(sotw: bool) -> None:
    envoy = Conversation(world(lds("a")), sotw=sotw)
    envoy.asks("LDS")
    envoy.acks("LDS")
    envoy.world_becomes(lds("bad"))
    envoy.refuses("LDS")
    assert envoy.machine.watches[LDS].rejected
    assert envoy.world_becomes(without=[("LDS", "bad")]) == []
    assert not envoy.machine.watches[LDS].rejected


def test_a_change_during_the_search_for_the_bad_one_is_not_lost() -> None:
    envoy = Conversation(world(cds("a"), cds("b")))
    envoy.asks("CDS")
    assert envoy.refuses("CDS") == ["CDS a"]
    assert envoy.world_becomes(cds("b", "2"), cds("c")) == []
    assert envoy.acks("CDS") == ["CDS b"]
    assert envoy.acks("CDS") == ["CDS c"]
    assert envoy.acks("CDS") == []
    assert {name: each.version for name, each in envoy.machine.watches[CDS].accepted.items()} == {
        "a": "1",
        "b": "2",
        "c": "1",
    }
