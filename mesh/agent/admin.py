"""What the agent asks of Envoy's admin interface."""

import json
import re

from mesh.agent.http import Response, fetch

WARMING = "^(cluster_manager.warming_clusters|listener_manager.total_listeners_warming)$"
CONNECTIONS = r"^listener\..*\.downstream_cx_active$"
_OWN = re.compile(r"^listener\.(admin|0\.0\.0\.0_15021|0\.0\.0\.0_15090|own_\d+)\.")


class Admin:
    """Envoy's admin interface on a port of this Pod. `OSError` or `TimeoutError` while Envoy is away."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def ready(self) -> bool:
        """Whether Envoy is live: it has had its first configuration and its workers run."""
        if (await fetch(self.port, "/ready")).status != 200:
            return False
        return (await self.stats("^listener_manager.workers_started$")).get(
            "listener_manager.workers_started"
        ) == 1

    async def warming(self) -> dict[str, int]:
        """How many clusters and listeners have been accepted but are not in use yet."""
        found = await self.stats(WARMING)
        return {
            "clusters": found.get("cluster_manager.warming_clusters", 0),
            "listeners": found.get("listener_manager.total_listeners_warming", 0),
        }

    async def connections(self) -> int:
        """Connections that callers hold to Envoy, those of probes and scrapers left out."""
        return sum(value for name, value in (await self.stats(CONNECTIONS)).items() if not _OWN.match(name))

    async def drain(self) -> None:
        """Ask callers to go elsewhere (GOAWAY, `Connection: close`) while still serving them."""
        await fetch(self.port, "/drain_listeners?graceful&skip_exit", method="POST")

    async def prometheus(self) -> Response:
        """Envoy's metrics."""
        return await fetch(self.port, "/stats/prometheus")

    async def stats(self, pattern: str) -> dict[str, int]:
        """Counters and gauges whose names match a regular expression."""
        answer = await fetch(self.port, f"/stats?format=json&filter={pattern}")
        entries = json.loads(answer.body)["stats"]
        return {entry["name"]: int(entry["value"]) for entry in entries if "value" in entry}
