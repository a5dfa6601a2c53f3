"""An application behind Envoy's mutual TLS, and callers who look at the certificate on the wire."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cryptography import x509
from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_pb2

from mesh.model.trust import ROOTCA
from mesh.pilot.compile.tls import own
from mesh.pilot.types import LDS, Resource
from mesh.pki.certificates import identity_of
from mesh.pki.keypair import KeyPair
from mesh.pki.serving import client_context
from tests.agent.test_proxy import through_envoy
from tests.pilot.ads.resources import ADS, listener, packed, prepared
from tests.pilot.ads.world import World

TLS = 9443


def with_mutual_tls(plain: Resource) -> Resource:
    """The listener behind the Pod's certificate; callers must show one of the mesh."""
    message = listener_pb2.Listener.FromString(plain.payload)
    context = tls_pb2.DownstreamTlsContext()
    context.require_client_certificate.value = True
    context.common_tls_context.tls_certificate_sds_secret_configs.append(own())
    context.common_tls_context.validation_context_sds_secret_config.CopyFrom(
        secret_pb2.SdsSecretConfig(name=ROOTCA, sds_config=ADS)
    )
    message.filter_chains[0].transport_socket.CopyFrom(
        base_pb2.TransportSocket(name="envoy.transport_sockets.tls", typed_config=packed(context))
    )
    return prepared(LDS, plain.name, message, plain.waits_for)


def behind_tls() -> World:
    """Port 9443 leads to the application."""
    return through_envoy().with_resources(with_mutual_tls(listener("tls", "entry", port=TLS)))


async def handshake(roots: bytes, pair: KeyPair | None) -> x509.Certificate:
    """The certificate that Envoy shows; `OSError` if it refuses ours."""
    context = client_context(roots, pair)
    context.check_hostname = False
    reader, writer = await asyncio.open_connection("127.0.0.1", TLS, ssl=context)
    try:
        writer.write(b"GET / HTTP/1.1\r\nhost: app\r\nconnection: close\r\n\r\n")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"hello"), answer
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(shown)
    finally:
        writer.close()
        await writer.wait_closed()


async def outcome(roots: bytes, pair: KeyPair | None) -> str:
    try:
        return str(identity_of(await handshake(roots, pair)))
    except (OSError, ssl.SSLError, AssertionError) as error:
        return type(error).__name__


class Load:
    """Requests one after another, each on a connection of its own, as a caller that shows `pair`."""

    def __init__(self, pair: KeyPair, roots: bytes) -> None:
        self.pair = pair
        self.roots = roots
        self.good = 0
        self.serials: list[int] = []
        self.failures: list[str] = []
        self.issuer = ""
        self.over = False

    def trust(self, roots: bytes) -> None:
        """Trust other roots from now on."""
        self.roots = roots

    async def run(self) -> None:
        """Call until `over`. Not to be cancelled: a connection that fails as it is closed hides that."""
        while not self.over:
            try:
                shown = await handshake(self.roots, self.pair)
            except (OSError, AssertionError) as error:
                self.failures.append(repr(error))
                await asyncio.sleep(0)  # a refused connection alone does not let others run
                continue
            self.good += 1
            serial, self.issuer = shown.serial_number, shown.issuer.rfc4514_string()
            if serial not in self.serials:
                self.serials.append(serial)


@asynccontextmanager
async def load(pair: KeyPair, roots: bytes) -> AsyncIterator[Load]:
    """Calls until the end of the block."""
    calling = Load(pair, roots)
    task = asyncio.create_task(calling.run())
    try:
        yield calling
    finally:
        calling.over = True
        await task
