"""What Mixer's rules ask of a workload, as far as Pilot knows it: only that tells proxies apart.

The values are those that istio-policy finds by the workload's address (see `mesh.rules.workloads`).
"""

from collections.abc import Mapping
from typing import Any

from mesh.model import Labels, Proxy
from mesh.pilot.mixer.settings import ANNOTATIONS
from mesh.pilot.reader import Reader


def facts(read: Reader, proxy: Proxy) -> Labels:
    """Annotations about checks, and the attributes that rules refer to (see `Known`)."""
    found = annotations(proxy)
    return Labels(found)


def annotations(proxy: Proxy) -> dict[str, str]:
    """What the Pod says about checks."""
    given: Mapping[str, Any] = proxy.metadata.get("ANNOTATIONS") or {}
    return {name: str(given[name]) for name in ANNOTATIONS if name in given}
