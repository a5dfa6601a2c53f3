"""References that lead nowhere: rules that name hosts, subsets, ports or gateways which do not exist.

And what is not served yet. Nothing of this is refused (the other half may be on its way); people shall know.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mesh.api.networking import DestinationRule, Gateway, ServiceEntry, VirtualService
from mesh.api.networking.client_tls import ClientTLSSettings
from mesh.api.networking.destinations import Destination
from mesh.api.networking.gateway import ServerTLSSettings
from mesh.api.networking.virtual_service import MESH_GATEWAY
from mesh.api.security import AuthorizationPolicy, RequestAuthentication
from mesh.api.telemetry import Telemetry
from mesh.model import ConfigObject, ObjectKey, Service, Workload
from mesh.pilot import tables
from mesh.pilot.compile import trace_doubts as traces
from mesh.pilot.compile.authz import doubts as authorization
from mesh.pilot.compile.jwt import doubts as tokens
from mesh.pilot.compile.secrets import CA_SUFFIX, SCHEME
from mesh.pilot.compile.serving import needed
from mesh.pilot.hosts import covers, full, is_wildcard
from mesh.pilot.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a rule asks for and that is not there."""

    object: ObjectKey
    path: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.object}: {self.path}: {self.message}; {self.remedy}"


def problems(snapshot: Snapshot) -> list[Problem]:
    """All problems of a snapshot, by object."""
    objects = sorted(snapshot.table(tables.OBJECT).values(), key=lambda each: each.key)
    return [problem for each in objects for problem in of_object(snapshot, each)]


def of_object(snapshot: Snapshot, rule: ConfigObject) -> Iterator[Problem]:
    """The problems of one object."""
    match rule.spec:
        case VirtualService():
            yield from of_gateways(snapshot, rule)
            for path, destination in destinations(rule.spec):
                yield from of_destination(snapshot, rule, path, destination)
        case DestinationRule():
            yield from of_host(snapshot, rule)
            yield from of_credentials(snapshot, rule)
        case Gateway():
            yield from of_servers(snapshot, rule)
        case ServiceEntry():
            yield from of_entry(snapshot, rule)
        case AuthorizationPolicy():
            yield from (Problem(rule.key, *each) for each in authorization.of_policy(snapshot, rule))
        case RequestAuthentication():
            yield from (Problem(rule.key, *each) for each in tokens.of_policy(snapshot, rule))
        case Telemetry():
            yield from (Problem(rule.key, *each) for each in traces.of_telemetry(snapshot, rule))


def of_gateways(snapshot: Snapshot, rule: ConfigObject) -> Iterator[Problem]:
    """Gateways that a VirtualService names and that do not exist."""
    for index, name in enumerate(tables.gateways_of(rule)):
        if name == MESH_GATEWAY:
            continue
        namespace, _, short = name.partition("/")
        if snapshot.get(tables.OBJECT, ObjectKey("Gateway", namespace, short)) is None:
            path = f"spec.gateways[{index}]"
            yield Problem(rule.key, path, f"there is no Gateway {name}", "apply it, or name another")


def destinations(spec: VirtualService) -> Iterator[tuple[str, Destination]]:
    """Every destination of a VirtualService, with its path."""
    for i, http in enumerate(spec.http):
        for j, each in enumerate(http.route):
            yield f"spec.http[{i}].route[{j}].destination", each.destination
        if http.mirror is not None:
            yield f"spec.http[{i}].mirror", http.mirror
        for j, mirror in enumerate(http.mirrors):
            yield f"spec.http[{i}].mirrors[{j}].destination", mirror.destination
    for kind, routes in (("tls", spec.tls), ("tcp", spec.tcp)):
        for i, route in enumerate(routes):
            for j, to in enumerate(route.route):
                yield f"spec.{kind}[{i}].route[{j}].destination", to.destination


def of_destination(
    snapshot: Snapshot, rule: ConfigObject, path: str, destination: Destination
) -> Iterator[Problem]:
    """A destination whose service, port or subset does not exist: requests to it are answered with 503."""
    host = full(destination.host, rule.namespace)
    service: Service | None = snapshot.get(tables.SERVICE, host)
    if service is None:
        yield Problem(rule.key, f"{path}.host", f"there is no service {host}", dotted(destination.host, rule))
        return
    port = destination.port.number if destination.port else None
    if port is not None and service.port(port) is None:
        known = ", ".join(str(each.number) for each in service.ports)
        yield Problem(rule.key, f"{path}.port.number", f"{host} has no port {port}", f"use one of {known}")
    if destination.subset and destination.subset not in subsets(snapshot, host):
        found = ", ".join(sorted(subsets(snapshot, host))) or "none"
        message = f"no DestinationRule names a subset {destination.subset!r} of {host} (there are: {found})"
        yield Problem(rule.key, f"{path}.subset", message, "add it to the subsets of a DestinationRule")


def dotted(host: str, rule: ConfigObject) -> str:
    """What to do about a host that is unknown."""
    if "." in host and not host.endswith(".svc.cluster.local"):
        return "a name with a dot is taken as it is: write name.namespace.svc.cluster.local"
    return f"create the Service, or write its full name if it is not in namespace {rule.namespace}"


def subsets(snapshot: Snapshot, host: str) -> frozenset[str]:
    """The subsets that any DestinationRule names for a host."""
    rules = (each for each in snapshot.table(tables.OBJECT).values() if each.key.kind == "DestinationRule")
    return frozenset(
        subset.name
        for each in rules
        if covers(full(each.spec.host, each.namespace), host)
        for subset in each.spec.subsets
    )


