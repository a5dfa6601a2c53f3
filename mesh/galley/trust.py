"""Follows the mesh's trust bundle (ConfigMap istio-trust), where Galley runs alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog

from mesh.model.trust import TRUST_NAME, TrustBundle
from mesh.pki.trust import Trust
from mesh.platform.reflector import Obj, Reflector

log = structlog.get_logger(component="galley")


@asynccontextmanager
async def followed(client: Any, trust: Trust, namespace: str) -> AsyncIterator[None]:
    """Keep `trust` to what the ConfigMap says; of unreadable ones the last good one stays."""

    def take(obj: Obj) -> None:
        data = obj.get("data") or {}
        bundle = TrustBundle(data.get("root-cert.pem") or "", data.get("crl.pem") or "")
        try:
            if bundle.root_cert:
                trust.replace(bundle)
        except ValueError as error:
            log.warning("cannot read the trust bundle", error=str(error))

    def replace(objects: list[Obj]) -> None:
        for obj in objects:
            take(obj)

    def change(event: str, obj: Obj) -> None:
        if event != "DELETED":
            take(obj)

    reflector = Reflector(
        client, f"/api/v1/namespaces/{namespace}/configmaps", replace=replace, change=change,
        selector=f"fieldSelector=metadata.name={TRUST_NAME}",
    )  # fmt: skip
    task = asyncio.create_task(reflector.run(), name="trust bundle")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
