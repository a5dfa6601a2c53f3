"""Asking Citadel for a certificate over gRPC: by the present one if there is one, or by a token.

A connection is made for every request: they are hours apart, and a new one always shows the certificate and
trusts the root of that moment.
"""

from collections.abc import Callable
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]

from mesh.pki import wire
from mesh.pki.keypair import KeyPair
from mesh.pki.log import Log
from mesh.pki.signer import CitadelAway, SigningFailed, SigningRefused

TIMEOUT = 10.0
"""Seconds that one request may take, connecting included."""

AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})

log = Log("certificates")

__all__ = ["CitadelAway", "CitadelClient", "SigningFailed", "SigningRefused"]


class CitadelClient:
    """Speaks to Citadel at `host:port`: `token_address` (server TLS) and `mutual_address` (mutual TLS).

    `root` gives the PEM roots to trust now, `token` the bearer token now; an `OSError` of either becomes
    `SigningRefused`. `server_name` replaces the host's name in the check of the server's certificate.
    """

    def __init__(
        self,
        token_address: str,
        mutual_address: str,
        root: Callable[[], bytes],
        token: Callable[[], str],
        *,
        server_name: str = "",
        timeout: float = TIMEOUT,
    ) -> None:
        self._token_address = token_address
        self._mutual_address = mutual_address
        self._root = root
        self._token = token
        self._timeout = timeout
        self._options = (("grpc.ssl_target_name_override", server_name),) if server_name else ()

    async def sign(self, csr: bytes, *, seconds: int, present: KeyPair | None = None) -> bytes:
        """The PEM chain for a PEM request.

        Where the present certificate is not accepted (expired, revoked, another root's), the token is
        tried: the workload may still be who it says it is. Raises `SigningRefused` or `CitadelAway`.
        """
        message = wire.certificate_request(csr, seconds)
        if present is not None:
            try:
                return await self._by_certificate(message, present)
            except SigningFailed as error:
                log.info("renewing by token", reason=str(error))
        return await self._by_token(message)

    async def _by_certificate(self, message: bytes, present: KeyPair) -> bytes:
        credentials = grpc.ssl_channel_credentials(_read(self._root, "root"), present.key, present.chain)
        return await self._call(self._mutual_address, credentials, message, ())

    async def _by_token(self, message: bytes) -> bytes:
        credentials = grpc.ssl_channel_credentials(_read(self._root, "root"))
        token = _read(self._token, "token").strip()
        return await self._call(
            self._token_address, credentials, message, (("authorization", f"Bearer {token}"),)
        )

    async def _call(
        self, address: str, credentials: Any, message: bytes, metadata: tuple[tuple[str, str], ...]
    ) -> bytes:
        async with grpc.aio.secure_channel(address, credentials, options=self._options) as channel:
            try:
                raw = await channel.unary_unary(wire.PATH)(message, timeout=self._timeout, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                raise _failure(address, error) from None
        try:
            return wire.chain_of(raw)
        except Exception as error:
            raise SigningRefused(f"Citadel at {address} answered what is no certificate: {error}") from None


def _read(source: Callable[[], Any], what: str) -> Any:
    try:
        return source()
    except OSError as error:
        raise SigningRefused(f"the {what} cannot be read: {error}") from None


def _failure(address: str, error: grpc.aio.AioRpcError) -> SigningFailed:
    if error.code() in AWAY:
        return CitadelAway(f"Citadel at {address} does not answer: {error.details()}")
    return SigningRefused(f"Citadel at {address} refuses ({error.code().name}): {error.details()}")
