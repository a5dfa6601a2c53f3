"""A world with Mixer's objects, and what a proxy's inbound chains have of them."""

from typing import Any

from mesh.api.meshconfig import MeshConfig
from mesh.model import ConfigObject, ObjectKey, Proxy
from mesh.pilot.types import LDS
from tests.mixer.policy.rig import action, handler, instance, rule
from tests.pilot.compile.world import WEATHER, World, plain, sidecar

FORECAST_V1 = {"name": "forecast-v1", "address": "10.0.0.2"}
FORECAST_V2 = {"name": "forecast-v2", "address": "10.0.0.3"}


class Mixed(World):
    """A world to which objects of Mixer's are given as plain values."""

    def __init__(self, *objects: dict[str, Any], services: str = WEATHER, **mesh: Any) -> None:
        super().__init__(services, mesh=MeshConfig.model_validate(mesh))
        self.namespaces: dict[ObjectKey, ConfigObject] = {}
        self.give(*objects)

    def give(self, *objects: dict[str, Any]) -> None:
        """Add or replace objects."""
        for each in objects:
            self.store.put(each)
            key = ObjectKey(each["kind"], each["metadata"]["namespace"], each["metadata"]["name"])
            assert self.store.rejected(key) is None, self.store.rejected(key)

    def namespace(self, name: str, **annotations: str) -> None:
        """Set what a Namespace says, with `policy.istio.io/` before each name."""
        key = ObjectKey("Namespace", "", name)
        said = {f"policy.istio.io/{name}": value for name, value in annotations.items()}
        self._texts[key] = ConfigObject(key, "", "v1", None, annotations=said)
        self._keys.add(key)

    def chain(self, proxy: Proxy, port: int = 3002) -> Any:
        """The HTTP handler of a port, as plain values."""
        chains = plain(self.all(proxy, LDS)["virtualInbound"])["filter_chains"]
        found = [
            each for each in chains if each.get("filter_chain_match", {}).get("destination_port") == port
        ]
        return found[0]["filters"][-1]["typed_config"]

    def filters(self, proxy: Proxy, port: int = 3002) -> dict[str, Any]:
        """Mixer's filters there, by name."""
        every = self.chain(proxy, port)["http_filters"]
        return {
            each["name"]: each["typed_config"]
            for each in every
            if each["name"].startswith("meshwright.mixer")
        }


def forecast(version: str = "v1", **annotations: str) -> Proxy:
    """A sidecar of the forecast; annotations have `policy.istio.io/` before their names."""
    where = FORECAST_V1 if version == "v1" else FORECAST_V2
    said = {f"policy.istio.io/{name}": value for name, value in annotations.items()}
    return sidecar(**where, metadata={"ANNOTATIONS": said})


def deny(name: str = "deny", match: str = "", namespace: str = "istio-system") -> list[dict[str, Any]]:
    """A rule that refuses with PERMISSION_DENIED."""
    return [
        handler("no", "denier", namespace, status={"code": 7, "message": "no"}),
        instance("nothing", "checknothing", namespace),
        rule(name, match, [action("no", "nothing")], namespace),
    ]


CALLING = 'source.labels["app"] == "frontend"'
"""A match that only Mixer can decide."""
