"""What an AuthorizationPolicy asks for and cannot have: providers that are not there, keys of HTTP on ports
that speak something else. Each doubt is a path in the policy, a message and a remedy.
"""

from collections.abc import Iterator

from mesh.api.security import AuthorizationRule
from mesh.model import ConfigObject, Workload
from mesh.pilot import tables
from mesh.pilot.compile.authz import conditions
from mesh.pilot.compile.authz.attributes import PERMISSIONS, PRINCIPALS, divided
from mesh.pilot.compile.authz.conditions import HOST, METHOD, PATH
from mesh.pilot.compile.authz.external import asked, hostname
from mesh.pilot.snapshot import Snapshot

Doubt = tuple[str, str, str]

WRITTEN = {HOST: "hosts", METHOD: "methods", PATH: "paths", "request.auth.principal": "requestPrincipals"}


def of_policy(snapshot: Snapshot, policy: ConfigObject) -> Iterator[Doubt]:
    """All doubts about a policy."""
    if policy.spec.action == "CUSTOM":
        yield from of_provider(snapshot, policy)
    if policy.spec.action in ("ALLOW", "DENY"):
        yield from of_http_keys(snapshot, policy)


def of_provider(snapshot: Snapshot, policy: ConfigObject) -> Iterator[Doubt]:
    """A provider that does not exist: what the rules match is refused."""
    name = policy.spec.provider.name if policy.spec.provider else ""
    known = {each.name: each for each in snapshot.mesh.extension_providers if asked(each)}
    how = asked(known[name]) if name in known else None
    if how is None:
        names = ", ".join(sorted(known)) or "none"
        message = f"there is no provider {name!r} of external authorization (there are: {names})"
        yield "spec.provider.name", message, "add it to extensionProviders in the mesh's settings"
        return
    service = snapshot.get(tables.SERVICE, hostname(how.service))
    if service is None or service.port(how.port) is None:
        message = f"provider {name!r} is {hostname(how.service)}:{how.port}, which no service has"
        yield "spec.provider.name", message, "create the Service, or change extensionProviders"


def of_http_keys(snapshot: Snapshot, policy: ConfigObject) -> Iterator[Doubt]:
    """Keys of HTTP where a workload has ports that speak something else."""
    for number, rule in enumerate(policy.spec.rules):
        keys = sorted(http_keys(rule))
        place = other_port(snapshot, policy) if keys else ""
        if place:
            effect = "never matches" if policy.spec.action == "ALLOW" else "matches whatever they say"
            message = f"{place} is not HTTP and has no {', '.join(keys)}: there the rule {effect}"
            yield f"spec.rules[{number}]", message, "limit the rule by to.operation.ports"


def http_keys(rule: AuthorizationRule) -> set[str]:
    """The keys of a rule that only HTTP has."""
    alternatives = (*conditions.sources(rule), *conditions.operations(rule), conditions.when(rule))
    keys = {each.key for some in alternatives for each in some}
    return {WRITTEN.get(key, key) for key in keys if http_only(key)}


def http_only(key: str) -> bool:
    """Whether only HTTP has an attribute."""
    name, _ = divided(key)
    attribute = PRINCIPALS.get(name) or PERMISSIONS.get(name)
    return attribute is not None and attribute.http_only


def other_port(snapshot: Snapshot, policy: ConfigObject) -> str:
    """A port of a selected workload that does not speak HTTP; empty if there is none."""
    for workload in workloads(snapshot, policy):
        for each in snapshot.get(tables.AT, workload.address) or ():
            service = snapshot.get(tables.SERVICE, each.hostname)
            port = service.port(each.service_port) if service else None
            if port is not None and not port.protocol.is_http:
                return f"port {each.port} of {workload.name} ({port.protocol})"
    return ""


def workloads(snapshot: Snapshot, policy: ConfigObject) -> Iterator[Workload]:
    """The workloads that a policy is for."""
    selector = policy.spec.selector.match_labels if policy.spec.selector else {}
    everywhere = policy.namespace == snapshot.mesh.root_namespace
    for each in snapshot.table(tables.WORKLOAD).values():
        if (everywhere or each.namespace == policy.namespace) and each.labels.matches(selector):
            yield each
