"""Which proxies get which filters: the rules, the settings and the workload decide."""

from typing import Any

import pytest

from tests.pilot.compile.world import contains, gateway
from tests.pilot.mixer.mixed import CALLING, Mixed, deny, forecast

pytestmark = pytest.mark.behaviour("P4")
RULES, GATE, CHECK = "meshwright.mixer.rules", "meshwright.mixer.gate", "meshwright.mixer.check"


def test_without_rules_there_is_nothing() -> None:
    assert not Mixed().filters(forecast())


def test_a_rule_that_envoy_can_follow_asks_nobody() -> None:
    world = Mixed(*deny(match='request.headers["x-user"] == "mallory"'))
    assert list(world.filters(forecast())) == [RULES]
    policies = world.filters(forecast())[RULES]["rules"]["policies"]
    assert list(policies) == ["mixer[0000]-rule[deny.istio-system]"]
    reply = world.chain(forecast())["local_reply_config"]["mappers"]
    contains(reply, [{"status_code": 403, "body": {"inline_string": "PERMISSION_DENIED:no.istio-system:no"}}])


def test_a_rule_that_only_mixer_can_follow_is_a_call() -> None:
    world = Mixed(*deny(match=CALLING))
    assert list(world.filters(forecast())) == [CHECK]
    contains(
        world.filters(forecast())[CHECK],
        {
            "grpc_service": {
                "envoy_grpc": {"cluster_name": "outbound|15004||istio-policy.istio-system.svc.cluster.local"},
                "timeout": "1s",
            },
            "status_on_error": {"code": "ServiceUnavailable"},
        },
    )


def test_istio_policy_is_told_of_the_place() -> None:
    world = Mixed(*deny(match=CALLING))
    host = world.chain(forecast())["route_config"]["virtual_hosts"][0]
    settings = host["typed_per_filter_config"][CHECK]["check_settings"]
    assert settings["context_extensions"] == {
        "context.protocol": "http",
        "context.reporter.kind": "inbound",
        "destination.namespace": "weather",
        "destination.port": "3002",
        "destination.service.host": "forecast.weather.svc.cluster.local",
    }


def test_only_calls_that_need_it_are_asked_about() -> None:
    world = Mixed(*deny(match=f'request.method == "POST" && {CALLING}'))
    found = world.filters(forecast())
    assert list(found) == [GATE, CHECK]
    contains(
        found[GATE]["shadow_rules"]["policies"]["mixer-asks"]["principals"],
        [{"header": {"name": ":method", "string_match": {"exact": "POST"}}}],
    )
    contains(found[CHECK]["filter_enabled_metadata"], {"value": {"string_match": {"exact": "mixer-asks"}}})


def test_a_rule_is_for_the_workloads_that_its_match_can_hold_for() -> None:
    world = Mixed(*deny(match='destination.labels["version"] == "v2"'))
    assert not world.filters(forecast("v1"))
    assert list(world.filters(forecast("v2"))) == [RULES]


def test_a_rule_of_a_namespace_is_for_what_is_called_there() -> None:
    world = Mixed(*deny(namespace="elsewhere"))
    assert not world.filters(forecast())
    world.give(*deny(namespace="weather"))
    assert list(world.filters(forecast())) == [RULES]


def test_what_comes_behind_the_question_stands_behind_it() -> None:
    """The order of rules is that of their names, and the first refusal counts."""
    objects = [*deny("a", 'request.method == "PUT"'), *deny("b", CALLING), *deny("c", 'request.path == "/x"')]
    world = Mixed(*objects)
    names = [each["name"] for each in world.chain(forecast())["http_filters"]]
    mine = [name for name in names if name.startswith("meshwright.mixer")]
    assert mine == [RULES, CHECK, RULES]


def test_gateways_check_too() -> None:
    world = Mixed(*deny(match='context.reporter.kind == "outbound"'))
    world.rules(
        """
        kind: Gateway
        metadata: {name: front, namespace: istio-system}
        spec:
          selector: {istio: ingressgateway}
          servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
        """
    )
    found = world.listener(gateway(), "0.0.0.0_8080")["filter_chains"][0]["filters"][0]["typed_config"]
    assert RULES in [each["name"] for each in found["http_filters"]]
    assert not world.filters(forecast())


# Settings


@pytest.mark.parametrize(
    "settings", [{"disablePolicyChecks": True}, {"mixerCheckServer": ""}], ids=["disabled", "nobody"]
)
def test_the_mesh_switches_checks_off(settings: dict[str, Any]) -> None:
    assert not Mixed(*deny(), **settings).filters(forecast())


def test_a_workload_switches_them() -> None:
    world = Mixed(*deny())
    assert not world.filters(forecast(check="disable"))
    world = Mixed(*deny(), disablePolicyChecks=True)
    assert world.filters(forecast("v2", check="enable"))


def test_a_namespace_switches_them_and_its_workloads_have_the_last_word() -> None:
    world = Mixed(*deny())
    world.namespace("weather", check="disable")
    assert not world.filters(forecast())
    assert world.filters(forecast("v2", check="enable"))


@pytest.mark.parametrize(
    ("annotations", "settings", "allowed"),
    [
        ({}, {}, False),
        ({}, {"policyCheckFailOpen": True}, True),
        ({"check": "allow-on-error"}, {}, True),
        ({"check": "enable"}, {"policyCheckFailOpen": True}, False),
    ],
)
def test_what_becomes_of_calls_if_nobody_answers(
    annotations: dict[str, str], settings: dict[str, Any], allowed: bool
) -> None:
    found = Mixed(*deny(match=CALLING), **settings).filters(forecast(**annotations))[CHECK]
    assert found.get("failure_mode_allow", False) is allowed


def test_time_limit_and_retries() -> None:
    world = Mixed(*deny(match=CALLING), policyCheckTimeout="3s")
    service = world.filters(forecast())[CHECK]["grpc_service"]
    assert (service["timeout"], service["retry_policy"]["num_retries"]) == ("3s", 2)
    own = world.filters(forecast("v2", checkTimeout="250ms", checkRetries="0"))[CHECK]["grpc_service"]
    assert own["timeout"] == "0.250s" and "retry_policy" not in own
