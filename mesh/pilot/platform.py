"""Pilot on Kubernetes: what it reads there, put together with configuration that comes from Galley.

For `pilot-discovery` and for a process that holds all of the control plane alike.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import CollectorRegistry

from mesh.galley.source.combined import Combined
from mesh.galley.source.credentials import KINDS, CredentialSource
from mesh.galley.source.namespaces import KINDS as NAMESPACE_KINDS
from mesh.galley.source.namespaces import NamespaceSource
from mesh.model.sources import ConfigSource, StatusSink
from mesh.model.trust import PROGRAMMED
from mesh.pilot.assembly import assembled, with_settings
from mesh.pilot.jwks.source import KINDS as JWKS_KINDS
from mesh.pilot.jwks.source import JwksSource
from mesh.pilot.jwks.source import Metrics as JwksMetrics
from mesh.pilot.metrics import Metrics
from mesh.pilot.pilot import Listen, Pilot
from mesh.pilot.settings import Settings
from mesh.pilot.trust import follow, trust_key
from mesh.pki.holder import Holder
from mesh.pki.trust import Trust
from mesh.platform.annotate import annotate
from mesh.registry.entries import with_entries
from mesh.registry.kubernetes import KubernetesRegistry


@asynccontextmanager
async def on_platform(
    client: Any,
    config: ConfigSource,
    settings: Settings,
    listen: Listen,
    *,
    identity: Holder | None = None,
    trust: Trust | None = None,
    domains: tuple[str, ...] = (),
    status: StatusSink | None = None,
    namespace: str = "istio-system",
    follow_trust: bool = True,
    further_metrics: Iterable[CollectorRegistry] = (),
) -> AsyncIterator[Pilot]:
    """Run Pilot with a `kubernetes.aio` ApiClient, on configuration from `config`, which it runs.

    Proxies of the mesh's trust domain, its aliases and `domains` are let in. With `follow_trust`, `trust` is
    kept to what the ConfigMap says; without, somebody else does so. `further_metrics` are shown beside
    Pilot's own. For the others see `mesh.pilot.pilot.serving`.
    """
    metrics = Metrics(further_metrics)
    credentials = CredentialSource(client, namespace)
    keys = JwksSource(config, metrics=JwksMetrics(metrics.registry))
    said = NamespaceSource(client)
    further: Any = {credentials: KINDS, keys: JWKS_KINDS, said: NAMESPACE_KINDS}
    every = Combined(config, further, ready=keys.ready)
    if trust is not None and follow_trust:
        follow(trust, credentials, namespace)
    key = trust_key(namespace)

    async def programmed(digest: str) -> None:
        path = f"/api/v1/namespaces/{key.namespace}/configmaps/{key.name}"
        await annotate(client, path, {PROGRAMMED: digest})

    def let_in() -> tuple[str, ...]:
        mesh = settings.current
        return tuple(dict.fromkeys((mesh.trust_domain, *mesh.trust_domain_aliases, *domains)))

    registry = with_entries(KubernetesRegistry(client), every)
    compiler, world = assembled(registry, every, settings, further_kinds=KINDS | JWKS_KINDS | NAMESPACE_KINDS)
    async with with_settings(
        world, compiler, settings, listen,
        identity=identity, trust=trust, domains=let_in, status=status, programmed=programmed,
        system_namespace=namespace, metrics=metrics,
    ) as pilot:  # fmt: skip
        yield pilot
