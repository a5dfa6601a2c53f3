"""What a check came to, as a value, and as the message that Envoy gets.

Answers are serialized once: a cached verdict costs no protobuf work.
Source: envoy/service/auth/v3/external_auth.proto.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from envoy.config.core.v3 import base_pb2
from envoy.service.auth.v3 import external_auth_pb2

from mesh.rules import answers, removal
from mesh.rules.adapter import CheckResult, Code, QuotaResult

REPLACE, APPEND, REMOVE = "REPLACE", "APPEND", "REMOVE"
ACTIONS = {
    REPLACE: base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    APPEND: base_pb2.HeaderValueOption.APPEND_IF_EXISTS_OR_ADD,
}


@dataclass(frozen=True, slots=True)
class HeaderOperation:
    """One thing to do to a header: REPLACE or APPEND with a value, or REMOVE."""

    name: str
    operation: str
    value: str = ""


@dataclass(frozen=True)
class Verdict:
    """An answer: allowed with operations on headers, or refused with status, body and headers."""

    code: int = Code.OK
    message: str = ""
    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    request_headers: tuple[HeaderOperation, ...] = ()
    response_headers: tuple[HeaderOperation, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether the call may go on."""
        return self.code == Code.OK

    @cached_property
    def wire(self) -> bytes:
        """The `CheckResponse`, serialized."""
        made = self._ok() if self.allowed else self._denied()
        return bytes(made.SerializeToString())

    def _ok(self) -> external_auth_pb2.CheckResponse:
        answer = external_auth_pb2.CheckResponse()
        answer.ok_response.SetInParent()
        ok = answer.ok_response
        ok.headers.extend(_request_options(self.request_headers))
        ok.headers_to_remove.extend(each.name for each in self.request_headers if each.operation == REMOVE)
        ok.response_headers_to_add.extend(_options(self.response_headers))
        removed = [each.name.lower() for each in self.response_headers if each.operation == REMOVE]
        if removed:
            answer.dynamic_metadata.update({removal.KEY: removed})
        return answer

    def _denied(self) -> external_auth_pb2.CheckResponse:
        answer = external_auth_pb2.CheckResponse()
        answer.status.code, answer.status.message = self.code, self.message
        denied = answer.denied_response
        denied.status.code = self.status  # type: ignore[assignment]
        denied.body = self.body
        headers = {"content-type": "text/plain", **self.headers}
        denied.headers.extend(_options(HeaderOperation(k, REPLACE, v) for k, v in headers.items()))
        return answer


ALLOWED = Verdict()


def refused(result: CheckResult, handler: str) -> Verdict:
    """A check's refusal; `handler` is the full name."""
    return Verdict(
        result.code, result.message, answers.status_of(result), answers.body_of(result, handler),
        result.headers,
    )  # fmt: skip


def exhausted(result: QuotaResult, handler: str, quota: str) -> Verdict:
    """A quota's refusal."""
    code = answers.quota_code(result)
    text = answers.quota_body(result, handler, quota)
    headers = {"retry-after": answers.retry_after(result.retry_after)}
    return Verdict(code, text, answers.http_status(code), text, headers)


def _request_options(operations: Iterable[HeaderOperation]) -> Iterable[base_pb2.HeaderValueOption]:
    """Of a request that goes on Envoy reads the older field; and it appends only to what is there."""
    for each in operations:
        if each.operation != REMOVE:
            made = base_pb2.HeaderValueOption(header=base_pb2.HeaderValue(key=each.name, value=each.value))
            made.append.value = each.operation == APPEND
            yield made


def _options(operations: Iterable[HeaderOperation]) -> Iterable[base_pb2.HeaderValueOption]:
    for each in operations:
        if each.operation != REMOVE:
            yield base_pb2.HeaderValueOption(
                header=base_pb2.HeaderValue(key=each.name, value=each.value),
                append_action=ACTIONS[each.operation],
                keep_empty_value=True,
            )
