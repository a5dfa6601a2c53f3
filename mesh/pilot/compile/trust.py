"""Identities that callers and servers must show, and the mark of what has been revoked.

Sources: SPIFFE (`spiffe://domain/ns/namespace/sa/account`); Istio, "Trust Domain Migration".
"""

from collections.abc import Iterator
from hashlib import sha256

from envoy.config.core.v3 import base_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2
from envoy.type.matcher.v3 import string_pb2

from mesh.model import ObjectKey
from mesh.model.trust import TRUST_NAME, TrustBundle
from mesh.pilot.compile.metadata import FILTER
from mesh.pilot.reader import Reader
from mesh.pki.bundle import load_lists

SanMatcher = common_pb2.SubjectAltNameMatcher
CRL = "revoked"
"""The key in a resource's metadata that has the mark of what has been revoked."""


def domains(read: Reader) -> tuple[str, ...]:
    """The mesh's trust domain and its aliases."""
    return tuple(dict.fromkeys((read.mesh.trust_domain, *read.mesh.trust_domain_aliases)))


def accounts(read: Reader, hostname: str, port: int) -> tuple[tuple[str, str], ...]:
    """Namespace and account of all instances of a service port, in order."""
    every = read.instances(hostname, port)
    found = {(e.workload.namespace, e.service_account) for e in every if e.workload and e.service_account}
    return tuple(sorted(found))


def identities(read: Reader, hostname: str, port: int) -> tuple[str, ...]:
    """The identities that a server of a service port may show; none if nothing is known of them."""
    return tuple(_identities(read, hostname, port))


def _identities(read: Reader, hostname: str, port: int) -> Iterator[str]:
    for namespace, account in read.ask(accounts, hostname, port):
        for domain in domains(read):
            yield f"spiffe://{domain}/ns/{namespace}/sa/{account}"


def exactly(names: tuple[str, ...]) -> Iterator[common_pb2.SubjectAltNameMatcher]:
    """A certificate with one of these names: a URI if it has a scheme, else a DNS name (or an IP address)."""
    for name in names:
        matcher = string_pb2.StringMatcher(exact=name)
        if "://" in name:
            yield SanMatcher(san_type=SanMatcher.URI, matcher=matcher)
        else:
            yield SanMatcher(san_type=SanMatcher.DNS, matcher=matcher)
            yield SanMatcher(san_type=SanMatcher.IP_ADDRESS, matcher=matcher)


def of_domains(names: tuple[str, ...]) -> Iterator[common_pb2.SubjectAltNameMatcher]:
    """A certificate of one of these trust domains."""
    for name in names:
        matcher = string_pb2.StringMatcher(prefix=f"spiffe://{name}/")
        yield SanMatcher(san_type=SanMatcher.URI, matcher=matcher)


# Revocation


def revoked(read: Reader) -> str:
    """A mark that differs exactly when other certificates are revoked; empty if none is.

    It is part of what Envoy replaces as a whole, so that connections that were made before come to an end. A
    list that is only signed anew, or comes with a new root, leaves the mark as it is.
    """
    held = read.object(ObjectKey("ConfigMap", read.mesh.root_namespace, TRUST_NAME))
    if held is None:
        return ""
    bundle: TrustBundle = held.spec
    return marked(bundle.crl)


def marked(crl: str) -> str:
    """The mark of revocation lists. Lists that cannot be read are a mark of their own."""
    try:
        lists = load_lists(crl.encode())
    except ValueError:
        return sha256(crl.encode()).hexdigest()[:16]
    found = sorted((one.issuer.public_bytes(), entry.serial_number) for one in lists for entry in one)
    return sha256(repr(found).encode()).hexdigest()[:16] if found else ""


def mark(metadata: base_pb2.Metadata, read: Reader) -> None:
    """Put the mark into a resource's metadata."""
    value = read.ask(revoked)
    if value:
        metadata.filter_metadata[FILTER][CRL] = value
