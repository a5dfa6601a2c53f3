"""Publishes what the mesh trusts: the ConfigMap istio-trust with the roots, and a CRL of every authority."""

from collections.abc import Collection, Mapping

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from mesh.citadel.authority import Authority, same_list
from mesh.citadel.kube import Kube, Obj
from mesh.citadel.revocations import Revocations
from mesh.citadel.settings import CitadelSettings
from mesh.citadel.state import State, annotation
from mesh.model.trust import PROGRAMMED, TRUST_NAME, TrustBundle
from mesh.pki.bundle import load_lists
from mesh.pki.certificates import chain_pem
from mesh.pki.clock import Clock
from mesh.pki.trust import Trust

NAME = TRUST_NAME
ROOTS, CRL, DENIED = "root-cert.pem", "crl.pem", "denied"

log = structlog.get_logger(component="citadel")


class Publisher:
    """Writes istio-trust, only when its meaning changes: each change reaches every proxy."""

    def __init__(self, kube: Kube, settings: CitadelSettings, trust: Trust, clock: Clock) -> None:
        self._kube = kube
        self._settings = settings
        self._clock = clock
        self._trust = trust
        self._path = f"/api/v1/namespaces/{settings.namespace}/configmaps"
        self._seen: Obj | None = None

    async def publish(self, state: State, revocations: Revocations) -> TrustBundle:
        """Bring istio-trust to this state and to what is revoked."""
        self._seen = await self._kube.get(f"{self._path}/{NAME}")
        present = bundle_of(self._seen)
        serials, live = revocations.serials(), revocations.live(self._clock())
        wanted = TrustBundle(
            chain_pem(state.roots).decode(),
            self._lists(present, state.authorities, serials, live),
            tuple(sorted(revocations.denied)),
        )
        if wanted != present:
            self._seen = await self._write(wanted)
            log.info("trust published", roots=len(state.roots), revoked=len(live), digest=wanted.digest[:12])
        self._trust.replace(wanted)
        return wanted

    def programmed(self) -> bool:
        """Whether Pilot has said that what is published is in force at every proxy."""
        return annotation(self._seen, PROGRAMMED) == bundle_of(self._seen).digest

    def _lists(
        self, present: TrustBundle, signing: Collection[Authority], serials: Mapping[int, str], live: set[int]
    ) -> str:
        """A list of every authority; none at all if one of them may not sign lists.

        Verifiers that are given lists refuse every certificate whose issuer has none.
        """
        if not all(authority.signs_lists for authority in signing):
            return ""
        before = _read(present.crl)
        made = [self._list(authority, before, serials, live) for authority in signing]
        return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in made).decode()

    def _list(
        self,
        authority: Authority,
        before: Collection[x509.CertificateRevocationList],
        serials: Mapping[int, str],
        live: set[int],
    ) -> x509.CertificateRevocationList:
        """The present list if it says the same; expired certificates go only with another change."""
        for each in before:
            listed = {entry.serial_number for entry in each}
            if live <= listed <= serials.keys() and same_list(each, authority, listed):
                return each
        reasons = {serial: serials[serial] for serial in live}
        return authority.revocation_list(live, reasons, now=self._clock(), skew=self._settings.skew)

    async def _write(self, wanted: TrustBundle) -> Obj:
        data = {ROOTS: wanted.root_cert, CRL: wanted.crl, DENIED: "\n".join(wanted.denied)}
        if self._seen is None:
            metadata = {"name": NAME, "labels": {"app.kubernetes.io/part-of": "istio"}}
            return await self._kube.create(
                self._path, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
            )
        return await self._kube.replace(f"{self._path}/{NAME}", {**self._seen, "data": data})


def bundle_of(config_map: Obj | None) -> TrustBundle:
    """The bundle that a ConfigMap holds; empty if there is none."""
    data = (config_map or {}).get("data") or {}
    denied = tuple(str(data.get(DENIED, "")).split())
    return TrustBundle(str(data.get(ROOTS, "")), str(data.get(CRL, "")), denied)


def _read(crl: str) -> Collection[x509.CertificateRevocationList]:
    try:
        return load_lists(crl.encode())
    except ValueError:
        return ()
