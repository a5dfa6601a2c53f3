"""What is watched while a step holds: the control plane lives, the rule is ours, the deadline is not over."""

import threading
from collections.abc import Callable

import requests

from loadtests.canary.errors import CanaryError
from loadtests.canary.journal import Journal, Rule
from pytest_mesh.errors import HarnessError
from pytest_mesh.kube import Obj
from pytest_mesh.mesh import Mesh

EVERY, PATIENCE = 2.0, 10.0  # seconds
ALIVE = "/debug/syncz"


class Watch:
    """Looks every two seconds in a thread of its own; `check` raises what it found. A context."""

    def __init__(
        self, mesh: Mesh, rule: Rule, journal: Journal, spec: Obj, clock: Callable[[], float]
    ) -> None:
        self._mesh, self._rule, self._journal, self._spec, self._clock = mesh, rule, journal, spec, clock
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._fault: HarnessError | None = None
        self._seen = clock()

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def check(self) -> None:
        """Raises `CanaryError` if the rollout may not go on."""
        if self._fault is not None:
            raise self._fault
        if self._clock() > self._journal.until:
            raise CanaryError("the deadline of the rollout is over", remedy="raise spec.deadline")

    def _run(self) -> None:
        while not self._ended.wait(EVERY) and self._fault is None:
            try:
                self._rule.check_ours(self._journal, self._spec)
                self._mesh.pilot.request("GET", ALIVE, timeout=5)
                self._seen = self._clock()
            except CanaryError as error:
                self._fault = error
            except (HarnessError, requests.RequestException, OSError) as error:
                if self._clock() - self._seen > PATIENCE:
                    self._fault = CanaryError(
                        f"the control plane is lost: {error}", remedy="see 'meshctl status'"
                    )
