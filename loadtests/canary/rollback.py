"""The way back: weight 0 in force, traffic that shows no answer of the canary any more, the rule restored."""

import time
from collections.abc import Callable

import requests

from loadtests.canary.errors import CanaryError
from loadtests.canary.generator import Generators, Job
from loadtests.canary.hold import by_side
from loadtests.canary.journal import Journal, Rule
from loadtests.canary.rollout import Rollout
from loadtests.canary.route import BASELINE, CANARY, at_weight
from loadtests.openloop.lines import Ended, Labelled
from pytest_mesh.errors import HarnessError
from pytest_mesh.kube import Obj
from pytest_mesh.mesh import Mesh
from pytest_mesh.pilot import reference

PROOF_RATE, PROOF_SECONDS = 40, 2.0
PATIENCE = 60.0
AGAIN = 1.0


def settled(mesh: Mesh, written: Obj, timeout: float) -> None:
    """Return when what was written is in force at every proxy; `NotInForce` and the like if it is not."""
    mesh.pilot.wait_in_force([reference(written)], timeout=timeout)


class Rollback:
    """Puts the rule of a journal back. Each part is tried again for a minute: control planes come back."""

    def __init__(
        self,
        rollout: Rollout,
        mesh: Mesh,
        rule: Rule,
        journal: Journal,
        url: str,
        event: Callable[[str], None],
    ) -> None:
        self._rollout, self._mesh, self._rule, self._journal = rollout, mesh, rule, journal
        self._url, self._event = url, event

    def run(self, at_zero: Callable[[], None] = lambda: None) -> None:
        """All of it; `at_zero` is told when weight 0 is in force.

        `HarnessError` if a part stays impossible; the journal stays on the rule then.
        """
        self._event("rolling back: weight 0")
        zero = at_weight(self._journal.spec, self._rollout, 0)
        self._patiently(lambda: self._in_force(self._rule.write(zero, self._journal)))
        at_zero()
        self._event("weight 0 is in force")
        self._patiently(self._prove)
        self._patiently(lambda: self._in_force(self._rule.restore(self._journal)))
        self._event("the rule is as it was, in force")

    def _in_force(self, written: Obj) -> None:
        settled(self._mesh, written, self._rollout.spec.in_force_timeout)

    def _prove(self) -> None:
        """Traffic without one answer of the canary; without any answer nothing is shown."""
        sides = self._traffic()
        canary, baseline = sides.get(CANARY), sides.get(BASELINE)
        if canary is not None and canary.count:
            raise CanaryError(f"{canary.count} answers of the canary came at weight 0")
        if baseline is None or not baseline.count:
            self._event("no answer told its side: that the canary is gone is shown by the proxies' ACK alone")
            return
        self._event(f"{baseline.count} answers, none of the canary")

    def _traffic(self) -> dict[str, Labelled]:
        load = self._rollout.spec.load
        job = Job(self._url, f"constant:{PROOF_RATE}", PROOF_SECONDS, load)
        with Generators([job]) as running:
            while True:
                got = running.next(PATIENCE)
                if got is None:
                    raise CanaryError(f"the generator has said nothing for {PATIENCE:g} s")
                if isinstance(got[1], Ended):
                    return by_side(job, got[1].labels)

    def _patiently(self, attempt: Callable[[], None]) -> None:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                attempt()
            except (HarnessError, requests.RequestException, OSError) as error:
                if time.monotonic() > end:
                    raise
                self._event(f"again in {AGAIN:g} s: {error}")
                time.sleep(AGAIN)
            else:
                return
