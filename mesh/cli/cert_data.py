"""What the `cert` verbs read and write on the platform: the ledger, trust, revocations, Secrets.

Through the API server alone, so that they work wherever Citadel runs.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509

from mesh.citadel.authority import fingerprint
from mesh.citadel.ledger import LABEL, Line, lines_of
from mesh.citadel.pems import NEXT, OLD, OPERATOR
from mesh.citadel.publishing import NAME as TRUST
from mesh.citadel.publishing import bundle_of
from mesh.citadel.revocations import NAME as REVOCATIONS
from mesh.citadel.revocations import Revocation
from mesh.citadel.state import SECRET as STATE
from mesh.cli.errors import CommandError
from mesh.cli.platform import SYSTEM_NAMESPACE, Platform
from mesh.model.trust import TrustBundle
from mesh.pki.bundle import Bundle
from mesh.pki.spiffe import Identity

Obj = dict[str, Any]
MERGE = "application/merge-patch+json"
MAPS = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/configmaps"
SECRETS = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets"
_SERIAL = re.compile(r"(0x)?[0-9a-f]{8,40}", re.IGNORECASE)


@dataclass(frozen=True)
class Issued:
    """All that is known of issued certificates."""

    lines: tuple[Line, ...]
    revoked: dict[int, Revocation]
    issuers: frozenset[str]

    @classmethod
    def read(cls, platform: Platform) -> "Issued":
        """From the ledger and from what was revoked."""
        maps = platform.get(MAPS, labelSelector=f"{LABEL}=true")["items"]
        lines = sorted(
            (line for each in maps for line in lines_of(each)), key=lambda line: (line.identity, line.issued)
        )
        revoked = {
            serial: entry for entry in revocations(platform).values() for serial in entry.serials or ()
        }
        return cls(tuple(lines), revoked, issuers(platform))

    def state(self, line: Line, now: datetime) -> str:
        """One word: `valid`, `revoked`, `expired`, or `untrusted` if its issuer's root was withdrawn."""
        if line.ends <= now:
            return "expired"
        if line.issuer not in self.issuers:
            return "untrusted"
        return "revoked" if int(line.serial, 16) in self.revoked else "valid"

    def of(self, what: "Identity | str") -> list[Line]:
        """The lines of an identity, or of one serial number."""
        if isinstance(what, Identity):
            return [line for line in self.lines if line.identity == what.uri]
        return [line for line in self.lines if line.serial == what]


def named(what: str, lines: tuple[Line, ...] = ()) -> Identity | str:
    """What a command line names: an identity (SPIFFE URI, or `namespace/account`) or a serial number.

    The short form takes the trust domain of the ledger's `lines`. `CommandError` if it is neither.
    """
    text = what.strip()
    try:
        if text.startswith("spiffe:"):
            return Identity.parse(text)
        namespace, slash, account = text.partition("/")
        if slash:
            return Identity(_domain(lines), namespace, account)
    except ValueError as error:
        raise CommandError(str(error), remedy=_FORMS) from None
    plain = text.replace(":", "")
    if not _SERIAL.fullmatch(plain):
        raise CommandError(f"{what!r} is neither an identity nor a serial number", remedy=_FORMS)
    return f"{int(plain, 16):x}"


_FORMS = "name spiffe://<trust domain>/ns/<namespace>/sa/<account>, <namespace>/<account>, or a serial number"


def _domain(lines: tuple[Line, ...]) -> str:
    found = {Identity.parse(line.identity).trust_domain for line in lines}
    return found.pop() if len(found) == 1 else "cluster.local"


def revocations(platform: Platform) -> dict[str, Revocation]:
    """The entries of istio-revocations that can be read, by their key."""
    found = optional(platform, MAPS, REVOCATIONS)
    entries = {}
    for key, text in ((found or {}).get("data") or {}).items():
        try:
            entries[key] = Revocation.parse(key, text)
        except ValueError:
            continue  # Citadel's log says why
    return entries


def write_revocations(platform: Platform, data: dict[str, str | None]) -> None:
    """Add entries, or remove those that are None."""
    if optional(platform, MAPS, REVOCATIONS) is None:
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": REVOCATIONS}, "data": {}}
        platform.request("POST", MAPS, made)
    platform.request("PATCH", f"{MAPS}/{REVOCATIONS}", {"data": data}, content=MERGE)


def optional(platform: Platform, path: str, name: str) -> Obj | None:
    """An object, or None if there is none."""
    items = platform.get(path, fieldSelector=f"metadata.name={name}")["items"]
    return items[0] if items else None


def trust_map(platform: Platform) -> Obj:
    """The ConfigMap istio-trust; `CommandError` if Citadel has not made it."""
    found = optional(platform, MAPS, TRUST)
    if found is None:
        raise CommandError(
            f"there is no ConfigMap {SYSTEM_NAMESPACE}/{TRUST}: Citadel has not published what it trusts",
            remedy="is the mesh installed, and istio-citadel ready? see 'meshctl status'",
        )
    return found


def trust(platform: Platform) -> tuple[TrustBundle, Bundle]:
    """What the mesh trusts, as text and read."""
    text = bundle_of(trust_map(platform))
    return text, Bundle(text.root_cert.encode(), text.crl.encode())


def credentials(platform: Platform) -> Iterator[tuple[str, str, x509.Certificate]]:
    """Certificates in Secrets of the cluster that can be read: Secret, type, certificate."""
    from mesh.citadel.kube import decoded
    from mesh.pki.certificates import load_chain

    for kind, key in (("kubernetes.io/tls", "tls.crt"), ("istio.io/key-and-cert", "cert-chain.pem")):
        for secret in platform.get("/api/v1/secrets", fieldSelector=f"type={kind}")["items"]:
            metadata = secret["metadata"]
            try:
                yield (
                    f"{metadata['namespace']}/{metadata['name']}",
                    kind,
                    load_chain(decoded(secret).get(key, b""))[0],
                )
            except ValueError:
                continue


def authority(platform: Platform) -> x509.Certificate | None:
    """The certificate of the authority that issues now, if it can be read."""
    return next(iter(_authorities(platform)), None)


def issuers(platform: Platform) -> frozenset[str]:
    """The authorities whose certificates are trusted now, as the ledger names them."""
    return frozenset(fingerprint(each) for each in _authorities(platform))


def _authorities(platform: Platform) -> Iterator[x509.Certificate]:
    """The issuing authority first, then the one that is coming or going."""
    from mesh.citadel.kube import decoded
    from mesh.pki.certificates import load_chain

    data = decoded(optional(platform, SECRETS, STATE) or {})
    for name in (OPERATOR.cert, NEXT.cert, OLD.cert):
        try:
            yield load_chain(data.get(name, b""))[0]
        except ValueError:
            continue