def of_host(snapshot: Snapshot, rule: ConfigObject) -> Iterator[Problem]:
    """A DestinationRule for nothing."""
    host = full(rule.spec.host, rule.namespace)
    if not is_wildcard(host) and snapshot.get(tables.SERVICE, host) is None:
        yield Problem(rule.key, "spec.host", f"there is no service {host}", dotted(rule.spec.host, rule))


def of_credentials(snapshot: Snapshot, rule: ConfigObject) -> Iterator[Problem]:
    """Secrets that a DestinationRule names and that no gateway's namespace has; sidecars never use them."""
    gateways = [each for each in snapshot.table(tables.OBJECT).values() if each.key.kind == "Gateway"]
    homes = sorted(set().union(*(namespaces_of(snapshot, each) for each in gateways)))
    for path, tls in client_tls(rule.spec):
        name = tls.credential_name
        if name and not any(has_secret(snapshot, each, name + CA_SUFFIX) for each in homes):
            message = f"no gateway's namespace ({', '.join(homes) or 'there are none'}) has a Secret {name}"
            remedy = "create it where the egress gateway runs; sidecars take certificates from files only"
            yield Problem(rule.key, f"{path}.tls.credentialName", message, remedy)


def client_tls(spec: DestinationRule) -> Iterator[tuple[str, ClientTLSSettings]]:
    """Every TLS setting of a DestinationRule, with the path of its policy."""
    policies = [("spec.trafficPolicy", spec.traffic_policy)]
    policies += [
        (f"spec.subsets[{i}].trafficPolicy", each.traffic_policy) for i, each in enumerate(spec.subsets)
    ]
    for path, policy in policies:
        if policy is not None and policy.tls is not None:
            yield path, policy.tls
        for i, port in enumerate(policy.port_level_settings if policy else ()):
            if port.tls is not None:
                yield f"{path}.portLevelSettings[{i}]", port.tls


def of_servers(snapshot: Snapshot, rule: ConfigObject) -> Iterator[Problem]:
    """Servers of TLS that cannot be served."""
    for index, server in enumerate(rule.spec.servers):
        if server.tls is None or server.tls.https_redirect:
            continue
        path = f"spec.servers[{index}].tls"
        if server.tls.mode == "AUTO_PASSTHROUGH":
            message = "AUTO_PASSTHROUGH is for meshes of several clusters and is not served"
            yield Problem(rule.key, f"{path}.mode", message, "use PASSTHROUGH and a VirtualService")
        else:
            yield from of_secrets(snapshot, rule, path, server.tls)


def of_entry(snapshot: Snapshot, rule: ConfigObject) -> Iterator[Problem]:
    """Hosts of a ServiceEntry that somebody else has, and endpoints that cannot be reached."""
    for index, host in enumerate(rule.spec.hosts):
        service: Service | None = snapshot.get(tables.SERVICE, host.lower().removesuffix("."))
        if service and service.origin and service.namespace != rule.namespace:
            message = f"{host} is {service.origin}'s already, which is older or the platform's"
            yield Problem(
                rule.key, f"spec.hosts[{index}]", message, "leave the host out, or remove the other"
            )
    for index, endpoint in enumerate(rule.spec.endpoints):
        if endpoint.address.startswith("unix://"):
            path = f"spec.endpoints[{index}].address"
            message = "proxies run in containers of their own and see no sockets of the workload"
            yield Problem(rule.key, path, message, "name an IP address or a host")
    if rule.spec.resolution == "DYNAMIC_DNS":
        message = "DYNAMIC_DNS is not served, so callers go where they have looked up themselves"
        yield Problem(rule.key, "spec.resolution", message, "use NONE, or DNS and one host")


def of_secrets(
    snapshot: Snapshot, rule: ConfigObject, path: str, tls: ServerTLSSettings
) -> Iterator[Problem]:
    """Secrets that a server needs and that its gateways' namespaces do not have; it is not served there."""
    for namespace in sorted(namespaces_of(snapshot, rule)):
        for name in needed(tls):
            if not has_secret(snapshot, namespace, name.removeprefix(SCHEME)):
                short = name.removeprefix(SCHEME).removesuffix(CA_SUFFIX)
                what = "ca.crt or cacert" if name.endswith(CA_SUFFIX) else "tls.crt and tls.key"
                message = f"there is no Secret {namespace}/{short} with {what}, so the server is left out"
                remedy = f"create it in namespace {namespace}, where the gateway runs"
                yield Problem(rule.key, f"{path}.credentialName", message, remedy)


def namespaces_of(snapshot: Snapshot, gateway: ConfigObject) -> set[str]:
    """The namespaces of the workloads that a Gateway selects; without a selector the root namespace."""
    if not gateway.spec.selector:
        return {snapshot.mesh.root_namespace}
    every: Iterable[Workload] = snapshot.table(tables.WORKLOAD).values()
    return {each.namespace for each in every if each.labels.matches(gateway.spec.selector)}


def has_secret(snapshot: Snapshot, namespace: str, name: str) -> bool:
    """Whether a Secret gives what is asked for: roots if its name ends so, else a certificate."""
    if not name.endswith(CA_SUFFIX):
        held = snapshot.get(tables.OBJECT, ObjectKey("Secret", namespace, name))
        return held is not None and bool(held.spec.cert)
    candidates = (name, name.removesuffix(CA_SUFFIX))
    found = (snapshot.get(tables.OBJECT, ObjectKey("Secret", namespace, each)) for each in candidates)
    return any(each is not None and each.spec.ca_cert for each in found)
