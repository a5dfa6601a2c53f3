"""What the agent asks of Envoy's admin interface."""

import json
import re

from mesh.agent.http import Response, fetch

# What must have happened once before a proxy may be used -> what is said while it has not.
STARTED = {
    "cluster_manager.cds.update_success": "Pilot has sent no clusters that Envoy takes",
    "listener_manager.lds.update_success": "Pilot has sent no listeners that Envoy takes",
    "listener_manager.workers_started": "Envoy has not started its workers",
}
WARMING = "^(cluster_manager.warming_clusters|listener_manager.total_listeners_warming)$"
CONNECTIONS = r"^listener\..*\.downstream_cx_active$"
_OWN = re.compile(r"^listener\.(admin|0\.0\.0\.0_15021|0\.0\.0\.0_15090|own_\d+)\.")


class Admin:
    """Envoy's admin interface on a port of this Pod. `OSError` or `TimeoutError` while Envoy is away."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._started = False

    async def unready(self) -> str:
        """Why Envoy cannot be used yet; empty once its first configuration is in force.

        Envoy alone calls itself live also when it has refused all that it was sent.
        """
        if (await fetch(self.port, "/ready")).status != 200:
            return "Envoy is not live yet"
        if self._started:  # never undone, and probes come every second: look-ups in the statistics cost CPU
            return ""
        found = await self.stats(f"^({'|'.join(STARTED)})$")
        why = next((why for name, why in STARTED.items() if not found.get(name)), "")
        self._started = not why
        return why

    async def warming(self) -> dict[str, int]:
        """How many clusters and listeners have been accepted but are not in use yet."""
        found = await self.stats(WARMING, kind="Gauges")
        return {
            "clusters": found.get("cluster_manager.warming_clusters", 0),
            "listeners": found.get("listener_manager.total_listeners_warming", 0),
        }

    async def connections(self) -> int:
        """Connections that callers hold to Envoy, those of probes and scrapers left out."""
        found = await self.stats(CONNECTIONS, kind="Gauges")
        return sum(value for name, value in found.items() if not _OWN.match(name))

    async def drain(self) -> None:
        """Ask callers to go elsewhere (GOAWAY, `Connection: close`) while still serving them."""
        await fetch(self.port, "/drain_listeners?graceful&skip_exit", method="POST")

    async def prometheus(self) -> Response:
        """Envoy's metrics."""
        return await fetch(self.port, "/stats/prometheus")

    async def stats(self, pattern: str, *, kind: str = "All") -> dict[str, int]:
        """Counters and gauges whose names match a regular expression; one kind alone is found much faster."""
        answer = await fetch(self.port, f"/stats?format=json&type={kind}&filter={pattern}")
        entries = json.loads(answer.body)["stats"]
        return {entry["name"]: int(entry["value"]) for entry in entries if "value" in entry}
