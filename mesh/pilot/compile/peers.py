"""PeerAuthentication: which connections a workload takes, and which workloads can be called with mutual TLS.

Source: Istio's reference of PeerAuthentication. The oldest policy of each level counts; a narrower level
replaces a wider one unless it is UNSET; ports are set by the workload's policy only.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from mesh.model import ConfigObject, Instance, Labels
from mesh.pilot.reader import Reader
from mesh.pilot.selection import applying, relevant

KIND = "PeerAuthentication"
TLS_MODE = "security.istio.io/tlsMode"
"""The label by which a workload says that its proxy takes mutual TLS."""
ISTIO = "istio"


class Mode(StrEnum):
    """What a port takes: clear text only, both, mutual TLS only."""

    DISABLE = "DISABLE"
    PERMISSIVE = "PERMISSIVE"
    STRICT = "STRICT"


@dataclass(frozen=True, slots=True)
class Modes:
    """The mode of a workload, and of those of its ports that differ in being named."""

    default: Mode = Mode.PERMISSIVE
    ports: tuple[tuple[int, Mode], ...] = ()

    def at(self, port: int) -> Mode:
        """The mode of a port of the workload."""
        return dict(self.ports).get(port, self.default)


def modes(read: Reader, namespace: str, labels: Labels) -> Modes:
    """The modes of a workload; `labels` may be only those that policies ask for."""
    found = applying(read, KIND, namespace, labels)
    own = [each for each in found.workload if each.namespace != read.mesh.root_namespace]
    mode = inherited(Mode.PERMISSIVE, (found.mesh[:1], found.namespace[:1], own[:1]))
    ports = own[0].spec.port_level_mtls if own else {}
    return Modes(mode, tuple((port, said(each.mode) or mode) for port, each in sorted(ports.items())))


def inherited(mode: Mode, levels: Iterable[Iterable[ConfigObject]]) -> Mode:
    """The mode after policies from wide to narrow."""
    for each in (policy for level in levels for policy in level):
        mode = said(each.spec.mtls.mode if each.spec.mtls else "") or mode
    return mode


def said(mode: str) -> Mode | None:
    """A mode as a policy writes it; None if it leaves it open."""
    return next((each for each in Mode if each.value == mode), None)


def takes_mtls(read: Reader, instance: Instance, namespace: str) -> bool:
    """Whether an instance can be called with mutual TLS: it has a proxy, and no policy turns it off.

    `namespace` is its service's, for an instance of which no more is known.
    """
    workload = instance.workload
    labels = workload.labels if workload else instance.labels
    if labels.get(TLS_MODE, instance.labels.get(TLS_MODE)) != ISTIO:
        return False
    home = workload.namespace if workload else namespace
    return read.ask(modes, home, relevant(read, home, labels)).at(instance.port) is not Mode.DISABLE
