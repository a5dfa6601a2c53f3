"""What istio-policy and istio-telemetry follow, as people and tests ask it: `/debug/mixer` of each Pod.

They follow Galley as Pilot does, but no barrier tells of them. Synchronous.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from mesh.platform.forward import CannotForward, Forward
from mesh.platform.pilot import NAMESPACE, PORT

Obj = Mapping[str, Any]

POLICY, TELEMETRY = "istio-policy", "istio-telemetry"
GROUPS: Mapping[str, frozenset[str]] = {
    POLICY: frozenset({"config.istio.io"}),
    TELEMETRY: frozenset({"config.istio.io", "telemetry.istio.io"}),
}
"""The API groups that each program reads."""

PAUSE = 0.05  # seconds between two questions


def programs_of(group: str) -> list[str]:
    """The programs that read objects of an API group."""
    return [program for program, groups in GROUPS.items() if group in groups]


def reference(item: Obj) -> str:
    """The name of an object in `/debug/mixer`."""
    metadata = item["metadata"]
    return f"{item['kind']}/{metadata.get('namespace', '')}/{metadata['name']}"


def version(item: Obj) -> str:
    """Its version there: status does not count, which others write."""
    return f"{item['metadata']['uid']}/{item['metadata']['generation']}"


class MixerDebug:
    """Kept connections to the Pods. `find` gives the names of a program's ready Pods. Close it."""

    def __init__(self, client: Any, find: Callable[[str], Iterable[str]]) -> None:
        self._client = client
        self._find = find
        self._kept: dict[str, Forward] = {}

    def __repr__(self) -> str:
        return f"<MixerDebug, kept: {sorted(self._kept)}>"

    def close(self) -> None:
        """Close the connections."""
        while self._kept:
            self._kept.popitem()[1].close()

    def versions(self, pod: str) -> dict[str, str]:
        """The objects that a Pod follows, and their versions; `CannotForward` if it cannot be asked."""
        if pod not in self._kept:
            self._kept[pod] = Forward(self._client, NAMESPACE, pod, PORT)
        answer = self._kept[pod].request("GET", "/debug/mixer")
        if answer.status != 200:
            raise CannotForward(f"Pod {NAMESPACE}/{pod} answered {answer.status}: {answer.text[:200]}")
        found: dict[str, str] = json.loads(answer.text)["versions"]
        return found

    def behind(self, programs: Iterable[str], wanted: Mapping[str, str | None]) -> Iterator[str]:
        """The Pods that do not have these versions yet; None: that still know the object."""
        for program in programs:
            for pod in self._find(program):
                try:
                    seen = self.versions(pod)
                except CannotForward:
                    yield pod
                    continue
                if any(seen.get(name) != at for name, at in wanted.items()):
                    yield pod

    def follow(
        self, programs: Iterable[str], wanted: Mapping[str, str | None], *, timeout: float
    ) -> list[str]:
        """Wait until all have them; those that have not after `timeout` seconds."""
        chosen, deadline = list(programs), time.monotonic() + timeout
        while (left := list(self.behind(chosen, wanted))) and time.monotonic() < deadline:
            time.sleep(PAUSE)
        return left
