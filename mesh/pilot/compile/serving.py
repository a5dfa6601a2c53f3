"""TLS that ends at a gateway: what a server of a Gateway shows, and what it demands of its callers.

Source: Istio's reference of Gateway (ServerTLSSettings). Certificates come from a Secret of the gateway's own
namespace, from files of the proxy, or (ISTIO_MUTUAL) they are the workload's own of the mesh.
"""

from collections.abc import Iterator

from envoy.config.core.v3 import base_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, tls_pb2

from mesh.api.networking.gateway import ServerTLSSettings
from mesh.model import ObjectKey
from mesh.pilot.compile import tls, trust
from mesh.pilot.compile.messages import flag
from mesh.pilot.compile.secrets import CA_SUFFIX, SCHEME, credential
from mesh.pilot.reader import Reader

Parameters = common_pb2.TlsParameters
HTTP_ALPN = ("h2", "http/1.1")
VERIFYING = ("MUTUAL", "OPTIONAL_MUTUAL")
VERSIONS = {
    "TLS_AUTO": Parameters.TLS_AUTO,
    "TLSV1_0": Parameters.TLSv1_0,
    "TLSV1_1": Parameters.TLSv1_1,
    "TLSV1_2": Parameters.TLSv1_2,
    "TLSV1_3": Parameters.TLSv1_3,
}


def names_of(settings: ServerTLSSettings) -> tuple[str, ...]:
    """The Secrets with certificates that a server shows."""
    return settings.credential_names or ((settings.credential_name,) if settings.credential_name else ())


def needed(settings: ServerTLSSettings) -> Iterator[str]:
    """The names, in SDS, of all that a server needs from Secrets."""
    if settings.mode == "ISTIO_MUTUAL":
        return
    for name in names_of(settings):
        yield SCHEME + name
    if settings.mode in VERIFYING and names_of(settings) and not settings.ca_certificates:
        yield SCHEME + names_of(settings)[0] + CA_SUFFIX


def missing(read: Reader, namespace: str, settings: ServerTLSSettings) -> tuple[str, ...]:
    """Those of them that a gateway's namespace does not have."""
    return tuple(each for each in needed(settings) if read.ask(credential, namespace, each) is None)


def server(read: Reader, settings: ServerTLSSettings, *, http: bool) -> base_pb2.TransportSocket:
    """The transport socket of a server."""
    common = mesh_common(read, settings) if settings.mode == "ISTIO_MUTUAL" else own_common(settings)
    if http:
        common.alpn_protocols.extend(HTTP_ALPN)
    context = tls_pb2.DownstreamTlsContext(common_tls_context=common)
    context.require_client_certificate.CopyFrom(flag(settings.mode in ("MUTUAL", "ISTIO_MUTUAL")))
    return tls.server(context)


def mesh_common(read: Reader, settings: ServerTLSSettings) -> tls_pb2.CommonTlsContext:
    """Certificates of the mesh, on both sides."""
    names = trust.exactly(settings.subject_alt_names)
    common = tls.mesh_common(names if settings.subject_alt_names else trust.of_domains(trust.domains(read)))
    if settings.cipher_suites or settings.min_protocol_version != "TLS_AUTO":
        common.tls_params.CopyFrom(parameters(settings))
    return common


def own_common(settings: ServerTLSSettings) -> tls_pb2.CommonTlsContext:
    """The server's own certificates, and who is trusted."""
    common = tls_pb2.CommonTlsContext(tls_params=parameters(settings))
    for name in names_of(settings):
        common.tls_certificate_sds_secret_configs.append(tls.secret(SCHEME + name))
    if not names_of(settings):
        pair = tls.certificate(settings.server_certificate or "", settings.private_key or "")
        common.tls_certificates.append(pair)
    if settings.mode in VERIFYING:
        verify(common, settings)
    return common


def verify(common: tls_pb2.CommonTlsContext, settings: ServerTLSSettings) -> None:
    """Check callers' certificates."""
    if settings.ca_certificates or not names_of(settings):
        context = common.validation_context
        context.trusted_ca.CopyFrom(tls.file(settings.ca_certificates or ""))
        if settings.ca_crl:
            context.crl.CopyFrom(tls.file(settings.ca_crl))
        context.match_typed_subject_alt_names.extend(trust.exactly(settings.subject_alt_names))
    else:
        name = SCHEME + names_of(settings)[0] + CA_SUFFIX
        tls.trust(common, name, trust.exactly(settings.subject_alt_names))
        context = common.combined_validation_context.default_validation_context
    context.verify_certificate_spki.extend(settings.verify_certificate_spki)
    context.verify_certificate_hash.extend(settings.verify_certificate_hash)


def parameters(settings: ServerTLSSettings) -> common_pb2.TlsParameters:
    """Versions and ciphers: TLS 1.2 at least, unless older ones are asked for."""
    least = settings.min_protocol_version
    return Parameters(
        tls_minimum_protocol_version=Parameters.TLSv1_2 if least == "TLS_AUTO" else VERSIONS[least],
        tls_maximum_protocol_version=VERSIONS[settings.max_protocol_version],
        cipher_suites=settings.cipher_suites,
    )


def revoked(read: Reader, namespace: str, settings: ServerTLSSettings) -> str:
    """The mark of what has been revoked of callers' certificates (see `trust.revoked`)."""
    if settings.mode == "ISTIO_MUTUAL":
        return read.ask(trust.revoked)
    names = names_of(settings) if settings.mode in VERIFYING else ()
    return read.ask(secret_mark, namespace, names[0]) if names else ""


def secret_mark(read: Reader, namespace: str, name: str) -> str:
    """The mark of the revocation list in a Secret."""
    for candidate in (name + CA_SUFFIX, name):
        held = read.object(ObjectKey("Secret", namespace, candidate))
        if held is not None and held.spec.ca_cert:
            return trust.marked(held.spec.crl)
    return ""
