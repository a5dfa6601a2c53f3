"""S3: servers show their new certificate from the next handshake on, and check by the roots of then."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
import pytest
from cryptography import x509

from mesh.citadel.authority import Authority
from mesh.pki.certificates import chain_pem
from mesh.pki.keypair import KeyPair
from mesh.pki.serving import client_context, grpc_credentials, peer_chain, server_context
from tests import loops
from tests.pki.authorities import authority, pair_of

pytestmark = pytest.mark.behaviour("S3")
NAMES = ("localhost",)


class Shown:
    """A holder whose certificate the test chooses."""

    def __init__(self, pair: KeyPair) -> None:
        self.pair = pair


def roots(*authorities: Authority) -> bytes:
    return chain_pem([each.certificate for each in authorities])


@asynccontextmanager
async def https(context: ssl.SSLContext) -> AsyncIterator[int]:
    """A server that says one word to everybody whom TLS lets in."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def visit(port: int, context: ssl.SSLContext, *, sni: bool = True) -> tuple[bytes, x509.Certificate]:
    """The word, and the certificate that was shown."""
    name = "localhost" if sni else ""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    try:
        word = await reader.read()
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    return word, x509.load_der_x509_certificate(der)


async def refused(port: int, context: ssl.SSLContext) -> bool:
    """Whether the server ends the connection: with TLS 1.3 only after the client thinks that it stands."""
    try:
        word, _ = await visit(port, context)
    except (ssl.SSLError, ConnectionError):
        return True
    return word == b""


def test_https_follows_its_certificate() -> None:
    async def test() -> None:
        mesh = authority()
        shown: Any = Shown(pair_of(mesh, names=NAMES))
        async with https(server_context(shown)) as port:
            for _ in range(3):
                for sni in (True, False):
                    context = client_context(roots(mesh))
                    context.check_hostname = sni
                    word, certificate = await visit(port, context, sni=sni)
                    assert (word, certificate) == (b"hello", shown.pair.leaf)
                shown.pair = pair_of(mesh, names=NAMES)

    loops.run(test())


def test_https_asks_for_certificates_of_the_roots_of_the_moment() -> None:
    async def test() -> None:
        old, new = authority(), authority()
        trusted = [old]
        shown: Any = Shown(pair_of(old, names=NAMES))
        by_old, by_new = client_context(roots(old), pair_of(old)), client_context(roots(old), pair_of(new))
        nobody = client_context(roots(old))
        async with https(server_context(shown, client_roots=lambda: roots(*trusted))) as port:
            assert (await visit(port, by_old))[0] == b"hello"
            for stranger in (by_new, nobody):
                assert await refused(port, stranger)
            trusted[:] = [new]
            assert (await visit(port, by_new))[0] == b"hello"
            assert await refused(port, by_old)

    loops.run(test())


@asynccontextmanager
async def calls(credentials: Any) -> AsyncIterator[int]:
    """A gRPC server that answers with the caller's identity."""

    async def who(_: bytes, context: Any) -> bytes:
        chain = peer_chain(context)
        return f"{len(chain)} {chain[0].serial_number:x}".encode() if chain else b"nobody"

    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(who)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t", {"Who": method}),))
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def call(port: int, trusted: bytes, pair: KeyPair | None = None) -> bytes:
    credentials = grpc.ssl_channel_credentials(trusted, *((pair.key, pair.chain) if pair else ()))
    options = (("grpc.ssl_target_name_override", "localhost"),)
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options) as channel:
        answer: bytes = await channel.unary_unary("/t/Who")(b"", timeout=20)
        return answer


def test_grpc_follows_certificate_and_roots() -> None:
    async def test() -> None:
        old, new = authority(), authority()
        trusted = [old]
        shown: Any = Shown(pair_of(old, names=NAMES))
        credentials = grpc_credentials(shown, lambda: roots(*trusted), mutual=True)
        one, two = pair_of(old), pair_of(new)
        async with calls(credentials) as port:
            assert await call(port, roots(old), one) == f"1 {one.leaf.serial_number:x}".encode()
            for stranger in (two, None):
                with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
                    await call(port, roots(old), stranger)
            trusted[:] = [new]
            shown.pair = pair_of(new, names=NAMES)
            assert (await call(port, roots(new), two)).startswith(b"1 ")
            for trust, pair in ((roots(old), two), (roots(new), one)):
                with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
                    await call(port, trust, pair)

    loops.run(test())


def test_grpc_without_client_certificates() -> None:
    async def test() -> None:
        mesh = authority()
        shown: Any = Shown(pair_of(mesh, names=NAMES))
        async with calls(grpc_credentials(shown, lambda: b"", mutual=False)) as port:
            assert await call(port, roots(mesh)) == b"nobody"

    loops.run(test())
