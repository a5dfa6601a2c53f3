"""G2: what is said to a client that reads configuration, as the protocol has it."""

from typing import Any

import pytest

from mesh.api.kinds import BY_KIND
from mesh.galley import wire
from mesh.galley.conversation import MOST, BadRequest, Conversation
from mesh.galley.feed import Feed
from mesh.galley.store import key_of
from tests.galley.test_store import rule

pytestmark = pytest.mark.behaviour("S3", "G2")
RULES = "istio/networking/v1/destinationrules"


def named(name: str, version: str) -> dict[str, Any]:
    obj = rule(version)
    obj["metadata"]["name"] = name
    return obj


def feed_of(**versions: str) -> Feed:
    feed = Feed([BY_KIND["DestinationRule"]])
    for name, version in versions.items():
        put(feed, name, version)
    return feed


def put(feed: Feed, name: str, version: str | None) -> None:
    obj = named(name, version or "0")
    feed.take(key_of(obj), obj if version else None)


def asking(**held: str) -> Any:
    versions = {f"weather/{name}": version for name, version in held.items()}
    return wire.RequestResources(collection=RULES, initial_resource_versions=versions, incremental=True)


def ack(answer: Any, error: str = "") -> Any:
    request = wire.RequestResources(collection=answer.collection, response_nonce=answer.nonce)
    if error:
        request.error_detail.message = error
    return request


def shown(answer: Any) -> tuple[dict[str, str], list[str]]:
    changed = {each.metadata.name: each.metadata.version for each in answer.resources}
    return changed, list(answer.removed_resources)


def test_a_new_client_gets_everything_once() -> None:
    talk = Conversation(feed_of(a="1", b="2"))
    talk.hear(asking())
    (answer,) = talk.answers()
    assert shown(answer) == ({"weather/a": "1", "weather/b": "2"}, [])
    assert answer.system_version_info
    assert list(talk.answers()) == []


def test_one_that_comes_back_gets_what_differs() -> None:
    talk = Conversation(feed_of(a="1", b="3", d="4"))
    talk.hear(asking(a="1", b="2", c="9"))
    (answer,) = talk.answers()
    assert shown(answer) == ({"weather/b": "3", "weather/d": "4"}, ["weather/c"])


def test_even_an_empty_collection_is_answered_once() -> None:
    talk = Conversation(feed_of())
    talk.hear(asking())
    (answer,) = talk.answers()
    assert shown(answer) == ({}, [])
    talk.hear(ack(answer))
    assert list(talk.answers()) == []


def test_changes_wait_for_the_acknowledgement_and_come_together() -> None:
    feed = feed_of(a="1")
    talk = Conversation(feed)
    feed.subscribe(lambda *change: told.append(talk.changed(*change)))
    told: list[bool] = []
    talk.hear(asking())
    (first,) = talk.answers()
    put(feed, "a", "2")
    put(feed, "a", "3")
    put(feed, "b", "4")
    assert list(talk.answers()) == []
    assert talk.hear(ack(first)).acked
    (second,) = talk.answers()
    assert shown(second) == ({"weather/a": "3", "weather/b": "4"}, [])
    assert told == [False, False, False]


def test_an_acknowledgement_of_something_else_counts_for_nothing() -> None:
    feed = feed_of(a="1")
    talk = Conversation(feed)
    talk.hear(asking())
    (first,) = talk.answers()
    put_request = ack(first)
    put_request.response_nonce = "other"
    assert not talk.hear(put_request).acked
    feed.subscribe(talk.changed)
    put(feed, "a", "2")
    assert list(talk.answers()) == []


def test_a_refusal_is_heard_and_not_answered_by_the_same_again() -> None:
    feed = feed_of(a="1")
    talk = Conversation(feed)
    talk.hear(asking())
    (answer,) = talk.answers()
    said = talk.hear(ack(answer, error="cannot use it"))
    assert (said.acked, said.refused) == (False, "cannot use it")
    assert list(talk.answers()) == []


def test_what_comes_and_goes_unseen_is_never_mentioned() -> None:
    feed = feed_of()
    talk = Conversation(feed)
    feed.subscribe(talk.changed)
    talk.hear(asking())
    (first,) = talk.answers()
    put(feed, "a", "1")
    put(feed, "a", None)
    talk.hear(ack(first))
    assert list(talk.answers()) == []


def test_a_large_state_comes_in_parts_of_which_the_last_says_so() -> None:
    feed = feed_of(**{f"r{number}": "1" for number in range(MOST + 5)})
    talk = Conversation(feed)
    talk.hear(asking())
    (first,) = talk.answers()
    assert (len(first.resources), first.system_version_info) == (MOST, "")
    talk.hear(ack(first))
    (second,) = talk.answers()
    assert len(second.resources) == 5
    assert second.system_version_info


def test_a_collection_that_there_is_not_is_refused() -> None:
    with pytest.raises(BadRequest, match="no collection 'pods'"):
        Conversation(feed_of()).hear(wire.RequestResources(collection="pods"))
