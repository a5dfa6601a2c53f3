"""Checks by rules, asked as Envoy asks: who is refused, with what words, and what becomes of headers."""

from pathlib import Path
from typing import Any

import pytest

from tests.loops import run
from tests.mixer.policy.rig import action, handler, instance, request, rule, running
from tests.mixer.probe import probes

pytestmark = pytest.mark.behaviour("P4")

NOTHING = instance("nothing", "checknothing")


def refusing(name: str = "deny", code: int = 7, **params: Any) -> dict[str, Any]:
    return handler(name, "probe", code=code, message="no", **params)


def asking(of: str) -> list[dict[str, Any]]:
    """An instance and a rule that sends it to a handler on each call."""
    return [NOTHING, rule("r", actions=[action(of, "nothing")])]


def pairs(options: Any) -> list[tuple[str, str]]:
    return [(each.header.key, each.header.value) for each in options]


def test_what_no_rule_matches_is_allowed(tmp_path: Path) -> None:
    async def work() -> None:
        rules = rule("r", 'source.labels["app"] == "other"', [action("deny", "nothing")])
        async with running(tmp_path, refusing(), NOTHING, rules) as rig:
            answer = await rig.check(request())
            assert answer.status.code == 0
            assert answer.HasField("ok_response")

    run(work())


def test_a_refusal_names_handler_and_reason(tmp_path: Path) -> None:
    async def work() -> None:
        rules = rule("r", 'source.labels["app"] == "frontend"', [action("deny", "nothing")])
        async with running(tmp_path, refusing(), NOTHING, rules) as rig:
            answer = await rig.check(request())
            assert answer.status.code == 7
            assert answer.denied_response.status.code == 403
            assert answer.denied_response.body == "PERMISSION_DENIED:deny.istio-system:no"
            assert await rig.metric('mixer_policy_checks_total{code="PERMISSION_DENIED"}') == 1

    run(work())


@pytest.mark.parametrize(
    ("match", "status"),
    [
        ('source.name == "frontend-v1"', 403),
        ('destination.labels["version"] == "v1"', 403),
        ('destination.service.host == "forecast.weather.svc.cluster.local"', 403),
        ('destination.namespace == "weather" && destination.port == 3002', 403),
        ('source.principal == "cluster.local/ns/weather/sa/frontend"', 403),
        ("connection.mtls", 403),
        ('request.headers["user"] == "ann"', 403),
        ('request.path == "/now?city=x" && request.url_path == "/now"', 403),
        ('request.query_params["city"] == "x"', 403),
        ('request.method == "GET" && request.host == "forecast:3002"', 403),
        ('source.ip == ip("10.0.0.2")', 403),
        ('context.reporter.kind == "inbound" && context.protocol == "http"', 403),
        ('request.headers["absent"] == "x"', 200),
        ('(request.headers["absent"] | "none") == "none"', 403),
        ('request.auth.principal == "x"', 200),
        ('destination.service.name != "forecast"', 200),
    ],
)
def test_rules_speak_of_all_that_is_known(tmp_path: Path, match: str, status: int) -> None:
    async def work() -> None:
        rules = rule("r", match, [action("deny", "nothing")])
        async with running(tmp_path, refusing(), NOTHING, rules) as rig:
            found = await rig.status(
                {"user": "ann"}, path="/now?city=x", principal="spiffe://cluster.local/ns/weather/sa/frontend"
            )
            assert found == status

    run(work())


def test_the_first_refusal_counts_and_ends_the_checks(tmp_path: Path) -> None:
    async def work() -> None:
        objects = [
            refusing("first", 16),
            refusing("second", 7),
            NOTHING,
            rule("b", actions=[action("second", "nothing")]),
            rule("a", actions=[action("first", "nothing")]),
        ]
        async with running(tmp_path, *objects) as rig:
            assert await rig.status() == 401
            assert probes("second.istio-system")[0].asked == 0

    run(work())


def test_rules_of_a_namespace_are_for_calls_to_it_and_after_those_for_all(tmp_path: Path) -> None:
    async def work() -> None:
        objects = [
            handler("deny", "probe", "weather", code=7),
            instance("nothing", "checknothing", "weather"),
            rule("r", actions=[action("deny", "nothing")], namespace="weather"),
        ]
        async with running(tmp_path, *objects) as rig:
            assert await rig.status() == 403
            assert await rig.status(destination="10.9.9.9") == 200, "nobody knows that address"
            await rig.change(
                *objects,
                refusing("all", 16),
                NOTHING,
                rule("z", actions=[action("all", "nothing")]),
            )
            assert await rig.status() == 401

    run(work())


