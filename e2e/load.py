"""An even stream of requests to every service of the demo, from the client's Pod, and what it may claim.

The generator is a process of its own inside the cluster and an open loop: a request is sent when it is due,
whether or not earlier ones are answered, and never again. So a stall is seen by all that were due in it.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pytest_mesh import Responses, all_ok
from pytest_mesh.demo import Weather
from pytest_mesh.traffic import Load

SHARES = {
    "http://forecast:3002/weather": 0.4,
    "http://advertisement:3003/ads": 0.3,
    "http://recommendation:3005/recommendation?condition=rain": 0.25,
    "http://frontend:3000/api/weather": 0.05,  # each is three or four more
}
CONFIDENCE = 3.0
"""Rule of three: of n independent requests none failed, so the rate of failures is below 3/n (95 % sure)."""


class Loads:
    """The streams of one test; half of each over kept, half over fresh connections."""

    def __init__(self, loads: list[Load]) -> None:
        self._loads = loads

    def wait_for(self, seconds: float, rate: float) -> None:
        """Return when so many seconds' worth of requests more are done."""
        self._loads[0].wait_for(
            max(1, int(seconds * rate * next(iter(SHARES.values())) / 2)), deadline=seconds + 30
        )

    def check(self) -> str:
        """None failed; what that says."""
        total = 0
        for load in self._loads:
            responses: Responses = load.responses
            responses.check(all_ok())
            total += len(responses)
        return f"0 of {total} requests failed: a rate below {CONFIDENCE / total:.4%} (95 % confidence)"


@contextmanager
def everywhere(weather: Weather, rate: float) -> Iterator[Loads]:
    """So many requests a second in all, as long as the block runs."""
    with ExitStack() as stack:
        yield Loads(
            [
                stack.enter_context(weather.client.load(url, rate=rate * share / 2, keep_alive=kept))
                for url, share in SHARES.items()
                for kept in (True, False)
            ]
        )
