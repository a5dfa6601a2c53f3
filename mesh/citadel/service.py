"""The CSR service on two gRPC ports: server TLS with tokens, and mutual TLS with certificates.

Two, because grpcio cannot ask for a client certificate and do without one. The shell only: who calls is
decided by `callers`, what is granted by `issuing`.
"""

import time
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
import structlog
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from mesh.citadel.callers import Certificates, Tokens
from mesh.citadel.errors import Refused
from mesh.citadel.issuing import Issuer
from mesh.citadel.limits import Limiter
from mesh.citadel.metrics import Metrics
from mesh.citadel.settings import Limit
from mesh.pki import wire
from mesh.pki.clock import Clock
from mesh.pki.serving import peer_chain
from mesh.pki.spiffe import Identity
from mesh.ports import grpc_port

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.so_reuseport", 0),  # a port that is taken is an error, not shared in silence
    ("grpc.max_receive_message_length", 64 * 1024),
    ("grpc.max_metadata_size", 32 * 1024),
    ("grpc.max_connection_idle_ms", 60_000),
)
AT_ONCE = 1000  # calls under way; more of them are refused by gRPC
STRANGERS = Limit(burst=100, per_second=10.0)
"""Tokens that prove nothing, from one address: each costs the platform a question."""

log = structlog.get_logger(component="citadel")


class CsrService:
    """Answers `CreateCertificate`, whichever port it came in by."""

    def __init__(
        self, issuer: Issuer, tokens: Tokens, certificates: Certificates, metrics: Metrics, clock: Clock
    ) -> None:
        self._issuer = issuer
        self._tokens = tokens
        self._certificates = certificates
        self._metrics = metrics
        self._strangers = Limiter(STRANGERS, clock)

    def handlers(self) -> Any:
        """For a gRPC server."""
        method = grpc.unary_unary_rpc_method_handler(self._create)
        return grpc.method_handlers_generic_handler(wire.SERVICE, {wire.METHOD: method})

    async def _create(self, raw: bytes, context: Any) -> bytes:
        self._metrics.requests.inc()
        began = time.perf_counter()
        try:
            return await self._answer(raw, context)
        except Refused as error:
            self._metrics.refuse(error.reason)
            log.warning("refused", reason=error.reason, peer=context.peer(), error=str(error))
            code, words = grpc.StatusCode[error.status], str(error)
        except Exception as error:
            self._metrics.faults.inc()
            log.exception("failed", peer=context.peer())
            code, words = grpc.StatusCode.INTERNAL, f"a fault of Citadel: {type(error).__name__}"
        finally:
            self._metrics.duration.observe(time.perf_counter() - began)
        await context.abort(code, words)
        raise AssertionError("abort raises")

    async def _answer(self, raw: bytes, context: Any) -> bytes:
        identity = await self._caller(context)
        try:
            message = wire.IstioCertificateRequest.FromString(raw)
        except (DecodeError, UnicodeDecodeError):
            raise Refused("malformed", "INVALID_ARGUMENT", "not an IstioCertificateRequest") from None
        chain = await self._issuer.answer(identity, message.csr.encode(), message.validity_duration)
        self._metrics.issued.inc()
        return wire.certificate_response(chain, self._issuer.root())

    async def _caller(self, context: Any) -> Identity:
        chain = peer_chain(context)
        if chain:
            return self._certificates.identity(chain)
        address = str(context.peer()).rpartition(":")[0]
        if self._strangers.exhausted(address):
            raise Refused("rate_limited", "RESOURCE_EXHAUSTED", "too many bad tokens from this address")
        try:
            return await self._tokens.identity(context.invocation_metadata() or ())
        except Refused:
            self._strangers.allows(address)
            raise


class CsrServer:
    """The gRPC server with its two ports."""

    def __init__(self, service: CsrService) -> None:
        self._server: Any = grpc.aio.server(options=OPTIONS, maximum_concurrent_rpcs=AT_ONCE)
        self._server.add_generic_rpc_handlers((service.handlers(),))
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)

    def listen(self, address: str, credentials: Any) -> int:
        """Bind `host:port` (0: any port) and give back the port; raises `CannotListen`."""
        return grpc_port(self._server, address, credentials, what="CSRs")

    async def start(self) -> None:
        """Begin to serve, and say so to health checks."""
        for name in ("", wire.SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        await self._server.start()

    async def stop(self, grace: float = 1.0) -> None:
        """Say that the end is near, answer who is here already, end."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)
