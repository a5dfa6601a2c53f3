"""Pieces of Envoy's TLS: where certificates come from, who is trusted, which versions.

Certificates of workloads come from the agent beside the proxy (SDS over a Unix socket), what is trusted and
gateways' own certificates from Pilot. The default validator is used, since Envoy's SPIFFE validator passes
over revocation lists.
"""

from collections.abc import Iterable
from functools import cache

from envoy.config.core.v3 import base_pb2, config_source_pb2, grpc_service_pb2
from envoy.extensions.transport_sockets.raw_buffer.v3 import raw_buffer_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2, tls_pb2
from google.protobuf.message import Message

from mesh.model.trust import ROOTCA
from mesh.pilot.compile.messages import flag, from_pilot, packed, seconds

TransportSocket = base_pb2.TransportSocket
CommonTlsContext = tls_pb2.CommonTlsContext
Parameters = common_pb2.TlsParameters
SecretConfig = secret_pb2.SdsSecretConfig
ConfigSource = config_source_pb2.ConfigSource
ApiConfigSource = config_source_pb2.ApiConfigSource

NAME = "envoy.transport_sockets.tls"
RAW = "envoy.transport_sockets.raw_buffer"
OWN = "default"
"""The secret by which the agent gives a workload's own certificate."""
AGENT = "sds-grpc"
"""The bootstrap's cluster that leads to the agent."""

PATIENCE = 1.0
"""Seconds to wait for a gateway's secret."""

MESH_CIPHERS = (
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
)


def from_agent() -> config_source_pb2.ConfigSource:
    """The agent beside the proxy."""
    service = grpc_service_pb2.GrpcService()
    service.envoy_grpc.cluster_name = AGENT
    api = ApiConfigSource(
        api_type=ApiConfigSource.GRPC,
        transport_api_version=config_source_pb2.V3,
        grpc_services=[service],
        set_node_on_first_message_only=True,
    )
    source = ConfigSource(api_config_source=api, resource_api_version=config_source_pb2.V3)
    source.initial_fetch_timeout.SetInParent()
    return source


def secret(name: str) -> secret_pb2.SdsSecretConfig:
    """A secret that Pilot sends. One that is missing must not hold up everything else that is new: after
    `PATIENCE` Envoy goes on, and what needs the secret refuses connections until it comes.
    """
    source = from_pilot()
    if name != ROOTCA:
        source.initial_fetch_timeout.CopyFrom(seconds(PATIENCE))
    return SecretConfig(name=name, sds_config=source)


def own() -> secret_pb2.SdsSecretConfig:
    """The workload's own certificate."""
    return SecretConfig(name=OWN, sds_config=from_agent())


def mesh_common(
    names: Iterable[common_pb2.SubjectAltNameMatcher], alpn: Iterable[str] = ()
) -> tls_pb2.CommonTlsContext:
    """Show the workload's certificate, and trust those of the mesh who have one of these names."""
    result = CommonTlsContext()
    result.CopyFrom(_of_mesh(tuple(alpn)))
    result.combined_validation_context.default_validation_context.match_typed_subject_alt_names.extend(names)
    return result


@cache
def _of_mesh(alpn: tuple[str, ...]) -> tls_pb2.CommonTlsContext:
    """What all of the mesh's TLS has in common; made once, since every cluster has it."""
    result = CommonTlsContext(
        tls_certificate_sds_secret_configs=[own()], tls_params=versions(), alpn_protocols=alpn
    )
    trust(result, ROOTCA, ())
    return result


def versions() -> common_pb2.TlsParameters:
    """What the mesh speaks within."""
    return Parameters(
        tls_minimum_protocol_version=Parameters.TLSv1_2,
        tls_maximum_protocol_version=Parameters.TLSv1_3,
        cipher_suites=MESH_CIPHERS,
    )


def trust(
    common: tls_pb2.CommonTlsContext, name: str, names: Iterable[common_pb2.SubjectAltNameMatcher]
) -> None:
    """Trust what a secret of Pilot says; if there are `names`, only certificates with one of them."""
    combined = common.combined_validation_context
    combined.default_validation_context.match_typed_subject_alt_names.extend(names)
    combined.validation_context_sds_secret_config.CopyFrom(secret(name))


def file(path: str) -> base_pb2.DataSource:
    """A file that the proxy reads."""
    return base_pb2.DataSource(filename=path)


def certificate(chain: str, key: str) -> common_pb2.TlsCertificate:
    """Certificate chain and key in files."""
    return common_pb2.TlsCertificate(certificate_chain=file(chain), private_key=file(key))


def client(context: tls_pb2.UpstreamTlsContext) -> base_pb2.TransportSocket:
    """The socket of who calls."""
    return socket(NAME, context)


def server(context: tls_pb2.DownstreamTlsContext) -> base_pb2.TransportSocket:
    """The socket of who is called. Where callers show certificates no session is resumed: a resumed one would
    pass by the revocation lists.
    """
    if context.common_tls_context.WhichOneof("validation_context_type"):
        context.disable_stateless_session_resumption = True
        context.disable_stateful_session_resumption = True
    return socket(NAME, context)


def required(common: tls_pb2.CommonTlsContext) -> tls_pb2.DownstreamTlsContext:
    """A server that insists on its callers' certificates."""
    return tls_pb2.DownstreamTlsContext(common_tls_context=common, require_client_certificate=flag(True))


@cache
def plain() -> base_pb2.TransportSocket:
    """Clear text, where it has to be said; not to be changed."""
    return socket(RAW, raw_buffer_pb2.RawBuffer())


def socket(name: str, config: Message) -> base_pb2.TransportSocket:
    """A transport socket."""
    return TransportSocket(name=name, typed_config=packed(config))
