"""What Mixer's rules ask of a workload, as far as Pilot knows it: only that tells proxies apart.

The values are those that istio-policy finds by the workload's address (see `mesh.rules.workloads`).
"""

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any

from mesh.model import Labels, Proxy, ProxyKind, Workload
from mesh.pilot.mixer.ruleset import References, references
from mesh.pilot.mixer.settings import ANNOTATIONS
from mesh.pilot.reader import Reader
from mesh.rules.workloads import workload_attributes

WORKLOAD = "workload"
"""The fact that the workload is known: what rules ask for and is no fact, it does not have."""

SIDE = "destination"
LABELS = f"{SIDE}.labels"


def facts(read: Reader, proxy: Proxy) -> Labels:
    """Annotations about checks, and the attributes that rules refer to."""
    return Labels({**annotations(proxy), **dict(attributes(read, proxy))})


def annotations(proxy: Proxy) -> dict[str, str]:
    """What the Pod says about checks."""
    given: Mapping[str, Any] = proxy.metadata.get("ANNOTATIONS") or {}
    return {name: str(given[name]) for name in ANNOTATIONS if name in given}


def attributes(read: Reader, proxy: Proxy) -> Iterator[tuple[str, str]]:
    """The workload's attributes that rules refer to."""
    wanted = read.ask(references)
    workload = read.workload(proxy.address) if wanted and proxy.kind is ProxyKind.SIDECAR else None
    if workload is not None:
        yield WORKLOAD, "known"
        yield from asked(workload, wanted)


def asked(workload: Workload, wanted: References) -> Iterator[tuple[str, str]]:
    """Attributes, addresses as text, and labels as `destination.labels[key]`."""
    every = workload_attributes(SIDE, workload)
    for name in wanted.attributes & every.keys():
        found = every[name]
        if isinstance(found, str | bytes):
            yield name, found if isinstance(found, str) else str(ip_address(found))
    for key in wanted.labels & workload.labels.keys():
        yield f"{LABELS}[{key}]", workload.labels[key]
