"""Secrets for SDS: the trust bundle for everybody, and gateways' own certificates.

Source of the names: Istio (`ROOTCA`; `kubernetes://NAME` for a `credentialName`, with `-cacert` behind it for
how to verify clients). A gateway gets what its own namespace holds; which namespace that is, its certificate
says. That it is a gateway the platform must say: a workload of its account, at its address, that some Gateway
selects. A secret that is missing, or another's, is absent.
"""

from envoy.config.core.v3 import base_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2

from mesh.model import ObjectKey, Proxy, ProxyKind
from mesh.model.trust import ROOTCA, TRUST_NAME, Credential, TrustBundle
from mesh.pilot.compile.messages import resource, wire
from mesh.pilot.reader import Reader
from mesh.pilot.types import SDS, Resource

SCHEME = "kubernetes://"
CA_SUFFIX = "-cacert"


def secrets(read: Reader, proxy: Proxy, names: frozenset[str]) -> dict[str, Resource]:
    """The secrets that a proxy asks for by name, as far as they exist and are for it."""
    found: dict[str, Resource | None] = {}
    for name in sorted(names):
        if name == ROOTCA:
            found[name] = read.ask(root)
        elif name.startswith(SCHEME) and is_gateway(read, proxy):
            found[name] = read.ask(credential, proxy.namespace, name)
    return {name: each for name, each in found.items() if each is not None}


def is_gateway(read: Reader, proxy: Proxy) -> bool:
    """Whether a proxy is a gateway: not by its own word alone, or any sidecar could ask for certificates."""
    here = read.workload(proxy.address)
    if proxy.kind is not ProxyKind.ROUTER or here is None:
        return False
    own = (here.namespace, here.service_account) == (proxy.namespace, proxy.service_account)
    return own and any(here.labels.matches(each.spec.selector) for each in read.gateways())


def root(read: Reader) -> Resource | None:
    """The trust bundle, and the revocation lists; None before Citadel has made it.

    Only the lists of those who issued a peer's own certificate are asked for: a root that lies in a vault
    publishes none.
    """
    key = ObjectKey("ConfigMap", read.mesh.root_namespace, TRUST_NAME)
    held = read.object(key)
    if held is None:
        return None
    bundle: TrustBundle = held.spec
    context = validation(bundle.root_cert, bundle.crl)
    return _prepared(secret_pb2.Secret(name=ROOTCA, validation_context=context), key)


def credential(read: Reader, namespace: str, name: str) -> Resource | None:
    """What a Secret of a namespace gives to a gateway under a name; None if it has no such part."""
    short = name.removeprefix(SCHEME)
    return read.ask(verified if short.endswith(CA_SUFFIX) else shown, namespace, short)


def shown(read: Reader, namespace: str, short: str) -> Resource | None:
    """Key and certificate of the Secret with that name."""
    key = ObjectKey("Secret", namespace, short)
    held = read.object(key)
    if held is None or not held.spec.cert:
        return None
    spec: Credential = held.spec
    pair = common_pb2.TlsCertificate(certificate_chain=_inline(spec.cert), private_key=_inline(spec.key))
    return _prepared(secret_pb2.Secret(name=SCHEME + short, tls_certificate=pair), key)


def verified(read: Reader, namespace: str, short: str) -> Resource | None:
    """How clients are verified: `NAME-cacert` is a Secret of its own, or the `cacert` of Secret `NAME`."""
    for candidate in (short, short.removesuffix(CA_SUFFIX)):
        key = ObjectKey("Secret", namespace, candidate)
        held = read.object(key)
        if held is not None and held.spec.ca_cert:
            spec: Credential = held.spec
            context = validation(spec.ca_cert, spec.crl)
            return _prepared(secret_pb2.Secret(name=SCHEME + short, validation_context=context), key)
    return None


def validation(ca: str, crl: str) -> common_pb2.CertificateValidationContext:
    """Trust in authorities, but for what their lists revoke."""
    context = common_pb2.CertificateValidationContext(trusted_ca=_inline(ca))
    if crl:
        context.crl.CopyFrom(_inline(crl))
        context.only_verify_leaf_cert_crl = True
    return context


def _prepared(secret: secret_pb2.Secret, origin: ObjectKey) -> Resource:
    return resource(SDS, secret.name, wire(secret), origins=(origin,))


def _inline(text: str) -> base_pb2.DataSource:
    return base_pb2.DataSource(inline_bytes=text.encode())
