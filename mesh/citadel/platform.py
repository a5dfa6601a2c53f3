"""What Citadel sees of the platform, each kind of object watched once, and who hears of its changes."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from mesh.citadel.ledger import PREFIX, Ledger
from mesh.citadel.publishing import NAME as TRUST
from mesh.citadel.revocations import NAME as REVOCATIONS
from mesh.citadel.roots import NAME as ROOT_MAP
from mesh.citadel.secrets import TYPE
from mesh.citadel.settings import CitadelSettings
from mesh.citadel.state import OPERATOR_SECRET, SECRET
from mesh.citadel.watched import Key, Watched
from mesh.citadel.webhooks import PATHS, SELECTOR

Hear = Callable[[], None]
STATE = frozenset({TRUST, REVOCATIONS, SECRET, OPERATOR_SECRET})


class Platform:
    """Everything that Citadel watches."""

    def __init__(self, client: Any, settings: CitadelSettings, ledger: Ledger) -> None:
        system = f"/api/v1/namespaces/{settings.namespace}"
        self._ledger = ledger
        self._namespace = settings.namespace
        self._hearers: dict[str, list[Hear]] = {}
        self.maps = Watched(client, f"{system}/configmaps", self._maps_changed)
        self._keys = Watched(client, f"{system}/secrets", self._state_changed)
        self.namespaces = Watched(client, "/api/v1/namespaces", self._tells("roots", "secrets"))
        self.accounts = Watched(client, "/api/v1/serviceaccounts", self._tells("secrets"))
        self.root_maps = Watched(
            client,
            "/api/v1/configmaps",
            self._tells("roots"),
            selector=f"fieldSelector=metadata.name={ROOT_MAP}",
        )
        self.secrets = Watched(
            client, "/api/v1/secrets", self._tells("secrets"), selector=f"fieldSelector=type={TYPE}"
        )
        self.webhooks = tuple(
            Watched(client, path, self._tells("webhooks"), selector=SELECTOR) for path in PATHS.values()
        )

    @property
    def _all(self) -> tuple[Watched, ...]:
        return (
            self.maps, self._keys, self.namespaces, self.accounts, self.root_maps, self.secrets,
            *self.webhooks,
        )  # fmt: skip

    def runs(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """What follows the platform, to be run as tasks."""
        return [(repr(each), each.run()) for each in self._all]

    async def synced(self) -> None:
        """Wait until everything that exists has been read."""
        await asyncio.gather(*(each.synced.wait() for each in self._all))

    def has_account(self, namespace: str, name: str) -> bool:
        """Whether a service account exists."""
        return self.accounts.get(namespace, name) is not None

    def on_system(self, *hear: Hear) -> None:
        """Call after changes of the authorities, of revocations and of published trust."""
        self._hearers.setdefault("system", []).extend(hear)

    def on_roots(self, *hear: Hear) -> None:
        """Call after changes of namespaces and of their roots."""
        self._hearers.setdefault("roots", []).extend(hear)

    def on_secrets(self, *hear: Hear) -> None:
        """Call after changes of namespaces, accounts and classic Secrets."""
        self._hearers.setdefault("secrets", []).extend(hear)

    def on_webhooks(self, *hear: Hear) -> None:
        """Call after changes of the mesh's webhooks."""
        self._hearers.setdefault("webhooks", []).extend(hear)

    def _tells(self, *topics: str) -> Callable[[frozenset[Key]], None]:
        def changed(_: frozenset[Key]) -> None:
            self._tell(*topics)

        return changed

    def _tell(self, *topics: str) -> None:
        for topic in topics:
            for hear in self._hearers.get(topic, ()):
                hear()

    def _maps_changed(self, keys: frozenset[Key]) -> None:
        for namespace, name in keys:
            found = self.maps.get(namespace, name)
            if name.startswith(PREFIX):
                self._ledger.read(found) if found is not None else self._ledger.removed(name)
        self._state_changed(keys)

    def _state_changed(self, keys: frozenset[Key]) -> None:
        if any(name in STATE for _, name in keys):
            self._tell("system")
