"""Secrets in the conversation: they wait for nothing, are owed to who needs them, and may be missing."""

import pytest

from mesh.pilot.types import SDS
from tests.pilot.ads.conversation import Conversation, eds, lds, rds, res, sds
from tests.pilot.ads.world import World, world

pytestmark = pytest.mark.behaviour("S3")
BOTH = pytest.mark.parametrize("sotw", [False, True], ids=["delta", "sotw"])


def secure(*secrets: str) -> World:
    cluster = res("CDS", "a", "1", ("EDS", "a"), ("SDS", "ROOTCA"))
    return world(cluster, eds("a"), lds("l", route="r"), rds("r"), *map(sds, secrets))


def owed(envoy: Conversation) -> set[str]:
    return {name for kind, name in envoy.machine.owed if kind == SDS}


@BOTH
def test_a_secret_is_sent_while_its_cluster_is_not_yet_accepted(sotw: bool) -> None:
    """Envoy keeps back its ACK of clusters until they are warm, and they warm by their secrets."""
    envoy = Conversation(secure("ROOTCA"), sotw=sotw)
    assert envoy.asks("CDS") == ["CDS a"]
    assert owed(envoy) == {"ROOTCA"}
    assert envoy.asks("SDS", "ROOTCA") == ["SDS ROOTCA"]
    assert envoy.acks("SDS") == []
    assert owed(envoy) == set()
    assert envoy.asks("EDS", "a") == ["EDS a"]


@BOTH
def test_a_changed_cluster_uses_the_secret_that_is_there(sotw: bool) -> None:
    envoy = whole(sotw)
    changed = res("CDS", "a", "2", ("EDS", "a"), ("SDS", "ROOTCA"))
    assert envoy.world_becomes(changed) == ["CDS a", "EDS a"]
    assert owed(envoy) == set()


@BOTH
def test_a_changed_secret_waits_for_nothing(sotw: bool) -> None:
    envoy = whole(sotw)
    assert envoy.world_becomes(res("CDS", "a", "2", ("EDS", "a"))) == ["CDS a", "EDS a"]
    assert envoy.world_becomes(sds("ROOTCA", "2")) == ["SDS ROOTCA"]


def test_a_missing_secret_is_said_to_be_missing_and_owed_no_longer() -> None:
    envoy = Conversation(secure())
    envoy.asks("CDS")
    assert envoy.asks("SDS", "ROOTCA") == ["SDS -ROOTCA"]
    assert envoy.acks("SDS") == []
    assert owed(envoy) == set()
    assert envoy.world_becomes(sds("ROOTCA")) == ["SDS ROOTCA"]


def test_the_state_of_the_world_has_no_words_for_a_missing_secret() -> None:
    envoy = Conversation(secure(), sotw=True)
    envoy.asks("CDS")
    assert envoy.asks("SDS", "ROOTCA") == ["SDS"]
    assert envoy.acks("SDS") == []
    assert owed(envoy) == set()
    assert envoy.world_becomes(sds("ROOTCA")) == ["SDS ROOTCA"]


@BOTH
def test_a_refused_secret_is_offered_again_when_it_changes(sotw: bool) -> None:
    envoy = whole(sotw)
    assert envoy.world_becomes(sds("ROOTCA", "2")) == ["SDS ROOTCA"]
    assert envoy.refuses("SDS", "bad certificate") == []
    assert envoy.machine.watches[SDS].rejected["ROOTCA"].error == "bad certificate"
    assert envoy.machine.unsettled() == {}
    assert envoy.world_becomes(sds("ROOTCA", "3")) == ["SDS ROOTCA"]
    assert envoy.acks("SDS") == []
    assert not envoy.machine.watches[SDS].rejected


def test_a_secret_that_is_asked_for_again_is_sent_again() -> None:
    envoy = whole(sotw=False)
    assert envoy.drops("SDS", "ROOTCA") == []
    assert envoy.asks("SDS", "ROOTCA") == ["SDS ROOTCA"]


def whole(sotw: bool) -> Conversation:
    """An Envoy that has all of it."""
    envoy = Conversation(secure("ROOTCA"), sotw=sotw)
    for kind, names in (("CDS", ()), ("SDS", ("ROOTCA",)), ("EDS", ("a",)), ("LDS", ()), ("RDS", ("r",))):
        envoy.asks(kind, *names)
        envoy.acks_all()
    assert not envoy.machine.unsettled()
    return envoy
