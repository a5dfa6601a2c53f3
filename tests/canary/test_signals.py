"""H4: signals end a rollout once, and do not disturb its roll back."""

import os
import signal

import pytest

from loadtests.canary.signals import SIGNALS, deferred, terminable

pytestmark = pytest.mark.behaviour("H4")


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_interrupts_and_more_only_tell(number: signal.Signals) -> None:
    said: list[str] = []
    before = signal.getsignal(number)
    with deferred(said.append):
        with pytest.raises(KeyboardInterrupt), terminable():
            try:
                signal.raise_signal(number)
            finally:
                os.kill(os.getpid(), number)  # impatient: while the block is being left
                signal.raise_signal(number)
        assert said == []
        signal.raise_signal(number)
        assert said == ["the rule is being put back: wait for it"]
    assert signal.getsignal(number) == before