def test_header_operations_of_rules(tmp_path: Path) -> None:
    async def work() -> None:
        objects = [
            handler("look", "probe", output={"role": "admin"}),
            instance("who", "listentry", value='source.labels["app"] | "nobody"'),
            rule(
                "r",
                'request.method == "GET"',
                [action("look", "who", name="found")],
                requestHeaderOperations=[
                    {"name": "x-role", "values": ["found.output.role"]},
                    {"name": "x-who", "values": ["found.output.value"], "operation": "APPEND"},
                    {"name": "x-secret", "operation": "REMOVE"},
                ],
                responseHeaderOperations=[{"name": "x-checked", "values": ['"yes"']}],
            ),
        ]
        async with running(tmp_path, *objects) as rig:
            ok = (await rig.check(request())).ok_response
            assert pairs(ok.headers) == [("x-role", "admin"), ("x-who", "frontend")]
            assert list(ok.headers_to_remove) == ["x-secret"]
            assert pairs(ok.response_headers_to_add) == [("x-checked", "yes")]
            other = (await rig.check(request(method="POST"))).ok_response
            assert not other.headers

    run(work())


def test_answers_are_used_again_as_the_adapter_allows(tmp_path: Path) -> None:
    async def work() -> None:
        objects = [
            handler("look", "probe", seconds=60, uses=3),
            instance("who", "listentry", value='request.headers["user"] | "nobody"'),
            rule("r", actions=[action("look", "who")]),
        ]
        async with running(tmp_path, *objects) as rig:
            for path in ("/a", "/b", "/c"):
                assert await rig.status({"user": "ann"}, path=path) == 200
            (look,) = probes("look.istio-system")
            assert look.asked == 1, "what was not looked at does not matter"
            await rig.status({"user": "ann"})
            assert look.asked == 2, "it could be used three times"
            await rig.status({"user": "bob"})
            await rig.status()
            assert look.asked == 4
            assert await rig.metric("mixer_check_cache_hits_total") == 2
            assert await rig.metric("mixer_check_cache_misses_total") == 4

    run(work())


def test_other_rules_begin_with_an_empty_cache(tmp_path: Path) -> None:
    async def work() -> None:
        objects = [handler("look", "probe", seconds=60), *asking("look")]
        async with running(tmp_path, *objects) as rig:
            assert [await rig.status(), await rig.status()] == [200, 200]
            await rig.change(handler("look", "probe", seconds=60, code=7), *objects[1:])
            assert await rig.status() == 403

    run(work())


def test_a_connection_without_http_is_checked_too(tmp_path: Path) -> None:
    async def work() -> None:
        rules = rule(
            "r",
            'context.protocol == "tcp" && source.labels["app"] == "frontend"',
            [action("deny", "nothing")],
        )
        async with running(tmp_path, refusing(), NOTHING, rules) as rig:
            asked = request(extensions={})
            asked.attributes.request.Clear()
            place = "context.protocol=tcp;context.reporter.kind=inbound;destination.port=3002"
            answer = await rig.check(asked, metadata=(("x-mesh-context", place),))
            assert answer.status.code == 7
            http = await rig.check(request(extensions={"context.protocol": "tcp"}))
            assert http.status.code == 0, "a request is what it is, whatever is said of the place"

    run(work())


def test_a_verified_token_is_known(tmp_path: Path) -> None:
    async def work() -> None:
        match = (
            'request.auth.principal == "https://idp/ann" && request.auth.claims["groups"] == "a,b"'
            ' && request.auth.audiences == "forecast"'
        )
        rules = rule("r", match, [action("deny", "nothing")])
        async with running(tmp_path, refusing(), NOTHING, rules) as rig:
            asked = request()
            claims: Any = {
                "iss": "https://idp",
                "sub": "ann",
                "groups": ["a", "b"],
                "aud": "forecast",
                "exp": 1.0,
            }
            metadata = asked.attributes.metadata_context.filter_metadata
            metadata["envoy.filters.http.jwt_authn"].update({"payload": claims})
            assert (await rig.check(asked)).status.code == 7
            assert await rig.status() == 200

    run(work())


def test_a_gateway_is_the_source_and_the_caller_keeps_its_address(tmp_path: Path) -> None:
    async def work() -> None:
        match = (
            'context.reporter.kind == "outbound" && source.labels["app"] == "frontend"'
            ' && source.ip == ip("192.0.2.1") && origin.ip == ip("192.0.2.1")'
        )
        rules = rule("r", match, [action("deny", "nothing")])
        async with running(tmp_path, refusing(), NOTHING, rules) as rig:
            asked = request(
                source="192.0.2.1", destination="10.0.0.2", extensions={"context.reporter.kind": "outbound"}
            )
            assert (await rig.check(asked)).status.code == 7

    run(work())


def test_grpc_is_known_by_its_content_type(tmp_path: Path) -> None:
    async def work() -> None:
        rules = rule("r", 'context.protocol == "grpc"', [action("deny", "nothing")])
        async with running(tmp_path, refusing(), NOTHING, rules) as rig:
            assert await rig.status({"content-type": "application/grpc+proto"}) == 403
            assert await rig.status({"content-type": "application/json"}) == 200

    run(work())
