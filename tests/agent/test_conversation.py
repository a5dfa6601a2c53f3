"""SDS as the agent speaks it: requests in, answers out."""

import pytest

from mesh.agent.identity.conversation import Answer, Asked, Conversation
from mesh.agent.identity.shelf import DEFAULT, ROOTCA, Shelf
from tests.agent.pairs import Authority

pytestmark = pytest.mark.behaviour("S3")

AUTHORITY = Authority("one")


def shelf(*, trust: bool = True, pair: bool = True) -> Shelf:
    made = Shelf()
    if trust:
        made.put_trust(AUTHORITY.bundle())
    if pair:
        made.put_pair(AUTHORITY.pair())
    return made


def names(answer: Answer | None) -> list[str]:
    assert answer is not None
    return [each.name for each in answer.secrets]


def opened(stored: Shelf, *wanted: str, sotw: bool = False) -> tuple[Conversation, Answer]:
    conversation = Conversation(stored, sotw=sotw)
    answer = conversation.receive(Asked(wanted=wanted))
    assert answer is not None
    return conversation, answer


def ack(conversation: Conversation, answer: Answer, error: str | None = None) -> Answer | None:
    wanted = tuple(sorted(conversation.names)) if conversation.sotw else ()
    return conversation.receive(Asked(nonce=answer.nonce, error=error, wanted=wanted))


def version(stored: Shelf, name: str = DEFAULT) -> str:
    found = stored.get(name)
    assert found is not None
    return found.version


@pytest.mark.parametrize("sotw", [False, True])
def test_what_is_asked_for_is_sent_once_and_again_when_it_changes(sotw: bool) -> None:
    stored = shelf()
    conversation, answer = opened(stored, DEFAULT, sotw=sotw)
    assert names(answer) == [DEFAULT]
    assert ack(conversation, answer) is None
    stored.put_trust(AUTHORITY.bundle(Authority("other")))
    assert conversation.due() is None
    stored.put_pair(AUTHORITY.pair())
    assert names(conversation.due()) == [DEFAULT]
    assert conversation.due() is None


@pytest.mark.parametrize("sotw", [False, True])
def test_what_is_not_there_yet_is_sent_when_it_comes(sotw: bool) -> None:
    stored = shelf(pair=False)
    conversation = Conversation(stored, sotw=sotw)
    assert conversation.receive(Asked(wanted=(DEFAULT,))) is None
    stored.put_pair(AUTHORITY.pair())
    assert names(conversation.due()) == [DEFAULT]


@pytest.mark.parametrize("sotw", [False, True])
def test_accepted_is_what_envoy_accepted_last(sotw: bool) -> None:
    stored = shelf()
    conversation, first = opened(stored, DEFAULT, sotw=sotw)
    assert not conversation.settled(DEFAULT, version(stored))
    assert conversation.settled(ROOTCA, "not asked for here")
    stored.put_pair(AUTHORITY.pair())
    second = conversation.due()
    assert second is not None
    ack(conversation, first)
    assert not conversation.settled(DEFAULT, version(stored))
    ack(conversation, second)
    assert conversation.settled(DEFAULT, version(stored))
    assert conversation.refused == {}


def test_a_late_word_about_an_older_answer_counts_no_more() -> None:
    stored = shelf()
    conversation, first = opened(stored, DEFAULT)
    stored.put_pair(AUTHORITY.pair())
    second = conversation.due()
    assert second is not None
    ack(conversation, second)
    ack(conversation, first, "too old")
    assert conversation.settled(DEFAULT, version(stored))
    assert (conversation.refused, conversation.acked) == ({}, {DEFAULT: version(stored)})


@pytest.mark.parametrize("sotw", [False, True])
def test_a_refusal_is_kept_until_something_else_is_sent(sotw: bool) -> None:
    stored = shelf()
    conversation, answer = opened(stored, DEFAULT, sotw=sotw)
    assert ack(conversation, answer, "no key") is None
    assert conversation.refused == {DEFAULT: "no key"}
    assert conversation.settled(DEFAULT, version(stored))
    stored.put_pair(AUTHORITY.pair())
    assert conversation.due() is not None
    assert conversation.refused == {}


def test_the_state_of_the_world_is_all_that_is_asked_for() -> None:
    stored = shelf()
    conversation, answer = opened(stored, DEFAULT, ROOTCA, sotw=True)
    ack(conversation, answer)
    stored.put_pair(AUTHORITY.pair())
    assert names(conversation.due()) == [ROOTCA, DEFAULT]


def test_the_state_of_the_world_drops_what_is_not_named_any_more() -> None:
    stored = shelf()
    conversation, answer = opened(stored, DEFAULT, ROOTCA, sotw=True)
    conversation.receive(Asked(nonce=answer.nonce, wanted=(ROOTCA,)))
    stored.put_pair(AUTHORITY.pair())
    assert conversation.due() is None


def test_a_reply_to_an_older_answer_changes_nothing() -> None:
    stored = shelf()
    conversation, first = opened(stored, DEFAULT, sotw=True)
    stored.put_pair(AUTHORITY.pair())
    assert conversation.due() is not None
    assert conversation.receive(Asked(nonce=first.nonce, wanted=())) is None
    assert conversation.names == {DEFAULT}


def test_delta_sends_what_changed_only() -> None:
    stored = shelf()
    conversation, answer = opened(stored, DEFAULT, ROOTCA)
    ack(conversation, answer)
    stored.put_pair(AUTHORITY.pair())
    assert names(conversation.due()) == [DEFAULT]


def test_delta_sends_again_what_is_asked_for_again() -> None:
    conversation, answer = opened(shelf(), DEFAULT)
    ack(conversation, answer)
    assert names(conversation.receive(Asked(wanted=(DEFAULT,)))) == [DEFAULT]


def test_delta_leaves_out_what_is_known_and_not_what_was_wanted_no_more() -> None:
    stored = shelf()
    conversation = Conversation(stored, sotw=False)
    known = {DEFAULT: version(stored), ROOTCA: "of old"}
    answer = conversation.receive(Asked(wanted=(DEFAULT, ROOTCA), known=known))
    assert names(answer) == [ROOTCA]
    assert conversation.settled(DEFAULT, version(stored))
    conversation.receive(Asked(unwanted=(ROOTCA,)))
    stored.put_trust(AUTHORITY.bundle(Authority("other")))
    assert conversation.due() is None


def test_delta_says_that_there_is_no_such_secret_once() -> None:
    conversation = Conversation(shelf(), sotw=False)
    answer = conversation.receive(Asked(wanted=("another",)))
    assert answer is not None
    assert (answer.secrets, answer.absent) == ((), ("another",))
    assert ack(conversation, answer) is None


def test_equal_content_is_no_change() -> None:
    told: list[str] = []
    stored = Shelf()
    stored.subscribe(told.append)
    pair = AUTHORITY.pair()
    stored.put_pair(pair)
    stored.put_pair(pair)
    assert told == [DEFAULT]


def test_no_key_is_shown_by_its_representation() -> None:
    stored = shelf()
    assert "PRIVATE" not in f"{stored!r} {stored.get(DEFAULT)!r} {opened(stored, DEFAULT)!r}"
