"""People who look at the weather, for Locust: copy this file and make it yours.

    locust -f weather_http.py --host http://127.0.0.1:8080                    (its web page: port 8089)
    locust -f weather_http.py --host ... --headless -u 20 -r 5 -t 1m --csv weather --html weather.html
    locust -f weather_http.py --host ... --headless -t 1m --master --expect-workers 2
    locust -f weather_http.py --worker --master-host ...                      (two of these, anywhere)

Locust writes its CSV files once a second and not once more at the end; --json-file FILE has the whole.

These users are a closed loop: each asks again only when it has its answer, so a server that stalls is asked
less. To see what strangers who arrive by the clock would wait, use `meshctl load openloop`.
"""

import logging
import random
from typing import Any

from locust import FastHttpUser, between, events, task
from locust.contrib.fasthttp import ResponseContextManager
from locust.env import Environment

CITIES = ("Hangzhou", "Rome", "Oslo", "Lima", "Nairobi", "Sydney")


class Visitor(FastHttpUser):
    """Opens the page now and then, and mostly asks for a city's weather, as the page's script does."""

    wait_time = between(0.1, 0.5)
    host = "http://127.0.0.1:8080"

    @task(9)
    def weather(self) -> None:
        """A forecast; which version answered stands in the statistics, so a canary has a line of its own."""
        with self.client.get(
            "/api/weather", params={"city": random.choice(CITIES)}, name="/api/weather", catch_response=True
        ) as response:
            judge(response)

    @task(1)
    def page(self) -> None:
        """The page itself."""
        self.client.get("/", name="/")


def judge(response: ResponseContextManager) -> None:
    """An answer without a forecast is a failure, whatever its status; a good one is named for its version."""
    if response.status_code != 200:
        refuse(response, f"status {response.status_code}")
        return
    forecast = (response.json() or {}).get("forecast") or {}
    if "version" not in forecast:
        refuse(response, "an answer without a forecast")
        return
    response.request_meta["name"] = f"/api/weather ({forecast['version']})"


def refuse(response: ResponseContextManager, reason: str) -> None:
    """Count it as a failure."""
    response.failure(reason)  # type: ignore[no-untyped-call]  # Locust's


@events.quitting.add_listener  # type: ignore[untyped-decorator]  # Locust's
def nothing_is_no_success(environment: Environment, **_: Any) -> None:
    """A run without one answer has shown nothing: it fails."""
    options = environment.parsed_options
    asks = options is not None and options.headless and not options.worker
    if asks and not environment.stats.total.num_requests:
        logging.error("no request was answered: lengthen --run-time, and see that --host is there")
        environment.process_exit_code = 1
