"""What a client sees: the services of the mesh, and which rules hold for one of them.

Sources: Istio's `exportTo`, and its order of looking for a DestinationRule (client's namespace, service's
namespace, root namespace).
"""

from collections.abc import Iterable, Mapping

from mesh.model import ConfigObject, ObjectKey
from mesh.pilot.hosts import covers, full, is_wildcard, most_specific
from mesh.pilot.reader import Reader
from mesh.pilot.scope import Client
from mesh.pilot.tables import spread


def visible(read: Reader, namespace: str) -> tuple[str, ...]:
    """Host names of all services that a namespace sees, in order."""
    further = read.private(namespace)
    return tuple(sorted({*read.public(), *further})) if further else read.public()


def ports_seen(read: Reader, namespace: str) -> Mapping[int, tuple[str, ...]]:
    """The services that a namespace sees, by each of their ports."""
    found: dict[int, list[str]] = {}
    for hostname in read.ask(visible, namespace):
        service = read.service(hostname)
        for port in service.ports if service else ():
            found.setdefault(port.number, []).append(hostname)
    return {number: tuple(found[number]) for number in sorted(found)}


def sees(read: Reader, namespace: str, hostname: str) -> bool:
    """Whether a namespace sees a service."""
    service = read.service(hostname)
    if service is None:
        return False
    seen = spread(service.export_to or read.mesh.default_service_export_to, service.namespace)
    return "*" in seen or namespace in seen


def exported(rule: ConfigObject, default: Iterable[str], namespace: str) -> bool:
    """Whether a rule holds for callers in a namespace."""
    seen = spread(rule.spec.export_to or default, rule.namespace)
    return "*" in seen or namespace in seen


def routing_rules(read: Reader, namespace: str, hostname: str) -> tuple[ObjectKey, ...]:
    """The VirtualServices for a host that a namespace's sidecars see: the most specific, oldest first."""
    default = read.mesh.default_virtual_service_export_to
    exact = [each.key for each in read.rules(hostname) if exported(each, default, namespace)]
    if exact:
        return tuple(exact)
    wild: dict[str, list[ObjectKey]] = {}
    for each in read.wild_rules():
        if exported(each, default, namespace):
            for host in (full(host, each.namespace) for host in each.spec.hosts):
                wild.setdefault(host, []).append(each.key)
    best = most_specific(filter(is_wildcard, wild), hostname)
    return tuple(wild[best]) if best else ()


def destination_rules(read: Reader, client: Client, hostname: str) -> tuple[ObjectKey, ...]:
    """The DestinationRules that say how a client treats a host. They are of one namespace; see `merged`."""
    root = read.mesh.root_namespace
    default = read.mesh.default_destination_rule_export_to
    service = read.service(hostname)
    own = [each for each in rules_in(read, client.namespace, hostname) if selects(each, client)]
    if client.namespace == root:
        own = [each for each in own if spread(each.spec.export_to or default, root) == {root}]
    if own:
        return tuple(each.key for each in own)
    for namespace in dict.fromkeys((service.namespace if service else root, root)):
        found = rules_in(read, namespace, hostname)
        theirs = [e for e in found if selects(e, client) and exported(e, default, client.namespace)]
        if theirs:
            return tuple(each.key for each in theirs)
    return ()


def rules_in(read: Reader, namespace: str, hostname: str) -> tuple[ConfigObject, ...]:
    """A namespace's DestinationRules for the most specific host that covers this one."""
    exact = read.destinations(namespace, hostname)
    if exact:
        return exact
    wild = read.wild_destinations(namespace)
    best = most_specific({full(each.spec.host, namespace) for each in wild}, hostname)
    return tuple(each for each in wild if full(each.spec.host, namespace) == best)


def selects(rule: ConfigObject, client: Client) -> bool:
    """Whether a DestinationRule is for this client; without a workloadSelector it is for all."""
    selector = rule.spec.workload_selector
    return selector is None or client.labels.matches(selector.match_labels)


__all__ = ["covers", "destination_rules", "exported", "ports_seen", "routing_rules", "sees", "visible"]
