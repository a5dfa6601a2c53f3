"""P4, O4: istio-policy and istio-telemetry are killed, frozen and slowed under load.

What happens to requests is what the fail policy says; the figures are in the tests' captured output.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from e2e.mixer import Mixer, denial
from e2e.processes import frozen, slowed
from e2e.security import mesh_settings
from mesh.platform.mixer import POLICY, TELEMETRY
from pytest_mesh import Responses, all_ok, eventually, status
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj
from pytest_mesh.pods import Pod

pytestmark = [pytest.mark.behaviour("P4", "O4"), pytest.mark.usefixtures("fresh_connections")]
RATE = 40
ECHO = "http://echo.weather/"
TO_ECHO = 'destination.labels["app"] == "echo"'
ASKED = 'destination.labels["app"] == "forecast" && source.labels["version"] == "v9"'
TIMEOUT_MS = 1000


@pytest.fixture
def asked(weather: Weather, mixer: Mixer) -> None:
    """Forecast's sidecars ask istio-policy about every call; it allows them all."""
    mixer.apply(denial("asked", ASKED))
    weather.client.get(weather.forecast, count=4).check(all_ok())


@contextmanager
def fail_open(weather: Weather, allowed: bool) -> Iterator[None]:
    """What becomes of calls that nobody has judged; in force at forecast."""
    with mesh_settings(weather.mesh, policyCheckFailOpen=allowed):
        for version in ("v1", "v2"):
            proxy = weather.pod("forecast", version).proxy
            words = '"failure_mode_allow": true'
            eventually(lambda: (words in proxy.request("GET", "/config_dump")) == allowed, 120)  # noqa: B023
        yield


@contextmanager
def killed(weather: Weather, mixer: Mixer, program: str = POLICY) -> Iterator[None]:
    """No Pod of it in the block."""
    with weather.mesh.undoing():
        weather.mesh.scale("istio-system", program, 0)
        eventually(lambda: not weather.mesh.pods("istio-system", app=program), 20)
        yield


@contextmanager
def stopped(weather: Weather, mixer: Mixer, program: str = POLICY) -> Iterator[None]:
    """It does nothing in the block, and its connections stay."""
    with frozen(weather.mesh.cluster, program):
        yield


@contextmanager
def hindered(weather: Weather, mixer: Mixer, program: str = POLICY) -> Iterator[None]:
    """It runs a quarter of the time."""
    with slowed(weather.mesh.cluster, program):
        yield


TROUBLES = {"killed": killed, "frozen": stopped}
# Each trouble and each fail policy is in the quick run; the other pairs are for long runs.
KILLED_AT_LENGTH = [pytest.param("killed", marks=pytest.mark.deep), "frozen"]
FROZEN_AT_LENGTH = ["killed", pytest.param("frozen", marks=pytest.mark.deep)]


def under(weather: Weather, trouble: AbstractContextManager[None], seconds: float) -> Responses:
    """What came of an even load while the trouble lasted; requests that are due after it do not count."""
    with trouble, weather.client.load(weather.forecast, rate=RATE) as load:
        load.wait_for(int(RATE * seconds), deadline=seconds + 30)
    return load.responses


def figures(what: str, responses: Responses) -> None:
    print(
        f"{what}: {dict(responses.statuses)}, p50 {responses.percentile(50):.0f} ms,"
        f" p99 {responses.percentile(99):.0f} ms of {len(responses)}"
    )


@pytest.mark.parametrize("how", KILLED_AT_LENGTH)
def test_without_policy_requests_pass_if_it_may_fail_open(
    weather: Weather, mixer: Mixer, asked: None, how: str
) -> None:
    with fail_open(weather, True):
        responses = under(weather, TROUBLES[how](weather, mixer), 2)
    figures(f"istio-policy {how}, fail open", responses)
    responses.check(all_ok())
    assert responses.percentile(99) < TIMEOUT_MS + 500


@pytest.mark.parametrize("how", FROZEN_AT_LENGTH)
def test_without_policy_requests_are_refused_if_it_must_not(
    weather: Weather, mixer: Mixer, asked: None, how: str
) -> None:
    with fail_open(weather, False):
        responses = under(weather, TROUBLES[how](weather, mixer), 2)
        figures(f"istio-policy {how}, fail closed", responses)
        assert {response.status for response in responses} == {503}
        assert responses.percentile(99) < TIMEOUT_MS + 500
        weather.client.get_until(weather.forecast, all_ok(), count=20, deadline=20)


@pytest.mark.parametrize("how", KILLED_AT_LENGTH)
def test_without_telemetry_no_request_fails_or_waits(weather: Weather, mixer: Mixer, how: str) -> None:
    responses = under(weather, TROUBLES[how](weather, mixer, TELEMETRY), 2)
    figures(f"istio-telemetry {how}", responses)
    responses.check(all_ok())
    assert responses.percentile(99) < 500


@pytest.mark.deep
@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("how", ["killed", "frozen", "slowed"])
def test_policy_in_trouble_for_long(
    weather: Weather, mixer: Mixer, asked: None, how: str, allowed: bool
) -> None:
    """Before, in and after the trouble: bounded time, answers by the fail policy, and all well at the end."""
    trouble = {**TROUBLES, "slowed": hindered}[how]
    with fail_open(weather, allowed):
        responses = under(weather, trouble(weather, mixer), 20)
        figures(f"istio-policy {how}, fail {'open' if allowed else 'closed'}, 20 s", responses)
        assert {r.status for r in responses} <= ({200} if allowed else {200, 503})
        assert responses.percentile(99) < TIMEOUT_MS + 500
        weather.client.get_until(weather.forecast, all_ok(), count=50, deadline=30)


@pytest.mark.deep
@pytest.mark.parametrize("how", ["killed", "frozen", "slowed"])
def test_telemetry_in_trouble_for_long(weather: Weather, mixer: Mixer, how: str) -> None:
    trouble = {**TROUBLES, "slowed": hindered}[how]
    responses = under(weather, trouble(weather, mixer, TELEMETRY), 20)
    figures(f"istio-telemetry {how}, 20 s", responses)
    responses.check(all_ok())
    assert responses.percentile(99) < 500


def test_a_workload_may_be_left_out(weather: Weather, mixer: Mixer, echo: Pod) -> None:
    mixer.apply(denial("all", TO_ECHO))
    weather.client.get(ECHO).check(status(403))
    item: Obj = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "weather", "name": "echo"},
    }  # fmt: skip
    template: Obj = {"metadata": {"annotations": {"policy.istio.io/check": "disable"}}}
    mesh = weather.mesh
    mesh.wait_for([mesh.journal.patch(item, {"spec": {"template": template}})])
    weather.client.get_until(ECHO, all_ok())
