"""W8: the seed scenario: frontend may ask forecast at a rate; refusals are counted, others untouched."""

import pytest

from e2e.mixer import Mixer, Prometheus, grown
from pytest_mesh import all_ok
from pytest_mesh.demo import Weather

pytestmark = [pytest.mark.behaviour("W8"), pytest.mark.usefixtures("fresh_connections", "steady")]
LIMIT = 10


def test_refusals_are_counted_and_others_are_untouched(
    weather: Weather, mixer: Mixer, prometheus: Prometheus
) -> None:
    def read() -> dict[str, float]:
        found = prometheus.ask(
            "sum by (source_app, response_code) (istio_requests_total"
            '{reporter="destination",destination_app="forecast"})'
        )
        named = [(each["metric"], float(each["value"][1])) for each in found]
        return {f"{m['source_app']} {m['response_code']}": value for m, value in named}

    mixer.apply(weather.rule("mixer/limit-memory"))
    with grown(
        prometheus, read, {"frontend 200": LIMIT, "frontend 429": 5, "client 200": 20, "client 429": 0}
    ):
        responses = weather.outside.get("/api/weather", count=LIMIT + 5)
        assert sum(response.ok for response in responses) == LIMIT
        weather.client.get(weather.forecast, count=20).check(all_ok())
