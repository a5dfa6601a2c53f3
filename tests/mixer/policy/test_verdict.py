"""Answers as Envoy gets them."""

import pytest
from envoy.config.core.v3 import base_pb2
from envoy.service.auth.v3 import external_auth_pb2

from mesh.mixer.policy.verdict import ALLOWED, HeaderOperation, Verdict, exhausted, refused
from mesh.rules import answers
from mesh.rules.adapter import CheckResult, Code, QuotaResult

pytestmark = pytest.mark.behaviour("P4")


def message(verdict: Verdict) -> external_auth_pb2.CheckResponse:
    return external_auth_pb2.CheckResponse.FromString(verdict.wire)


def headers(options: "list[base_pb2.HeaderValueOption]") -> dict[str, str]:
    return {each.header.key: each.header.value for each in options}


def test_allowed() -> None:
    answer = message(ALLOWED)
    assert answer.status.code == 0
    assert answer.HasField("ok_response")


def test_a_refusal_says_who_and_why_as_classic_mixer() -> None:
    answer = message(refused(CheckResult(Code.PERMISSION_DENIED, "Not allowed"), "denyall.istio-system"))
    assert answer.status.code == 7
    assert answer.denied_response.status.code == 403
    assert answer.denied_response.body == "PERMISSION_DENIED:denyall.istio-system:Not allowed"


def test_an_adapter_may_choose_status_body_and_headers() -> None:
    result = CheckResult(Code.UNAUTHENTICATED, "x", status=302, body="go", headers={"location": "/login"})
    denied = message(refused(result, "h.ns")).denied_response
    assert (denied.status.code, denied.body) == (302, "go")
    assert headers(list(denied.headers))["location"] == "/login"


def test_an_exhausted_quota_is_429_and_says_when_to_come_back() -> None:
    verdict = exhausted(QuotaResult(0, retry_after=2.1), "quotas.istio-system", "requestcount.istio-system")
    denied = message(verdict).denied_response
    assert denied.status.code == 429
    assert denied.body.startswith("RESOURCE_EXHAUSTED:quotas.istio-system:")
    assert headers(list(denied.headers))["retry-after"] == "3"


def test_header_operations() -> None:
    answer = message(
        Verdict(
            request_headers=(
                HeaderOperation("x-user", "REPLACE", "ann"),
                HeaderOperation("x-role", "APPEND", "admin"),
                HeaderOperation("x-secret", "REMOVE"),
            ),
            response_headers=(HeaderOperation("x-seen", "REPLACE", "yes"),),
        )
    ).ok_response
    assert headers(list(answer.headers)) == {"x-user": "ann", "x-role": "admin"}
    assert [each.append.value for each in answer.headers] == [False, True]
    assert list(answer.headers_to_remove) == ["x-secret"]
    assert headers(list(answer.response_headers_to_add)) == {"x-seen": "yes"}


@pytest.mark.parametrize(
    ("code", "status"), [(3, 400), (4, 504), (5, 404), (7, 403), (8, 429), (13, 500), (14, 503), (16, 401)]
)
def test_each_code_has_its_status(code: int, status: int) -> None:
    assert answers.http_status(code) == status
    assert answers.body(code, "h.ns", "m") == f"{Code(code).name}:h.ns:m"


def test_a_code_that_there_is_not_is_an_internal_error() -> None:
    assert answers.http_status(99) == 500
    assert answers.body(99, "h.ns", "m") == "UNKNOWN:h.ns:m"


@pytest.mark.parametrize(("seconds", "text"), [(0, "1"), (0.2, "1"), (1.0, "1"), (59.1, "60")])
def test_retry_after_is_in_whole_seconds(seconds: float, text: str) -> None:
    assert answers.retry_after(seconds) == text
