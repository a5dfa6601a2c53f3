"""Who asks for what, in both forms of the protocol. Source: Envoy, "xDS REST and gRPC protocol"."""

import pytest

from mesh.pilot.ads.messages import DeltaRequest, SotwRequest
from mesh.pilot.types import CDS, EDS
from tests.pilot.ads.conversation import Conversation, cds, connected, eds, lds, rds
from tests.pilot.ads.world import world

pytestmark = pytest.mark.behaviour("X1")
BOTH = pytest.mark.parametrize("sotw", [False, True], ids=["delta", "sotw"])


@BOTH
def test_a_first_request_without_names_asks_for_all_clusters(sotw: bool) -> None:
    client = Conversation(world(cds("a"), cds("b")), sotw=sotw)
    assert client.asks("CDS") == ["CDS a b"]
    assert client.acks("CDS") == []


@BOTH
def test_the_first_request_for_all_is_answered_even_if_there_is_nothing(sotw: bool) -> None:
    client = Conversation(world(), sotw=sotw)
    assert client.asks("CDS") == ["CDS"]
    assert client.acks("CDS") == []


@BOTH
def test_endpoints_and_routes_without_names_are_no_subscription(sotw: bool) -> None:
    client = Conversation(world(eds("a"), rds("r")), sotw=sotw)
    assert client.asks("EDS") == []
    assert client.asks("RDS") == []


@BOTH
def test_names_are_sent_as_they_are_asked_for(sotw: bool) -> None:
    client = Conversation(world(eds("a"), eds("b"), eds("c")), sotw=sotw)
    assert client.asks("EDS", "a") == ["EDS a"]
    assert client.acks("EDS") == []
    assert client.asks("EDS", "b") == ["EDS b"]


@BOTH
def test_what_is_not_asked_for_is_not_sent_when_it_changes(sotw: bool) -> None:
    client = Conversation(world(eds("a"), eds("b")), sotw=sotw)
    client.asks("EDS", "a")
    client.acks("EDS")
    assert client.world_becomes(eds("b", "2")) == []
    assert client.world_becomes(eds("a", "2")) == ["EDS a"]


@BOTH
def test_what_was_dropped_is_not_sent_and_comes_anew_when_asked_for_again(sotw: bool) -> None:
    client = Conversation(world(eds("a"), eds("b")), sotw=sotw)
    client.asks("EDS", "a", "b")
    client.acks("EDS")
    assert client.drops("EDS", "b") == []
    assert client.world_becomes(eds("b", "2")) == []
    assert client.asks("EDS", "b") == ["EDS b"]


@BOTH
def test_named_clusters_only(sotw: bool) -> None:
    client = Conversation(world(cds("a"), cds("b")), sotw=sotw)
    assert client.asks("CDS", "b") == ["CDS b"]
    client.acks("CDS")
    assert client.world_becomes(cds("a", "2")) == []


def test_a_name_that_does_not_exist_is_said_to_be_gone() -> None:
    client = Conversation(world())
    assert client.asks("EDS", "a") == ["EDS -a"]
    assert client.acks("EDS") == []
    assert client.world_becomes(eds("a")) == ["EDS a"]


def test_a_name_asked_for_again_is_sent_again_unchanged() -> None:
    client = Conversation(world(eds("a")))
    client.asks("EDS", "a")
    client.acks("EDS")
    assert client.asks("EDS", "a") == ["EDS a"]


def test_a_missing_name_asked_for_again_is_said_to_be_gone_again() -> None:
    client = Conversation(world())
    client.asks("EDS", "a")
    client.acks("EDS")
    assert client.asks("EDS", "a") == ["EDS -a"]


def test_a_star_asks_for_all_and_names_may_be_added() -> None:
    client = Conversation(world(cds("a"), cds("b")))
    assert client.asks("CDS", "*") == ["CDS a b"]
    client.acks("CDS")
    assert client.asks("CDS", "x") == ["CDS -x"]


def test_the_old_way_to_ask_for_all_lasts_when_names_are_added() -> None:
    client = Conversation(world(cds("a")))
    client.asks("CDS")
    client.acks("CDS")
    client.asks("CDS", "x")
    client.acks("CDS")
    assert client.world_becomes(cds("b")) == ["CDS b"]


def test_a_name_dropped_under_a_star_is_sent_again_for_the_client_cannot_know() -> None:
    client = Conversation(world(cds("a")))
    client.asks("CDS", "*", "a", "x")
    client.acks("CDS")
    assert client.drops("CDS", "a", "x") == ["CDS a -x"]


