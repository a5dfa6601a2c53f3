"""Tells the API server whom to trust when it calls the mesh's webhooks: keeps their `caBundle`."""

import base64
from collections.abc import Iterator
from typing import Any

from mesh.citadel.kube import Kube, Obj
from mesh.citadel.watched import Watched
from mesh.model.trust import TrustBundle
from mesh.pki.trust import Trust

GROUP = "/apis/admissionregistration.k8s.io/v1"
PATHS = {
    "MutatingWebhookConfiguration": f"{GROUP}/mutatingwebhookconfigurations",
    "ValidatingWebhookConfiguration": f"{GROUP}/validatingwebhookconfigurations",
}
SELECTOR = "labelSelector=app%20in%20(istio-sidecar-injector,istio-galley)"
JSON_PATCH = "application/json-patch+json"


class Webhooks:
    """Keeps the configurations of the injector and of Galley, known by their label `app`."""

    def __init__(self, kube: Kube, trust: Trust, configurations: tuple[Watched, ...]) -> None:
        self._kube = kube
        self._trust = trust
        self._configurations = configurations

    async def step(self) -> None:
        """Write the bundle into every webhook that has another one."""
        bundle = self._trust.current
        if not bundle.root_cert:
            return
        for obj in tuple(self._all()):
            patch = list(_patch(obj, _encoded(bundle)))
            if patch:
                path = f"{PATHS[obj['kind']]}/{obj['metadata']['name']}"
                await self._kube.send("PATCH", path, patch, content=JSON_PATCH)

    def waiting(self, bundle: TrustBundle) -> Iterator[str]:
        """What a rotation waits for."""
        for obj in self._all():
            if any(_patch(obj, _encoded(bundle))):
                yield f"{obj['kind']} {obj['metadata']['name']}"

    def _all(self) -> Iterator[Obj]:
        for watched in self._configurations:
            yield from watched.objects.values()


def _patch(obj: Obj, wanted: str) -> Iterator[dict[str, Any]]:
    """The operations that bring a configuration to the bundle; each first checks which webhook it meets."""
    for number, webhook in enumerate(obj.get("webhooks") or ()):
        if webhook.get("clientConfig", {}).get("caBundle") != wanted:
            where = f"/webhooks/{number}"
            yield {"op": "test", "path": f"{where}/name", "value": webhook["name"]}
            yield {"op": "add", "path": f"{where}/clientConfig/caBundle", "value": wanted}


def _encoded(bundle: TrustBundle) -> str:
    return base64.b64encode(bundle.root_cert.encode()).decode()
