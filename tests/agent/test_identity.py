"""The Pod's identity with a real Envoy, a real Citadel and Pilot's secure port; the wire is looked at."""

import asyncio
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from envoy.config.core.v3 import base_pb2, config_source_pb2, grpc_service_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_pb2

from mesh.model.trust import ROOTCA
from mesh.pilot.types import LDS, Resource
from mesh.pki.certificates import identity_of
from mesh.pki.keypair import KeyPair
from mesh.pki.serving import client_context
from tests.agent.inside import run
from tests.agent.running import AGENT, ready, text
from tests.agent.secured import FRONTEND, agents, secure_pilot, secured
from tests.agent.test_proxy import application, through_envoy
from tests.citadel import rig
from tests.pilot.ads.resources import ADS, listener, packed, prepared
from tests.pilot.ads.world import World

pytestmark = pytest.mark.behaviour("S3")

TLS = 9443


def sds(name: str) -> secret_pb2.SdsSecretConfig:
    """A secret of the agent, as Pilot's resources refer to it."""
    source = config_source_pb2.ApiConfigSource(
        api_type=config_source_pb2.ApiConfigSource.GRPC,
        transport_api_version=config_source_pb2.ApiVersion.V3,
        grpc_services=[
            grpc_service_pb2.GrpcService(
                envoy_grpc=grpc_service_pb2.GrpcService.EnvoyGrpc(cluster_name="sds-grpc")
            )
        ],
    )
    return secret_pb2.SdsSecretConfig(
        name=name, sds_config=config_source_pb2.ConfigSource(api_config_source=source)
    )


def with_mutual_tls(plain: Resource) -> Resource:
    """The listener behind the Pod's certificate; callers must show one of the mesh."""
    message = listener_pb2.Listener.FromString(plain.payload)
    context = tls_pb2.DownstreamTlsContext()
    context.require_client_certificate.value = True
    context.common_tls_context.tls_certificate_sds_secret_configs.append(sds("default"))
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


async def is_served(folder: Path) -> Any:
    async with (
        secured(folder) as world,
        world.citadel() as mesh,
        secure_pilot(mesh, behind_tls()) as pilot,
        application(),
    ):
        begin = time.monotonic()
        async with world.agent() as running:
            await ready()
            taken = time.monotonic() - begin
            await pilot.until(lambda: len(agents(pilot)) == 1 and not agents(pilot)[0].machine.unsettled())
            caller = await rig.certificate(mesh, FRONTEND)
            roots = mesh.citadel.trust.roots()
            return {
                "taken": taken,
                "shown": str(identity_of(await handshake(roots, caller))),
                "without": await outcome(roots, None),
                "metrics": await text(f"{AGENT}/stats/prometheus"),
                "identities": sorted({session.identity for session in pilot.sessions}),
                "socket": oct((folder / "uds" / "socket").stat().st_mode & 0o777),
                "files": key_files(folder),
                "log": running.log.read_text(),
            }


def key_files(folder: Path) -> list[str]:
    """Files in which a key can be read, but for the platform's own."""
    return [
        str(path)
        for path in folder.rglob("*")
        if path.is_file() and "api" not in path.parts and b"PRIVATE KEY" in path.read_bytes()
    ]


def test_envoy_shows_a_certificate_of_citadel(tmp_path: Path) -> None:
    found = run(is_served, tmp_path)
    assert found["shown"] == FRONTEND.uri
    assert found["without"] != FRONTEND.uri
    assert found["identities"] == [FRONTEND.uri]
    assert (found["socket"], found["files"]) == ("0o600", [])
    assert 'istio_agent_num_outgoing_requests{request_type="csr"} 1' in found["metrics"]
    assert 'istio_agent_cert_expiry_seconds{resource_name="default"} 86' in found["metrics"]
    assert "envoy_server_live" in found["metrics"]
    assert "Traceback" not in found["log"]
    print("TAKEN", found["taken"], found["log"])
    assert found["taken"] < 10
