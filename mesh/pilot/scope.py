"""What a proxy is, as far as its configuration depends on it: proxies of equal scope get the same bytes.

A replica more or another address makes no new scope; labels count only if some rule asks for them.
"""

from dataclasses import dataclass
from typing import NamedTuple

from mesh.model import Instance, Labels, Locality, ObjectKey, Protocol, Proxy, ProxyKind
from mesh.model.labels import EMPTY
from mesh.pilot import selection
from mesh.pilot.mixer.facts import facts
from mesh.pilot.observed import UNOBSERVED, Observed, sides
from mesh.pilot.reader import Reader


class Client(NamedTuple):
    """A proxy as the caller of services: where it is, and those of its labels that some rule asks for."""

    namespace: str
    labels: Labels = EMPTY


@dataclass(frozen=True, slots=True, order=True)
class Inbound:
    """A port of the workload behind a proxy, and the first service that leads to it."""

    port: int
    protocol: Protocol
    hostname: str
    service_port: int


@dataclass(frozen=True, slots=True)
class Scope:
    """All that the resources of a proxy depend on beside the snapshot.

    `ports` of a gateway are pairs: number at its service, number at itself. `labels` are all of a gateway's,
    of a sidecar those by which some policy may choose it. `facts` are what Mixer's rules ask of the workload;
    the sides say how its calls are traced, and who is told of them.
    """

    kind: ProxyKind
    client: Client
    locality: Locality = Locality()
    inbound: tuple[Inbound, ...] = ()
    ports: tuple[tuple[int, int], ...] = ()
    labels: Labels = EMPTY
    facts: Labels = EMPTY
    server_side: Observed = UNOBSERVED
    client_side: Observed = UNOBSERVED


def scope_of(read: Reader, proxy: Proxy) -> Scope:
    """The scope of a proxy."""
    client = Client(proxy.namespace, relevant(read, proxy.labels))
    here = read.instances_at(proxy.address)
    server_side, client_side = sides(read, proxy)
    if proxy.kind is ProxyKind.ROUTER:
        ports = sorted({(each.service_port, each.port) for each in here})
        place = locality(read, proxy)
        return Scope(
            proxy.kind,
            client,
            place,
            ports=tuple(ports),
            labels=proxy.labels,
            facts=facts(read, proxy),
            client_side=client_side,
        )
    labels = selection.relevant(read, proxy.namespace, proxy.labels)
    return Scope(
        proxy.kind,
        client,
        locality(read, proxy),
        inbound=inbound(read, here),
        labels=labels,
        facts=facts(read, proxy),
        server_side=server_side,
        client_side=client_side,
    )


def relevant(read: Reader, labels: Labels) -> Labels:
    """The labels by which some rule chooses callers."""
    used = read.labels_used()
    return Labels({key: value for key, value in labels.items() if key in used}) if used else EMPTY


def locality(read: Reader, proxy: Proxy) -> Locality:
    """Where a proxy runs: what it says itself, else what the platform says."""
    if proxy.locality != Locality():
        return proxy.locality
    workload = read.workload(proxy.address)
    return workload.locality if workload else Locality()


def inbound(read: Reader, here: tuple[Instance, ...]) -> tuple[Inbound, ...]:
    """The ports of a workload. If services disagree on a protocol, the first by name decides."""
    found: dict[int, Inbound] = {}
    for each in here:
        service = read.service(each.hostname)
        port = service.port(each.service_port) if service else None
        if port is not None and port.protocol is not Protocol.UDP:
            found.setdefault(each.port, Inbound(each.port, port.protocol, each.hostname, port.number))
    return tuple(sorted(found.values()))


def origins(read: Reader, *hostnames: str) -> tuple[ObjectKey, ...]:
    """The platform's objects behind services."""
    found = (read.service(hostname) for hostname in dict.fromkeys(hostnames))
    return tuple(each.origin for each in found if each and each.origin)
