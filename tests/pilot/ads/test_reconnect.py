"""A client that was here before says what it holds; only what differs is sent, and nothing breaks."""

import pytest

from tests.pilot.ads.conversation import Conversation, cds, eds, lds, rds
from tests.pilot.ads.world import world

pytestmark = pytest.mark.behaviour("X4")


def test_who_holds_everything_is_sent_endpoints_only() -> None:
    """The stream may have been lost between a changed cluster and its endpoints: Envoy still waits."""
    envoy = Conversation(world(cds("a"), eds("a"), lds("l", route="r"), rds("r")))
    assert envoy.asks("CDS", has={"a": "1"}) == []
    assert envoy.asks("EDS", "a", has={"a": "1"}) == ["EDS a"]
    assert envoy.acks("EDS") == []
    assert envoy.asks("LDS", has={"l": "1"}) == []
    assert envoy.asks("RDS", "r", has={"r": "1"}) == []
    assert envoy.machine.unsettled() == {}


def test_what_changed_meanwhile_is_sent() -> None:
    envoy = Conversation(world(cds("a", "2"), cds("b")))
    assert envoy.asks("CDS", has={"a": "1", "b": "1"}) == ["CDS a"]


def test_endpoints_of_a_cluster_that_changed_meanwhile_are_sent_though_the_client_has_them() -> None:
    envoy = Conversation(world(cds("a", "2"), eds("a")))
    assert envoy.asks("CDS", has={"a": "1"}) == ["CDS a"]
    assert envoy.asks("EDS", "a", has={"a": "1"}) == ["EDS a"]


def test_what_is_gone_is_taken_away_only_when_routes_have_moved() -> None:
    envoy = Conversation(world(cds("b"), eds("b"), lds("l", route="r"), rds("r", "2")))
    assert envoy.asks("CDS", has={"a": "1"}) == ["CDS b"]
    assert envoy.asks("EDS", "a", has={"a": "1"}) == ["EDS -a"]  # Envoy may be waiting for them
    envoy.acks("EDS")
    assert envoy.acks("CDS") == []
    assert envoy.asks("EDS", "b") == ["EDS b"]
    assert envoy.asks("LDS", has={"l": "1"}) == []
    assert envoy.asks("RDS", "r", has={"r": "1"}) == []  # b's endpoints are not answered for yet
    assert envoy.acks("EDS") == ["RDS r"]
    assert envoy.acks("RDS") == ["CDS -a"]


def test_it_is_taken_away_in_the_end_also_from_a_client_that_has_no_listeners() -> None:
    client = Conversation(world(cds("b")))
    client.asks("CDS", has={"a": "1", "b": "1"})
    assert client.machine.holding
    assert client.waits_too_long() == ["CDS -a"]


def test_routes_that_the_client_holds_are_not_waited_for() -> None:
    envoy = Conversation(world(lds("l", "2", route="r"), rds("r")))
    envoy.asks("CDS", has={"gone": "1"})
    assert envoy.asks("LDS", has={"l": "1"}) == ["LDS l"]
    assert envoy.asks("RDS", "r", has={"r": "1"}) == []
    assert envoy.acks("LDS") == ["CDS -gone"]


def test_in_sotw_everything_is_sent_again() -> None:
    envoy = Conversation(world(cds("a"), eds("a")), sotw=True)
    assert envoy.asks("CDS", nonce="from another stream") == ["CDS a"]
    assert envoy.asks("EDS", "a", nonce="from another stream") == ["EDS a"]
