"""The policies that an Envoy enforces, found in its config dump: which filters, on which ports."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mesh.model.authorization import (
    AUDIT_PREFIX,
    BROKEN_SUFFIX,
    CUSTOM_PREFIX,
    CUSTOM_SHADOW,
    HTTP_RBAC,
    TCP_RBAC,
    RuleName,
)

Json = Mapping[str, Any]

HTTP_MANAGER = "envoy.filters.network.http_connection_manager"
JWT = "envoy.filters.http.jwt_authn"
BROKEN = "CUSTOM, whose provider is not to be had: denied"


@dataclass(frozen=True, slots=True)
class Guard:
    """Rules of one action in one filter. `enforced` is false for rules on trial."""

    action: str
    rules: Mapping[str, Json]
    enforced: bool = True


@dataclass(frozen=True, slots=True)
class Chain:
    """What guards one port: in HTTP or not, with a check of tokens or not, the guards in order."""

    listener: str
    port: int
    http: bool
    tokens: tuple[str, ...] = ()
    guards: tuple[Guard, ...] = field(default=())

    @property
    def where(self) -> str:
        """The port and what is spoken there."""
        return f"{self.port or 'other ports'} {'HTTP' if self.http else 'TCP'}"


def chains(listeners: Iterable[Json]) -> list[Chain]:
    """The guarded chains of all listeners that take calls of others, each once."""
    found: dict[tuple[str, int, bool], Chain] = {}
    for listener in listeners:
        for each in of_listener(listener):
            found.setdefault((each.listener, each.port, each.http), each)
    return list(found.values())


def of_listener(listener: Json) -> Iterator[Chain]:
    """The chains of one listener: a sidecar's inbound one, or a gateway's."""
    name, own = listener.get("name", ""), port_of(listener.get("address", {}))
    inbound = listener.get("traffic_direction") == "INBOUND"
    last = [each] if (each := listener.get("default_filter_chain")) else []
    for chain in (*listener.get("filter_chains", ()), *last):
        matched = chain.get("filter_chain_match", {}).get("destination_port", 0)
        filters = chain.get("filters", [])
        manager = next((f["typed_config"] for f in filters if f.get("name") == HTTP_MANAGER), None)
        inner = manager.get("http_filters", []) if manager is not None else filters
        port = matched if inbound else matched or own
        made = Chain(name, port, manager is not None, tokens(inner), tuple(guards(inner)))
        if inbound or made.guards or made.tokens:
            yield made


def port_of(address: Json) -> int:
    """The port of a listener."""
    return int(address.get("socket_address", {}).get("port_value", 0))


def tokens(filters: Iterable[Json]) -> tuple[str, ...]:
    """The issuers whose tokens are checked."""
    providers = (f["typed_config"].get("providers", {}) for f in filters if f.get("name") == JWT)
    return tuple(sorted({each.get("issuer", "") for some in providers for each in some.values()}))


def guards(filters: Iterable[Json]) -> Iterator[Guard]:
    """The guards among filters, in order."""
    for each in filters:
        if each.get("name") in (HTTP_RBAC, TCP_RBAC):
            yield from of_filter(each.get("typed_config", {}))


def of_filter(config: Json) -> Iterator[Guard]:
    """The guards of one RBAC filter: its rules, and its shadows."""
    rules, shadow = config.get("rules"), config.get("shadow_rules")
    prefix = config.get("shadow_rules_stat_prefix", "")
    if rules is not None:
        yield Guard(action_of(rules), rules.get("policies", {}))
    if shadow is not None and prefix == CUSTOM_SHADOW:
        yield Guard("CUSTOM", shadow.get("policies", {}))
    elif shadow is not None and prefix != AUDIT_PREFIX:
        yield Guard(action_of(shadow), shadow.get("policies", {}), enforced=False)


def action_of(rules: Json) -> str:
    """The action of rules; Envoy leaves out its default."""
    action = rules.get("action", "ALLOW")
    if any(name.endswith(BROKEN_SUFFIX) for name in rules.get("policies", {})):
        return "DENY"
    return {"LOG": "AUDIT"}.get(action, str(action))


def policy_of(name: str) -> str:
    """Whose rule it is, for people: `AuthorizationPolicy weather/one, rule 0`."""
    found = RuleName.parse(name)
    if found is None:
        return name
    provider = name.removeprefix(CUSTOM_PREFIX).partition("-ns[")[0] if name.startswith(CUSTOM_PREFIX) else ""
    more = f", asks {provider}" if provider else f" ({BROKEN})" if name.endswith(BROKEN_SUFFIX) else ""
    return f"{found.key}, rule {found.rule}{more}"
