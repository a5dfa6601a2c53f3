"""W7: a burst of which some is refused and some fails: every count of it agrees to the request."""

from collections import Counter
from contextlib import ExitStack

import pytest

from e2e.helpers import mood
from e2e.mixer import Mixer, Prometheus
from e2e.test_p3_quota import quota
from pytest_mesh import Responses, eventually
from pytest_mesh.demo import Weather

pytestmark = [pytest.mark.behaviour("W7", "O1", "O2"), pytest.mark.usefixtures("fresh_connections", "steady")]
USER = "ann"


def burst(weather: Weather, count: int) -> Responses:
    """So many requests at once as the client sends them; a tenth of those that arrive fail."""
    with ExitStack() as stack:
        for version in ("v1", "v2"):
            stack.enter_context(mood(weather.pod("forecast", version), 3002, error_rate=0.1))
        headers = {"end-user": USER}
        return weather.client.get(weather.forecast, headers=headers, count=count, concurrency=32)


def agree(weather: Weather, mixer: Mixer, prometheus: Prometheus, count: int) -> None:
    """The client's own count, Prometheus (both sides), the log and the ledger say the same."""
    mixer.apply(weather.rule("mixer/billing"), weather.rule("mixer/log-entry"))
    mixer.apply(quota("of-the-burst", "forecast", count * 7 // 10, 3600))

    def billed() -> int:
        return sum(int(row["requests"]) for row in mixer.usage() if row["consumer"] == "client")

    def counted() -> dict[str, float]:
        found = prometheus.ask(
            "sum by (reporter, response_code) (istio_requests_total"
            '{source_app="client",destination_app="forecast"})'
        )
        named = [(each["metric"], float(each["value"][1])) for each in found]
        return {f"{m['reporter']} {m['response_code']}": value for m, value in named}

    def logged() -> Counter[str]:
        return Counter(str(each["code"]) for each in mixer.logged("forecast-log") if each["user"] == USER)

    prometheus.quiet()
    before, earlier, ledger = counted(), logged(), billed()
    own = burst(weather, count).statuses
    assert sum(own.values()) == count
    assert set(own) == {"200", "429", "500"}, own
    assert own["429"] == count - count * 7 // 10
    wanted = {f"{side} {code}": n for side in ("source", "destination") for code, n in own.items()}

    def agreed() -> bool:
        now = counted()
        assert {name: now.get(name, 0) - before.get(name, 0) for name in wanted} == wanted
        assert logged() - earlier == own
        assert billed() - ledger == count
        return True

    eventually(agreed, 60)
    prometheus.quiet()
    agreed()


def test_a_burst_of_a_thousand(weather: Weather, mixer: Mixer, prometheus: Prometheus) -> None:
    agree(weather, mixer, prometheus, 1000)


@pytest.mark.deep
def test_a_burst_of_ten_thousand(weather: Weather, mixer: Mixer, prometheus: Prometheus) -> None:
    agree(weather, mixer, prometheus, 10_000)
