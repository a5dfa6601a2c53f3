"""Which transport socket a connection gets: the one place that decides between clear text and TLS.

Source: Istio, "Automatic mutual TLS", and its reference of DestinationRule (ClientTLSSettings). Between
sidecars it is mutual TLS where the endpoint says that it takes it; a DestinationRule replaces that.
"""

from dataclasses import dataclass
from functools import cache

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import base_pb2
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2
from google.protobuf.struct_pb2 import Struct

from mesh.api.networking.client_tls import ClientTLSSettings
from mesh.model import Port, Protocol, Service
from mesh.pilot.compile import names, tls, trust
from mesh.pilot.compile.origination import originate
from mesh.pilot.compile.peers import ISTIO, takes_mtls
from mesh.pilot.reader import Reader

Match = cluster_pb2.Cluster.TransportSocketMatch
SOCKET_MATCH = "envoy.transport_socket_match"
"""Where an endpoint's metadata says which socket it takes."""
TLS_MODE = "tlsMode"

# What a caller's Envoy offers, so that the server's knows before it decrypts that a sidecar is calling.
MESH = "istio"
MESH_HTTP = ("istio-http/1.0", "istio-http/1.1", "istio-h2")
HTTP1_ALPN = ("istio-http/1.1", MESH, "http/1.1")
HTTP2_ALPN = ("istio-h2", MESH, "h2")
TCP_ALPN = (MESH,)


@dataclass(frozen=True, slots=True)
class Called:
    """What is called: a port or subset of a service, by a gateway or a sidecar."""

    service: Service
    port: Port
    subset: str = ""
    gateway: bool = False


def upstream(
    read: Reader, cluster: cluster_pb2.Cluster, called: Called, settings: ClientTLSSettings | None
) -> None:
    """Say how a caller's Envoy connects to a service."""
    if settings is None:
        automatic(read, cluster, called)
    elif settings.mode == "ISTIO_MUTUAL":
        cluster.transport_socket.CopyFrom(mutual(read, called, settings))
        trust.mark(cluster.metadata, read)
    elif settings.mode != "DISABLE":
        originate(cluster, called.service, called.port, settings, gateway=called.gateway)


def automatic(read: Reader, cluster: cluster_pb2.Cluster, called: Called) -> None:
    """Mutual TLS with whom it is possible, clear text with all others."""
    service = called.service
    if not read.mesh.enable_auto_mtls or service.mesh_external:
        return
    if cluster.type == cluster_pb2.Cluster.ORIGINAL_DST:
        if not read.ask(all_secure, service.hostname, called.port.number):
            return
        cluster.transport_socket.CopyFrom(mutual(read, called, None))
    else:
        cluster.transport_socket_matches.extend(
            [
                Match(name="tlsMode-istio", match=mode(ISTIO), transport_socket=mutual(read, called, None)),
                Match(name="tlsMode-disabled", match=Struct(), transport_socket=tls.plain()),
            ]
        )
    trust.mark(cluster.metadata, read)


@cache
def mode(value: str) -> Struct:
    """What an endpoint says of itself; not to be changed."""
    result = Struct()
    result[TLS_MODE] = value
    return result


def all_secure(read: Reader, hostname: str, port: int) -> bool:
    """Whether all instances take mutual TLS, and there are some: needed where the caller chooses the address,
    because then nothing is known of the one that it chose.
    """
    service = read.service(hostname)
    every = read.instances(hostname, port)
    return bool(service and every) and all(takes_mtls(read, e, service.namespace) for e in every if service)


def mutual(read: Reader, called: Called, settings: ClientTLSSettings | None) -> base_pb2.TransportSocket:
    """Mutual TLS with the certificates of the mesh."""
    service, port = called.service, called.port
    expected = settings.subject_alt_names if settings else ()
    if not expected:
        expected = service.subject_alt_names or read.ask(trust.identities, service.hostname, port.number)
    context = tls_pb2.UpstreamTlsContext(
        common_tls_context=tls.mesh_common(trust.exactly(expected), alpn(port.protocol)),
        sni=(settings.sni if settings else "") or names.sni(port.number, service.hostname, called.subset),
    )
    context.max_session_keys.SetInParent()
    return tls.client(context)


def alpn(protocol: Protocol) -> tuple[str, ...]:
    """What is offered to a server of the mesh. For a port of unknown protocol, HTTP's routes say more."""
    if protocol.is_http2:
        return HTTP2_ALPN
    return HTTP1_ALPN if protocol.is_http else TCP_ALPN


def mark_endpoint(metadata: base_pb2.Metadata) -> None:
    """Say in an endpoint's metadata that it takes mutual TLS."""
    metadata.filter_metadata[SOCKET_MATCH].CopyFrom(mode(ISTIO))


def downstream(read: Reader) -> base_pb2.TransportSocket:
    """What a sidecar demands of who connects with mutual TLS: a certificate of the mesh's trust domains.

    It takes part in no agreement on a protocol: bytes tell what is spoken, and callers offer what is theirs.
    """
    return tls.server(tls.required(tls.mesh_common(trust.of_domains(trust.domains(read)))))
