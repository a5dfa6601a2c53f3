"""The gRPC shell of checks: bytes in, bytes out. Decides nothing but who may ask, and how much at once.

Where there is no answer the call ends with a gRPC status, and the fail policy of the asking proxy decides.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
import structlog
from envoy.service.auth.v3 import external_auth_pb2

from mesh.mixer.attributes.check import CheckAttributes
from mesh.mixer.live import Failure
from mesh.mixer.peers import Peers, Stranger
from mesh.mixer.policy.checker import Checker
from mesh.mixer.policy.gate import Gate, Limits, Overloaded
from mesh.mixer.policy.metrics import PolicyMetrics
from mesh.mixer.policy.patience import Patience
from mesh.mixer.seldom import Seldom
from mesh.ports import grpc_port

SERVICE = "envoy.service.auth.v3.Authorization"
CONTEXT = "x-mesh-context"
"""Metadata that proxies send where their filter takes no extensions: `name=value;name=value`."""

DEADLINE = 0.8
"""Seconds for all handlers of a check, below the second that proxies wait by default."""

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.so_reuseport", 0),  # a port that is taken is an error, not shared in silence
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 0),
)
GRACE = 2.0
"""Seconds in which checks under way may end when the server stops."""

log = structlog.get_logger(component="policy")


class PolicyServer:
    """Serves `Authorization/Check`. `peers` knows callers; None: anybody (on loopback, for tests)."""

    def __init__(
        self,
        checker: Checker,
        attributes: CheckAttributes,
        metrics: PolicyMetrics,
        *,
        peers: Peers | None = None,
        limits: Limits | None = None,
        deadline: float = DEADLINE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.gate = Gate(limits or Limits())
        self._checker = checker
        self.attributes = attributes
        self._metrics = metrics
        self._peers = peers
        self._deadline = deadline
        self._monotonic = monotonic
        self._patience = Patience(monotonic)
        self._failures = Seldom(log, "no answer", monotonic)
        self._contexts: dict[str, Mapping[str, str]] = {}
        self._server: grpc.aio.Server = grpc.aio.server(options=OPTIONS)
        self._server.add_generic_rpc_handlers((self._handlers(),))
        metrics.pending.set_function(lambda: self.gate.inside)
        metrics.cached.set_function(lambda: len(checker.cache))

    def __repr__(self) -> str:
        return f"<PolicyServer {self.gate!r} {self._checker!r}>"

    def _handlers(self) -> Any:
        method = grpc.unary_unary_rpc_method_handler(
            self._check, request_deserializer=external_auth_pb2.CheckRequest.FromString
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"Check": method})

    def listen(self, address: str, credentials: Any = None) -> int:
        """Bind `host:port` (0: any port) and give back the port; raises `CannotListen`."""
        return grpc_port(self._server, address, credentials, what="checks")

    async def start(self) -> None:
        """Begin to serve."""
        await self._server.start()

    async def stop(self) -> None:
        """Take no more, and let what is under way end."""
        await self._server.stop(GRACE)

    async def _check(self, request: Any, context: Any) -> bytes:
        began = self._monotonic()
        try:
            await self._enter(context)
        except Overloaded as error:
            self._metrics.shed.inc()
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"istio-policy is overloaded: {error}")
        try:
            try:
                return await self._answered(request, context)
            finally:  # before the caller hears of a failure, who may ask again at once
                self.gate.leave()
                self._metrics.seconds.observe(self._monotonic() - began)
        except asyncio.CancelledError:
            self._metrics.abandoned()
            raise
        except Exception as error:
            code, text = self._refusal(error)
            await context.abort(code, text)
        raise AssertionError("abort raises")

    async def _enter(self, context: Any) -> None:
        """Go in, or raise `Overloaded`; nothing has been looked at until then."""
        if self._patience.late(context.peer(), context.time_remaining()):
            raise Overloaded("this one has waited for half of its time")
        if not self.gate.try_enter():
            await self.gate.wait()

    def _refusal(self, error: Exception) -> tuple[grpc.StatusCode, str]:
        """How a call ends that gets no answer; counted, and in the log now and then."""
        if isinstance(error, Stranger):
            self._metrics.refused()
            self._failures.tell(str(error))
            return grpc.StatusCode.PERMISSION_DENIED, str(error)
        if isinstance(error, Failure):
            self._metrics.failed()
            self._failures.tell(str(error))
            return grpc.StatusCode.UNAVAILABLE, str(error)
        if isinstance(error, TimeoutError):
            self._metrics.late()
            text = f"handlers gave no answer within {self._deadline} s"
            self._failures.tell(text)
            return grpc.StatusCode.DEADLINE_EXCEEDED, text
        self._metrics.broken()
        self._failures.tell(f"{type(error).__name__}: {error}", error)
        return grpc.StatusCode.INTERNAL, "the check failed; see the log of istio-policy"

    async def _answered(self, request: Any, context: Any) -> bytes:
        values = self.attributes.of(request.attributes, self._told(request.attributes, context))
        if self._peers is not None:
            self.attributes.confirm(self._peers.identity(context), values)
        async with asyncio.timeout(self._deadline):
            verdict = await self._checker.verdict(values)
        self._metrics.answered(verdict.code)
        return verdict.wire

    def _told(self, attributes: Any, context: Any) -> Mapping[str, str]:
        """What the proxy says of the place: with the question, or beside it."""
        if attributes.context_extensions:
            return dict(attributes.context_extensions)
        for key, value in context.invocation_metadata() or ():
            if key == CONTEXT:
                return self._parsed(value)
        return {}

    def _parsed(self, text: str) -> Mapping[str, str]:
        """`name=value;name=value`, each text parsed once; there is one for each place."""
        found = self._contexts.get(text)
        if found is None:
            if len(self._contexts) > 10_000:
                self._contexts.clear()
            pairs = (each.partition("=") for each in text.split(";"))
            found = self._contexts[text] = {name: value for name, _, value in pairs if value}
        return found
