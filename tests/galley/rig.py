"""What Galley's tests stand on: an authority, its certificates, the mesh's kinds on a served API."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import serialization

from mesh.api.crds import crds
from mesh.citadel import requests
from mesh.citadel.authority import Authority, Subject
from mesh.galley.webhook import Webhook, listening
from mesh.model.trust import TrustBundle
from mesh.pki.certificates import chain_pem
from mesh.pki.holder import Holder
from mesh.pki.keypair import KeyPair
from mesh.pki.spiffe import Identity
from mesh.pki.trust import Trust
from pocketkube.api.errors import AlreadyExists
from tests.pocketkube.api.rig import Served

SYSTEM = "istio-system"
WEBHOOKS = "validatingwebhookconfigurations.admissionregistration.k8s.io"
CRDS = "customresourcedefinitions.apiextensions.k8s.io"
GROUPS = ["networking.istio.io", "security.istio.io", "telemetry.istio.io", "config.istio.io"]


class Ca:
    """An authority that signs for whoever asks: a `Signer` without Citadel's refusals."""

    def __init__(self) -> None:
        self.authority = Authority.self_signed(
            "cluster.local", now=datetime.now(UTC), lifetime=timedelta(days=1), skew=timedelta(minutes=5),
            algorithm="ecdsa-p256",
        )  # fmt: skip
        self.root = chain_pem(self.authority.roots)
        self.trust = Trust(TrustBundle(self.root.decode()))

    async def sign(self, csr: bytes, *, seconds: int, present: KeyPair | None = None) -> bytes:
        """The chain for a CSR; DNS names are those of the identity's Service, and the tests' own host."""
        asked = requests.parse(csr)
        identity = Identity.parse(asked.uris[0])
        names = (f"{identity.account}.{identity.namespace}.svc", "localhost")
        certificate = self.authority.sign(
            Subject(identity, names), asked.key, now=datetime.now(UTC),
            lifetime=timedelta(seconds=seconds), skew=timedelta(minutes=5),
        )  # fmt: skip
        return self.authority.chain(certificate)

    def revoke(self, *serials: int) -> None:
        """Put certificates on the revocation list that everybody gets."""
        crl = self.authority.revocation_list(serials, {}, now=datetime.now(UTC), skew=timedelta(minutes=5))
        text = crl.public_bytes(serialization.Encoding.PEM).decode()
        self.trust.replace(TrustBundle(self.root.decode(), text))

    async def holder(self, account: str, namespace: str = SYSTEM) -> Holder:
        """A holder with its first certificate."""
        holder = Holder(Identity("cluster.local", namespace, account), self)
        await holder.first()
        return holder


async def on(served: Served, work: Any) -> Any:
    """Do something in the API server's loop."""
    return await asyncio.to_thread(served.run, work)


async def with_kinds(served: Served) -> None:
    """Teach the API server the mesh's kinds."""
    for crd in crds():
        with contextlib.suppress(AlreadyExists):
            await on(served, served.api.create(CRDS, crd))


@asynccontextmanager
async def gate(served: Served) -> AsyncIterator[Webhook]:
    """A running webhook that the API server asks about the mesh's kinds."""
    ca = Ca()
    await with_kinds(served)
    webhook = Webhook()
    async with listening(webhook, await ca.holder("istio-galley"), host="127.0.0.1", port=0) as port:
        await on(served, served.api.create(WEBHOOKS, configuration(port, ca.root)))
        try:
            yield webhook
        finally:
            await on(served, served.api.delete(WEBHOOKS, "istio-galley"))


def configuration(port: int, root: bytes) -> dict[str, Any]:
    """What the mesh is installed with, by address in place of a Service."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "istio-galley", "labels": {"app": "istio-galley"}},
        "webhooks": [
            {
                "name": "validation.istio.io",
                "clientConfig": {
                    "url": f"https://localhost:{port}/validate",
                    "caBundle": base64.b64encode(root).decode(),
                },
                "rules": [
                    {
                        "apiGroups": GROUPS, "apiVersions": ["*"], "resources": ["*"],
                        "operations": ["CREATE", "UPDATE"], "scope": "*",
                    }
                ],
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }
        ],
    }  # fmt: skip
