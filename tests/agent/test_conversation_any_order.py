"""Whatever Envoy asks and whenever secrets change: nothing unasked is sent, and the newest is sent once."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.agent.identity.conversation import Answer, Asked, Conversation
from mesh.agent.identity.shelf import DEFAULT, ROOTCA, Shelf
from tests.agent.pairs import Authority

pytestmark = pytest.mark.behaviour("S3")

AUTHORITY = Authority("one")
PAIRS = [AUTHORITY.pair() for _ in range(3)]
BUNDLES = [AUTHORITY.bundle(), AUTHORITY.bundle(Authority("two"))]
NAMES = st.lists(st.sampled_from([DEFAULT, ROOTCA, "another"]), unique=True, max_size=3).map(tuple)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pair"), st.sampled_from(PAIRS)),
        st.tuples(st.just("trust"), st.sampled_from(BUNDLES)),
        st.tuples(st.just("want"), NAMES),
        st.tuples(st.just("leave"), NAMES),
        st.tuples(st.just("reply"), st.sampled_from([None, "no"])),
        st.tuples(st.just("stale"), st.sampled_from(["", "no", "77"])),
    ),
    max_size=25,
)


class Client:
    """Envoy, as the protocol binds it: it replies to the newest answer, and has what it was sent."""

    def __init__(self, shelf: Shelf, *, sotw: bool) -> None:
        self.shelf = shelf
        self.conversation = Conversation(shelf, sotw=sotw)
        self.sotw = sotw
        self.names: set[str] = set()
        self.open: Answer | None = None
        self.has: dict[str, str] = {}

    def do(self, step: str, value: Any) -> None:
        if step == "pair":
            self.shelf.put_pair(value)
            self.take(self.conversation.due())
        elif step == "trust":
            self.shelf.put_trust(value)
            self.take(self.conversation.due())
        elif step == "stale":
            self.ask(Asked(nonce="never given", error=value or None, wanted=tuple(sorted(self.names))))
        elif step == "reply":
            self.reply(value)
        else:
            self.subscribe(step, value)

    def subscribe(self, step: str, value: tuple[str, ...]) -> None:
        if step == "want":
            self.names |= set(value)
            gone: tuple[str, ...] = ()
        else:
            self.names -= set(value)
            gone = value
        for name in gone:
            self.has.pop(name, None)
        nonce = self.open.nonce if self.sotw and self.open else ""
        wanted = tuple(sorted(self.names)) if self.sotw else (value if step == "want" else ())
        self.ask(Asked(nonce=nonce, wanted=wanted, unwanted=() if self.sotw else gone))

    def reply(self, error: str | None) -> None:
        if self.open is not None:
            answer, self.open = self.open, None
            wanted = tuple(sorted(self.names)) if self.sotw else ()
            self.ask(Asked(nonce=answer.nonce, error=error, wanted=wanted))

    def ask(self, asked: Asked) -> None:
        self.take(self.conversation.receive(asked))

    def take(self, answer: Answer | None) -> None:
        if answer is None:
            return
        assert {each.name for each in answer.secrets} <= self.names
        assert set(answer.absent) <= self.names - {DEFAULT, ROOTCA}
        self.has |= {each.name: each.version for each in answer.secrets}
        self.open = answer


@pytest.mark.parametrize("sotw", [False, True])
@given(steps=STEPS)
@settings(max_examples=300, deadline=None)
def test_in_the_end_envoy_has_what_there_is(sotw: bool, steps: list[tuple[str, Any]]) -> None:
    shelf = Shelf()
    client = Client(shelf, sotw=sotw)
    for step, value in steps:
        client.do(step, value)
        there = {name: stored.version for name in client.names if (stored := shelf.get(name))}
        assert client.has == there
    client.reply(None)
    assert client.open is None
