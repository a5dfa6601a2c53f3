"""From ServiceEntries and WorkloadEntries to the model. Pure functions.

Source: Istio's reference of ServiceEntry. The oldest entry of a host says what it is; further ones of the
same namespace add ports and endpoints.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from mesh.api.networking import ServiceEntry, WorkloadEntry
from mesh.api.networking.service_entry import ServicePort
from mesh.model import ConfigObject, Instance, Labels, Locality, Port, Protocol, Resolution, Service, Workload

UNIX = "unix://"
RESOLUTIONS = {
    "NONE": Resolution.PASSTHROUGH,
    "STATIC": Resolution.EDS,
    "DNS": Resolution.DNS,
    "DNS_ROUND_ROBIN": Resolution.DNS_ROUND_ROBIN,
    "DYNAMIC_DNS": Resolution.PASSTHROUGH,
}


def hosts(entry: ConfigObject) -> tuple[str, ...]:
    """The hosts of a ServiceEntry."""
    spec: ServiceEntry = entry.spec
    return tuple(dict.fromkeys(each.lower().removesuffix(".") for each in spec.hosts))


def service(host: str, entries: Iterable[ConfigObject]) -> Service | None:
    """The service of a host, from its ServiceEntries, oldest first; None if there are none."""
    every = [one(host, each) for each in entries]
    if not every:
        return None
    first, *others = every
    ports = {port.number: port for each in (*others[::-1], first) for port in each.ports}
    addresses = dict.fromkeys(address for each in every for address in each.addresses)
    return replace(first, ports=tuple(ports[number] for number in sorted(ports)), addresses=tuple(addresses))


def one(host: str, entry: ConfigObject) -> Service:
    """A host as one ServiceEntry describes it."""
    spec: ServiceEntry = entry.spec
    return Service(
        hostname=host,
        name=host,
        namespace=entry.namespace,
        ports=tuple(Port(each.number, each.name, protocol(each)) for each in spec.ports),
        addresses=spec.addresses,
        resolution=RESOLUTIONS[spec.resolution],
        labels=entry.labels,
        selector=Labels(spec.workload_selector.labels) if spec.workload_selector else Labels(),
        export_to=frozenset(spec.export_to),
        mesh_external=spec.location == "MESH_EXTERNAL",
        subject_alt_names=spec.subject_alt_names,
        origin=entry.key,
    )


def protocol(port: ServicePort) -> Protocol:
    """What a port speaks; without a word on it, it is found out."""
    return port.speaks if port.protocol else Protocol.AUTO


def workload(entry: ConfigObject) -> Workload | None:
    """What a WorkloadEntry describes; None if it has no address on the network."""
    spec: WorkloadEntry = entry.spec
    if not spec.address or spec.address.startswith(UNIX):
        return None
    return Workload(
        name=entry.name,
        namespace=entry.namespace,
        addresses=(spec.address,),
        labels=Labels({**entry.labels, **spec.labels}),
        service_account=spec.service_account,
        owner_kind="WorkloadEntry",
        owner_name=entry.name,
        locality=Locality.parse(spec.locality),
        origin=entry.key,
    )


def instances(
    host: str,
    entries: Iterable[ConfigObject],
    chosen: Mapping[str, Workload],
    specs: Mapping[str, WorkloadEntry],
) -> dict[int, tuple[Instance, ...]]:
    """The instances of each port of a host. `chosen` are the workloads of the entries' namespace by address,
    from which selectors choose; `specs` what WorkloadEntries say of theirs.
    """
    found: dict[int, dict[tuple[str, int], Instance]] = {}
    for entry in entries:
        for port in entry.spec.ports:
            by_address = found.setdefault(port.number, {})
            for each in of_port(host, entry, port, chosen, specs):
                by_address.setdefault((each.address, each.port), each)
    return {number: tuple(by[key] for key in sorted(by)) for number, by in found.items()}


def of_port(
    host: str,
    entry: ConfigObject,
    port: ServicePort,
    chosen: Mapping[str, Workload],
    specs: Mapping[str, WorkloadEntry],
) -> Iterator[Instance]:
    """The instances of one port: named ones, selected ones, or the host itself where names are looked up."""
    spec: ServiceEntry = entry.spec
    target = port.target_port or port.number
    for endpoint in spec.endpoints:
        if not endpoint.address.startswith(UNIX):
            yield named(host, port, endpoint, endpoint.address or host)
    if spec.workload_selector is not None:
        for address, each in chosen.items():
            if each.labels.matches(spec.workload_selector.labels):
                at = specs.get(address)
                number = at.ports.get(port.name, target) if at else target
                yield selected(host, port.number, each, address, number, at)
    elif not spec.endpoints and spec.resolution in ("DNS", "DNS_ROUND_ROBIN"):
        yield Instance(host, port.number, host, target)


def named(host: str, port: ServicePort, endpoint: WorkloadEntry, address: str) -> Instance:
    """An endpoint that the entry names."""
    return Instance(
        host,
        port.number,
        address,
        endpoint.ports.get(port.name, port.target_port or port.number),
        labels=Labels(endpoint.labels),
        locality=Locality.parse(endpoint.locality),
        service_account=endpoint.service_account,
        weight=endpoint.weight or 1,
    )


def selected(
    host: str, number: int, workload: Workload, address: str, port: int, entry: WorkloadEntry | None
) -> Instance:
    """A workload that the entry selects."""
    return Instance(
        host,
        number,
        address,
        port,
        workload,
        workload.labels,
        workload.locality,
        workload.service_account,
        weight=(entry.weight if entry else 0) or 1,
        healthy=workload.ready,
    )
