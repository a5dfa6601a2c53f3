"""TLS towards servers that are not of the mesh, as a DestinationRule asks for it: SIMPLE and MUTUAL.

Source: Istio's reference of ClientTLSSettings. Without `sni` HTTP callers' host name is used, and without
`subjectAltNames` it must be in the certificate. `credentialName` is for gateways.
"""

from envoy.config.cluster.v3 import cluster_pb2
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2

from mesh.api.networking.client_tls import ClientTLSSettings
from mesh.model import Port, Protocol, Service
from mesh.pilot.compile import tls, trust
from mesh.pilot.compile.messages import packed
from mesh.pilot.compile.protocols import OPTIONS
from mesh.pilot.compile.secrets import CA_SUFFIX, SCHEME
from mesh.pilot.hosts import is_wildcard

SYSTEM_ROOTS = "/etc/ssl/certs/ca-certificates.crt"
"""The certificate authorities that the proxy's system trusts."""


def originate(
    cluster: cluster_pb2.Cluster, service: Service, port: Port, settings: ClientTLSSettings, *, gateway: bool
) -> None:
    """Set a cluster's TLS."""
    common = tls_pb2.CommonTlsContext(alpn_protocols=alpn(port.protocol))
    if gateway and settings.credential_name:
        from_secret(common, settings, service)
    else:
        from_files(common, settings, service)
    context = tls_pb2.UpstreamTlsContext(common_tls_context=common, sni=name_of(service, port, settings))
    cluster.transport_socket.CopyFrom(tls.client(context))
    if spoken(port.protocol) and not settings.sni:
        follow_host(cluster, verify=not (expected(settings, service) or settings.insecure_skip_verify))


def alpn(protocol: Protocol) -> tuple[str, ...]:
    """What is offered."""
    if protocol.is_http2:
        return ("h2",)
    return ("http/1.1",) if protocol.is_http else ()


def spoken(protocol: Protocol) -> bool:
    """Whether requests are seen, so that their host can be followed."""
    return protocol.is_http or protocol is Protocol.AUTO


def name_of(service: Service, port: Port, settings: ClientTLSSettings) -> str:
    """The name to ask for."""
    if settings.sni:
        return settings.sni
    return "" if spoken(port.protocol) or is_wildcard(service.hostname) else service.hostname


def expected(settings: ClientTLSSettings, service: Service) -> tuple[str, ...]:
    """The names of which the certificate must have one."""
    return settings.subject_alt_names or service.subject_alt_names


def from_secret(common: tls_pb2.CommonTlsContext, settings: ClientTLSSettings, service: Service) -> None:
    """Certificates from a Secret of the gateway's namespace."""
    name = f"{SCHEME}{settings.credential_name}"
    if settings.mode == "MUTUAL":
        common.tls_certificate_sds_secret_configs.append(tls.secret(name))
    if not settings.insecure_skip_verify:
        tls.trust(common, name + CA_SUFFIX, trust.exactly(expected(settings, service)))


def from_files(common: tls_pb2.CommonTlsContext, settings: ClientTLSSettings, service: Service) -> None:
    """Certificates from files of the proxy."""
    if settings.client_certificate and settings.private_key:
        pair = tls.certificate(settings.client_certificate, settings.private_key)
        common.tls_certificates.append(pair)
    if settings.insecure_skip_verify:
        return
    roots = settings.ca_certificates or SYSTEM_ROOTS
    context = common.validation_context
    context.trusted_ca.CopyFrom(tls.file(SYSTEM_ROOTS if roots == "system" else roots))
    if settings.ca_crl:
        context.crl.CopyFrom(tls.file(settings.ca_crl))
    context.match_typed_subject_alt_names.extend(trust.exactly(expected(settings, service)))


def follow_host(cluster: cluster_pb2.Cluster, *, verify: bool) -> None:
    """Ask for the name that the request is for, and demand it in the certificate."""
    options = http_protocol_options_pb2.HttpProtocolOptions()
    if OPTIONS in cluster.typed_extension_protocol_options:
        cluster.typed_extension_protocol_options[OPTIONS].Unpack(options)
    options.upstream_http_protocol_options.auto_sni = True
    options.upstream_http_protocol_options.auto_san_validation = verify
    if options.WhichOneof("upstream_protocol_options") is None:
        options.explicit_http_config.http_protocol_options.SetInParent()
    cluster.typed_extension_protocol_options[OPTIONS].CopyFrom(packed(options))
