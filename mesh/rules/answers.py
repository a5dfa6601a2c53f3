"""What a caller is told when a check refuses: HTTP status, body and headers.

One place, so that a rule compiled into a proxy answers as istio-policy does.
Source: google/rpc/code.proto (the HTTP mapping of each code);
classic Mixer's body `CODE:handler.namespace:message`.
"""

import math
from collections.abc import Mapping

from mesh.rules.adapter import CheckResult, Code, QuotaResult

HTTP_STATUS: Mapping[int, int] = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}


def http_status(code: int) -> int:
    """The HTTP status of a google.rpc.Code; 500 for a code that there is not."""
    return HTTP_STATUS.get(code, 500)


def body(code: int, handler: str, message: str) -> str:
    """The text that a refused caller gets; `handler` is the full name (`name.namespace`)."""
    return f"{code_name(code)}:{handler}:{message}"


def code_name(code: int) -> str:
    """`PERMISSION_DENIED` and the like; `UNKNOWN` for a code that there is not."""
    return Code(code).name if code in HTTP_STATUS else Code.UNKNOWN.name


def status_of(result: CheckResult) -> int:
    """The status of a refusal: what the adapter chose, or else what its code means."""
    return result.status or http_status(result.code)


def body_of(result: CheckResult, handler: str) -> str:
    """The body of a refusal: what the adapter chose, or else code, handler and message."""
    return result.body or body(result.code, handler, result.message)


def retry_after(seconds: float) -> str:
    """The header `retry-after`: whole seconds, rounded up, at least one."""
    return str(max(1, math.ceil(seconds)))


def quota_code(result: QuotaResult) -> int:
    """The code of a refused quota: RESOURCE_EXHAUSTED unless the adapter named another."""
    return result.code or Code.RESOURCE_EXHAUSTED


def quota_body(result: QuotaResult, handler: str, quota: str) -> str:
    """The body of a refused quota; `quota` is the instance's full name."""
    return body(quota_code(result), handler, result.message or f"Quota is exhausted for: {quota}")


def unlisted(value: str, *, blacklist: bool) -> CheckResult:
    """What listchecker refuses with: 403 for what is on a black list, 404 for what is on no white list."""
    if blacklist:
        return CheckResult(Code.PERMISSION_DENIED, f"{value} is blacklisted")
    return CheckResult(Code.NOT_FOUND, f"{value} is not whitelisted")


def no_address(value: str) -> CheckResult:
    """What listchecker refuses with where an address is looked for and the value is none."""
    return CheckResult(Code.INVALID_ARGUMENT, f"{value} is not a valid IP address")


NO_ROLE = CheckResult(Code.PERMISSION_DENIED, "RBAC: permission denied.")
"""What rbac refuses with."""
