"""Pilot's own certificate from a Citadel in another process, and the trust that comes with it."""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mesh.model.trust import TrustBundle
from mesh.pki.client import CitadelClient
from mesh.pki.following import renewing
from mesh.pki.holder import Holder
from mesh.pki.spiffe import Identity
from mesh.pki.trust import Trust


@asynccontextmanager
async def certified(options: argparse.Namespace, domain: str) -> AsyncIterator[tuple[Holder, Trust]]:
    """The certificate, kept fresh, and what the mounted root makes trusted at first.

    Waits until Citadel answers. Raises `OSError` if the root cannot be read.
    """
    trust = Trust(TrustBundle(options.root_cert.read_text()))
    host = options.ca_address.rpartition(":")[0]
    signer = CitadelClient(
        options.ca_address, f"{host}:{options.ca_mutual_port}", trust.roots, options.token.read_text
    )
    holder = Holder(Identity(domain, options.namespace, options.account), signer)
    async with renewing(holder, trust):
        yield holder, trust
