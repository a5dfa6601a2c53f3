"""Brings the root to every namespace: the ConfigMap istio-ca-root-cert, which Pods mount."""

import asyncio
from collections.abc import Iterator

import structlog

from mesh.citadel.kube import Kube, KubeError, Obj
from mesh.citadel.watched import Watched
from mesh.model.trust import TrustBundle
from mesh.pki.trust import Trust

NAME = "istio-ca-root-cert"
KEY = "root-cert.pem"
AT_ONCE = 8  # requests under way

log = structlog.get_logger(component="citadel")


class RootMaps:
    """Makes, repairs and updates the ConfigMap in every namespace that is not on its way out."""

    def __init__(self, kube: Kube, trust: Trust, namespaces: Watched, maps: Watched) -> None:
        self._kube = kube
        self._trust = trust
        self._namespaces = namespaces
        self._maps = maps
        self._room = asyncio.Semaphore(AT_ONCE)

    async def step(self) -> None:
        """Write every ConfigMap that is missing or differs; raises the last `KubeError` if some failed."""
        bundle = self._trust.current
        if not bundle.root_cert:
            return
        results = await asyncio.gather(
            *(self._write(name, bundle.root_cert) for name in self.wrong(bundle)), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def wrong(self, bundle: TrustBundle) -> list[str]:
        """The namespaces whose ConfigMap is missing or holds something else."""
        return [name for name in self._living() if self._held(name) != bundle.root_cert]

    def waiting(self, bundle: TrustBundle) -> Iterator[str]:
        """What a rotation waits for."""
        yield from (f"ConfigMap {name}/{NAME}" for name in self.wrong(bundle))

    def _living(self) -> Iterator[str]:
        for (_, name), namespace in tuple(self._namespaces.objects.items()):
            if not namespace["metadata"].get("deletionTimestamp"):
                yield name

    def _held(self, namespace: str) -> str:
        found = self._maps.get(namespace, NAME) or {}
        return str((found.get("data") or {}).get(KEY, ""))

    async def _write(self, namespace: str, text: str) -> None:
        path = f"/api/v1/namespaces/{namespace}/configmaps"
        async with self._room:
            try:
                if self._maps.get(namespace, NAME) is not None:
                    made = await self._kube.merge(f"{path}/{NAME}", {"data": {KEY: text}})
                else:
                    made = await self._kube.create(path, _config_map(text))
                self._maps.put(made)
            except KubeError as error:
                if await self._gone(namespace, error):
                    return
                raise

    async def _gone(self, namespace: str, error: KubeError) -> bool:
        """Whether writing failed because the namespace is (being) removed."""
        if error.status not in {403, 404}:
            return False
        found = await self._kube.get(f"/api/v1/namespaces/{namespace}")
        return found is None or bool(found["metadata"].get("deletionTimestamp"))


def _config_map(text: str) -> Obj:
    metadata = {"name": NAME, "labels": {"istio.io/config": "true"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {KEY: text}}
