"""Prepared resources that need secrets: TLS on both sides of Envoy, and Envoy's own way to Pilot."""

from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2, tls_pb2
from google.protobuf.message import Message

from mesh.model.trust import ROOTCA
from mesh.pilot.types import CDS, EDS, LDS, RDS, SDS, Resource
from mesh.pki.keypair import KeyPair
from tests.pilot.ads.authority import PILOT_NAME, Authority
from tests.pilot.ads.resources import ADS, cluster, listener, packed, prepared

TLS = "envoy.transport_sockets.tls"


def inline(text: str | bytes) -> base_pb2.DataSource:
    return base_pb2.DataSource(inline_bytes=text.encode() if isinstance(text, str) else text)


def pair_secret(name: str, pair: KeyPair, *, key: bytes = b"") -> Resource:
    """A certificate and its key (or another one)."""
    content = common_pb2.TlsCertificate(
        certificate_chain=inline(pair.chain), private_key=inline(key or pair.key)
    )
    return prepared(SDS, name, secret_pb2.Secret(name=name, tls_certificate=content))


def root_secret(*authorities: Authority) -> Resource:
    """The trust bundle."""
    bundle = authorities[0].bundle(*authorities[1:])
    context = common_pb2.CertificateValidationContext(
        trusted_ca=inline(bundle.root_cert), crl=inline(bundle.crl)
    )
    return prepared(SDS, ROOTCA, secret_pb2.Secret(name=ROOTCA, validation_context=context))


def socket_of(context: Message) -> base_pb2.TransportSocket:
    return base_pb2.TransportSocket(name=TLS, typed_config=packed(context))


def named(name: str) -> secret_pb2.SdsSecretConfig:
    return secret_pb2.SdsSecretConfig(name=name, sds_config=ADS)


def tls_cluster(name: str) -> Resource:
    """A cluster that speaks TLS and verifies by `ROOTCA`."""
    message = cluster_pb2.Cluster.FromString(cluster(name).payload)
    common = tls_pb2.CommonTlsContext(validation_context_sds_secret_config=named(ROOTCA))
    message.transport_socket.CopyFrom(
        socket_of(tls_pb2.UpstreamTlsContext(common_tls_context=common, sni="localhost"))
    )
    return prepared(CDS, name, message, frozenset({(EDS, name), (SDS, ROOTCA)}))


def tls_listener(name: str, route: str, secret: str) -> Resource:
    """A listener that shows the certificate of a secret."""
    message = listener_pb2.Listener.FromString(listener(name, route).payload)
    common = tls_pb2.CommonTlsContext(tls_certificate_sds_secret_configs=[named(secret)])
    message.filter_chains[0].transport_socket.CopyFrom(
        socket_of(tls_pb2.DownstreamTlsContext(common_tls_context=common))
    )
    return prepared(LDS, name, message, frozenset({(RDS, route), (SDS, secret)}))


def secured(bootstrap: dict[str, Any], pair: KeyPair, root: str) -> dict[str, Any]:
    """A bootstrap whose way to Pilot is mutual TLS."""
    context = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": PILOT_NAME,
        "common_tls_context": {
            "tls_certificates": [
                {
                    "certificate_chain": {"inline_string": pair.chain.decode()},
                    "private_key": {"inline_string": pair.key.decode()},
                }
            ],
            "validation_context": {
                "trusted_ca": {"inline_string": root},
                "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": PILOT_NAME}}],
            },
        },
    }
    [xds] = bootstrap["static_resources"]["clusters"]
    xds["transport_socket"] = {"name": TLS, "typed_config": context}
    bootstrap["node"]["metadata"] |= {"SERVICE_ACCOUNT": "frontend"}
    return bootstrap
