"""Lets a process's own certificate follow the mesh's trust: a new root or a revocation renews it at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mesh.model.trust import TrustBundle
from mesh.pki.holder import Holder
from mesh.pki.signer import SigningFailed
from mesh.pki.trust import Trust, renewal_reason

PAUSE = 2.0  # seconds before a renewal that failed is tried again


@asynccontextmanager
async def renewing(holder: Holder, trust: Trust | None = None) -> AsyncIterator[Holder]:
    """Get the holder's first certificate, then keep it fresh, and in step with `trust` if it is given."""
    await holder.first()
    tasks = [asyncio.create_task(holder.run(), name="certificate")]
    if trust is not None:
        tasks.append(asyncio.create_task(_follow(holder, trust), name="trust"))
    try:
        yield holder
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _follow(holder: Holder, trust: Trust) -> None:
    changed = asyncio.Event()

    def tell(_: TrustBundle) -> None:
        changed.set()

    trust.subscribe(tell)
    try:
        while True:
            await _in_step(holder, trust)
            await changed.wait()
            changed.clear()
    finally:
        trust.unsubscribe(tell)


async def _in_step(holder: Holder, trust: Trust) -> None:
    """Renew until the certificate is one of the present bundle."""
    while trust.current.root_cert and (reason := renewal_reason(holder.pair, trust.bundle)):
        try:
            await holder.renew(reason)
        except SigningFailed:
            pass
        else:
            return
        await asyncio.sleep(PAUSE)
