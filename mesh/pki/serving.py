"""Servers whose certificate rotates while they serve: HTTPS (`ssl`) and gRPC.

A key is handed to OpenSSL through an anonymous file in memory, because Python's `ssl` reads only files, and a
container's file system is read-only.
"""

import os
import ssl
from collections.abc import Callable
from typing import Any

from cryptography import x509

from mesh.pki.certificates import load_chain
from mesh.pki.holder import Holder
from mesh.pki.keypair import KeyPair

Roots = Callable[[], bytes]


def server_context(holder: Holder, *, client_roots: Roots | None = None) -> ssl.SSLContext:
    """A context for servers that always shows the holder's present certificate.

    With `client_roots` (PEM) a client must show a certificate that leads to one of them. Sessions are never
    resumed: each handshake is checked anew. The holder must have its first certificate.
    """
    made: dict[str, Any] = {}

    def current() -> ssl.SSLContext:
        wanted = (holder.pair, client_roots() if client_roots else None)
        if made.get("of") != wanted:
            made.update(of=wanted, context=_context(*wanted))
        context: ssl.SSLContext = made["context"]
        return context

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, _: str | None, __: ssl.SSLContext) -> None:
        connection.context = current()

    front = _context(holder.pair, client_roots() if client_roots else None)
    front.sni_callback = choose  # called for clients without SNI too
    return front


def _context(pair: KeyPair, roots: bytes | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    load_pair(context, pair)
    if roots is not None:
        context.load_verify_locations(cadata=roots.decode())
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(roots: bytes, pair: KeyPair | None = None) -> ssl.SSLContext:
    """A context for clients that trusts `roots` (PEM) only, and shows `pair` if there is one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=roots.decode())
    if pair is not None:
        load_pair(context, pair)
    return context


def load_pair(context: ssl.SSLContext, pair: KeyPair) -> None:
    """Give a context its key and certificate without writing them to a disk."""
    number = os.memfd_create("certificate", os.MFD_CLOEXEC)
    with os.fdopen(number, "wb") as file:
        file.write(pair.key.rstrip() + b"\n" + pair.chain)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{number}")


def grpc_credentials(holder: Holder, roots: Roots, *, mutual: bool) -> Any:
    """Credentials of a gRPC server that follow holder and roots from handshake to handshake.

    With `mutual` a client must show a certificate that leads to one of the roots; without, none is asked for.
    gRPC calls back from threads of its own: both only read values that are replaced as a whole.
    """
    import grpc  # type: ignore[import-untyped]

    def wanted() -> tuple[KeyPair, bytes | None]:
        return holder.pair, roots() if mutual else None

    def configuration(pair: KeyPair, trusted: bytes | None) -> Any:
        return grpc.ssl_server_certificate_configuration([(pair.key, pair.chain)], trusted)

    shown = [wanted()]

    def fetch() -> Any:
        now = wanted()
        if now == shown[0]:
            return None
        shown[0] = now
        return configuration(*now)

    return grpc.dynamic_ssl_server_credentials(
        configuration(*shown[0]), fetch, require_client_authentication=mutual
    )


def peer_chain(context: Any) -> list[x509.Certificate]:
    """The certificates that a gRPC caller (`grpc.aio.ServicerContext`) showed, leaf first; else none."""
    found = context.auth_context()
    leaf = b"".join(found.get("x509_pem_cert", ()))
    if not leaf:
        return []
    (certificate,) = load_chain(leaf)
    others = load_chain(b"".join(found.get("x509_pem_cert_chain", ())) or leaf)
    return [certificate, *(each for each in others if each != certificate)]
