"""P2: adapters that decide by who does what (rbac, expression), and the one that refuses always."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from mesh.api.checks import faults
from mesh.mixer.adapters.denier import Denier, DenierParams
from mesh.mixer.adapters.expression import ExpressionCheck, ExpressionParams
from mesh.mixer.adapters.noop import Noop
from mesh.mixer.adapters.rbac import Rbac, RbacParams
from mesh.rules.adapter import Code, Instance
from tests.loops import run
from tests.mixer.adapters.rig import asked, started

pytestmark = pytest.mark.behaviour("P2")


def allowed(kind: Any, instance: Instance, **params: Any) -> bool:
    async def work() -> bool:
        async with started(kind, **params) as adapter:
            return bool((await adapter.check(instance)).code == Code.OK)

    return run(work())


READ: dict[str, Any] = {"services": ["forecast.*"], "methods": ["GET"], "paths": ["/weather*", "*.json"]}


def roles(subject: dict[str, Any], rule: dict[str, Any] | None = None, **role: Any) -> dict[str, Any]:
    return {
        "roles": [{"name": "reader", "rules": [rule or READ], **role}],
        "bindings": [{"subjects": [subject], "roleRef": {"name": "reader"}}],
    }


def reading(
    user: str = "ann", groups: str = "", *, what: Any = None, who: Any = None, **action: str
) -> Instance:
    usual = {"namespace": "weather", "service": "forecast.weather", "method": "GET", "path": "/weather/today"}
    return asked(user, groups, who=who, what=what, **{**usual, **action})


@pytest.mark.parametrize(
    ("params", "instance", "granted"),
    [
        (roles({"user": "ann"}), reading(), True),
        (roles({"user": "ann"}), reading("bob"), False),
        (roles({"user": "*"}), reading(""), True),
        (roles({"user": "an*"}), reading(), True),
        (roles({"user": "*n"}), reading(), True),
        (roles({"user": "*b"}), reading(), False),
        (roles({"user": "ann"}), reading(path="/a.json"), True),
        (roles({"user": "ann"}), reading(path="/weathe"), False),
        (roles({"user": "ann"}), reading(method="POST"), False),
        (roles({"user": "ann"}), reading(service="frontend.weather"), False),
        (
            roles({"user": "ann"}, {"services": ["*"], "methods": ["*"]}),
            reading(method="POST", path=""),
            True,
        ),
        (roles({"group": "staff"}), reading("", "staff"), True),
        (roles({"group": "staff", "user": "ann"}), reading("ann", "guests"), False),
        (roles({"user": "ann", "properties": {"ip": "10.*"}}), reading(who={"ip": "10.1"}), True),
        (roles({"user": "ann", "properties": {"ip": "10.*"}}), reading(who={"ip": "11.1"}), False),
        (roles({"user": "ann", "properties": {"ip": "10.*"}}), reading(), False),
        (roles({"user": "ann"}, namespace="weather"), reading(), True),
        (roles({"user": "ann"}, namespace="other"), reading(), False),
        (
            roles({"user": "ann"}, {**READ, "constraints": [{"key": "version", "values": ["v1", "v2"]}]}),
            reading(what={"version": "v2"}),
            True,
        ),
        (
            roles({"user": "ann"}, {**READ, "constraints": [{"key": "version", "values": ["v1", "v2"]}]}),
            reading(what={"version": "v3"}),
            False,
        ),
        ({}, reading(), False),
    ],
)
def test_roles(params: dict[str, Any], instance: Instance, granted: bool) -> None:
    assert allowed(Rbac, instance, **params) is granted


def test_answers_of_roles_hold_for_a_while() -> None:
    async def work() -> None:
        async with started(Rbac, **roles({"user": "ann"}), cacheDuration="9s") as adapter:
            yes, no = await adapter.check(reading()), await adapter.check(reading("bob"))
            assert (yes.code, yes.valid_seconds) == (Code.OK, 9.0)
            assert (no.code, no.valid_seconds) == (Code.PERMISSION_DENIED, 9.0)

    run(work())


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"bindings": [{"subjects": [{"user": "a"}], "role": "none"}]}, "bindings[0]"),
        ({**roles({}), "bindings": [{"subjects": [{}], "role": "reader"}]}, "bindings[0].subjects[0]"),
        ({"roles": roles({})["roles"] * 2}, "roles[1].name"),
        ({**roles({}), "bindings": [{"subjects": [{"user": "a"}]}]}, "bindings[0].role"),
    ],
)
def test_wrong_roles_are_named(params: dict[str, Any], path: str) -> None:
    assert path in [fault.path for fault in faults(RbacParams.model_validate(params), "")]


@pytest.mark.parametrize(
    ("expression", "granted"),
    [
        ("true", True),
        ('subject.user == "ann"', True),
        ('subject.user == "bob" || action.path.startsWith("/weather")', True),
        ('action.method in ["POST", "PUT"]', False),
        ('has(subject.properties.ip) && subject.properties.ip == "10.1.2.3"', True),
        ('has(subject.properties.none) && subject.properties.none == "1"', False),
        ('subject.properties.none == "1"', False),
        ('["/weather", "/"].exists(each, action.path.startsWith(each))', True),
        ("action.properties.code > 3", True),
        ('action.path.matches("^/w.*y$")', True),
    ],
)
def test_expressions(expression: str, granted: bool) -> None:
    instance = reading(who={"ip": bytes([10, 1, 2, 3])}, what={"code": 5})
    assert allowed(ExpressionCheck, instance, expression=expression) is granted


def test_a_failure_of_an_expression_refuses_and_is_counted() -> None:
    registry = CollectorRegistry()

    async def work() -> None:
        params: dict[str, Any] = {"expression": 'subject.properties.none == "1"', "message": "not you"}
        async with started(ExpressionCheck, registry=registry, **params) as adapter:
            found = await adapter.check(reading())
            assert (found.code, found.message) == (Code.PERMISSION_DENIED, "not you")

    run(work())
    assert registry.get_sample_value("mixer_expression_failures_total", {"handler": "own.weather"}) == 1


@pytest.mark.parametrize(
    "expression", ["", "1 +", "unknown == 1", "1 + 1", "subject.user", "nothing(subject.user)", '"a']
)
def test_wrong_expressions_are_told(expression: str) -> None:
    (fault,) = faults(ExpressionParams.model_validate({"expression": expression}), "")
    assert fault.path == "expression"


def test_the_denier_refuses_as_it_is_told() -> None:
    async def work() -> None:
        nothing = Instance("n", "checknothing", {})
        async with started(Denier) as usual:
            found = await usual.check(nothing)
            assert (found.code, found.valid_seconds, found.valid_uses) == (
                Code.FAILED_PRECONDITION,
                5.0,
                1000,
            )
        params: dict[str, Any] = {
            "status": {"code": 7, "message": "no"}, "validDuration": "1s", "validUseCount": 3,
        }  # fmt: skip
        async with started(Denier, **params) as own:
            found = await own.check(nothing)
            assert (found.code, found.message) == (Code.PERMISSION_DENIED, "no")
            assert (found.valid_seconds, found.valid_uses) == (1.0, 3)
            quota = await own.quota(nothing, 5, best_effort=True, dedup="")
            assert (quota.granted, quota.code, quota.message) == (0, Code.PERMISSION_DENIED, "no")

    run(work())


@pytest.mark.parametrize("code", [0, -1, 17])
def test_a_denier_that_denies_nothing_is_told(code: int) -> None:
    (fault,) = faults(DenierParams.model_validate({"status": {"code": code}}), "")
    assert fault.path == "status.code"


def test_noop_lets_pass() -> None:
    async def work() -> None:
        async with started(Noop) as adapter:
            assert (await adapter.check(Instance("n", "checknothing", {}))).code == Code.OK
            assert (
                await adapter.quota(Instance("n", "quota", {}), 3, best_effort=False, dedup="")
            ).granted == 3

    run(work())