def test_without_the_star_only_the_names_are_left() -> None:
    client = Conversation(world(cds("a"), cds("b")))
    client.asks("CDS", "*", "a")
    client.acks("CDS")
    assert client.drops("CDS", "*") == []
    assert client.world_becomes(cds("a", "2"), cds("b", "2")) == ["CDS a"]


def test_in_sotw_names_end_the_old_way_to_ask_for_all_and_no_names_then_mean_none() -> None:
    client = Conversation(world(cds("a"), cds("b")), sotw=True)
    client.asks("CDS")
    client.acks("CDS")
    client.asks("CDS", "a")
    client.acks_all()
    client.drops("CDS", "a")
    client.acks_all()
    assert client.world_becomes(cds("a", "2"), cds("b", "2")) == []


def test_a_change_of_the_subscription_may_ride_on_an_ack() -> None:
    client = Conversation(world(eds("a"), eds("b")))
    client.asks("EDS", "a")
    nonce = client.open.pop(EDS).nonce
    assert client.asks("EDS", "b", nonce=nonce) == ["EDS b"]


def test_in_sotw_a_request_with_an_old_nonce_is_ignored() -> None:
    client = Conversation(world(eds("a"), eds("b")), sotw=True)
    client.asks("EDS", "a")
    client.acks("EDS")
    client.world_becomes(eds("a", "2"))
    stale = SotwRequest(type_url=EDS, names=("a", "b"), nonce="1")
    assert client.machine.receive(stale).responses == ()


def test_in_delta_an_unknown_nonce_answers_nothing_but_the_subscription_counts() -> None:
    client = Conversation(world(eds("a"), eds("b")))
    client.asks("EDS", "a")
    outcome = client.machine.receive(DeltaRequest(type_url=EDS, nonce="999", subscribe=("b",)))
    assert outcome.answer is None
    assert outcome.responses == ()  # one response of a type at a time
    assert client.acks("EDS") == ["EDS b"]


def test_in_sotw_every_message_of_clusters_carries_the_whole_state() -> None:
    client = Conversation(world(cds("a"), cds("b")), sotw=True)
    client.asks("CDS")
    client.acks("CDS")
    assert client.world_becomes(cds("b", "2")) == ["CDS b"]
    assert client.full("CDS") == ["a@1", "b@2"]


def test_in_sotw_a_message_of_endpoints_carries_only_what_changed() -> None:
    client = Conversation(world(eds("a"), eds("b")), sotw=True)
    client.asks("EDS", "a", "b")
    client.acks("EDS")
    client.world_becomes(eds("b", "2"))
    assert client.full("EDS") == ["b@2"]


@BOTH
def test_what_is_dropped_and_asked_for_again_while_it_is_under_way_is_sent_again(sotw: bool) -> None:
    """The client may have read and dropped it in between."""
    client = Conversation(world(eds("a")), sotw=sotw)
    assert client.asks("EDS", "a") == ["EDS a"]
    client.last.clear()  # the client has not read it yet
    client.names["EDS"].clear()
    if sotw:
        client.machine.receive(SotwRequest(type_url=EDS, names=("b",)))
    else:
        client.machine.receive(DeltaRequest(type_url=EDS, unsubscribe=("a",)))
    assert client.asks("EDS", "a") == []
    assert client.acks("EDS") == ["EDS a"]


@BOTH
def test_an_unknown_type_has_no_resources(sotw: bool) -> None:
    client = Conversation(world(), sotw=sotw)
    url = "type.googleapis.com/no.such.Type"
    if sotw:
        outcome = client.machine.receive(SotwRequest(type_url=url, names=("a",)))
    else:
        outcome = client.machine.receive(DeltaRequest(type_url=url, subscribe=("a",)))
    assert all(not response.changed for response in outcome.responses)


@BOTH
def test_a_change_that_is_none_sends_nothing(sotw: bool) -> None:
    client = connected(world(cds("a"), eds("a"), lds("l", route="r"), rds("r")), sotw=sotw)
    assert client.world_becomes() == []
    assert client.world_becomes(cds("a"), eds("a"), lds("l", route="r"), rds("r")) == []


def test_removed_in_delta_and_left_out_in_sotw() -> None:
    delta, sotw = Conversation(world(cds("a"), cds("b"))), Conversation(world(cds("a"), cds("b")), sotw=True)
    for client in (delta, sotw):
        client.asks("CDS")
        client.acks("CDS")
        assert client.world_becomes(without=[("CDS", "a")]) == ["CDS -a"]
    assert sotw.full("CDS") == ["b@1"]
    assert CDS in sotw.open
