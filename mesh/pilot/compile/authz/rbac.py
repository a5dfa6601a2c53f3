"""The policies of one action as Envoy's RBAC: those in force, and those on trial (`istio.io/dry-run`)."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from envoy.config.listener.v3 import listener_components_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as tcp_rbac_pb2

from mesh.model import ConfigObject
from mesh.model import authorization as names
from mesh.pilot.compile.authz import rules
from mesh.pilot.compile.authz.rules import Setting
from mesh.pilot.compile.messages import packed

RBAC = rbac_pb2.RBAC
HttpFilter = http_connection_manager_pb2.HttpFilter
Filter = listener_components_pb2.Filter

DRY_RUN = "istio.io/dry-run"
TCP_STATS = "tcp."
ACTIONS = {"ALLOW": RBAC.ALLOW, "DENY": RBAC.DENY, "AUDIT": RBAC.LOG, "CUSTOM": RBAC.DENY}


@dataclass(frozen=True, slots=True)
class Built:
    """Envoy's rules of one action; None where no policy asks for any."""

    action: str
    enforced: rbac_pb2.RBAC | None = None
    shadow: rbac_pb2.RBAC | None = None
    shadow_prefix: str = ""


@dataclass(slots=True)
class Draft:
    """Rules in the making. Without any policy there are none; with policies that never match there are."""

    action: int
    rbac: rbac_pb2.RBAC | None = field(default=None)

    def add(self, named: Iterable[tuple[str, rbac_pb2.Policy]]) -> None:
        """Add the rules of one policy."""
        if self.rbac is None:
            self.rbac = RBAC(action=self.action)  # type: ignore[arg-type]
        for name, policy in named:
            self.rbac.policies[name].CopyFrom(policy)


def built(action: str, policies: Iterable[ConfigObject], domains: tuple[str, ...], *, tcp: bool) -> Built:
    """The rules of all policies of an action."""
    enforced, trial = Draft(ACTIONS[action]), Draft(ACTIONS[action])
    for each in policies:
        setting = Setting(each.namespace, domains, tcp=tcp, narrow=action == "ALLOW")
        (trial if on_trial(each) else enforced).add(named_rules(each, setting))
    if action == "AUDIT":
        return Built(action, enforced.rbac, traced(enforced.rbac), names.AUDIT_PREFIX)
    return Built(action, enforced.rbac, trial.rbac, names.DRY_RUN.get(action, "") if trial.rbac else "")


def on_trial(policy: ConfigObject) -> bool:
    """Whether a policy only reports what it would do."""
    return policy.annotations.get(DRY_RUN, "").lower() in {"true", "t", "1"}


def named_rules(policy: ConfigObject, setting: Setting) -> Iterator[tuple[str, rbac_pb2.Policy]]:
    """The rules of a policy by the names that Envoy reports; one without rules matches nothing."""
    if not policy.spec.rules:
        yield str(names.RuleName(policy.namespace, policy.name, 0)), rules.never()
    for number, rule in enumerate(policy.spec.rules):
        compiled = rules.policy(rule, setting)
        if compiled is not None:
            yield str(names.RuleName(policy.namespace, policy.name, number)), compiled


def traced(audited: rbac_pb2.RBAC | None) -> rbac_pb2.RBAC | None:
    """The same rules once more, as shadows: only these leave the name of the rule that has matched."""
    if audited is None:
        return None
    result = RBAC(action=RBAC.DENY)
    for name in audited.policies:
        result.policies[name].CopyFrom(audited.policies[name])
    return result


def renamed(given: rbac_pb2.RBAC, change: Callable[[str], str]) -> rbac_pb2.RBAC:
    """The same rules under other names."""
    result = RBAC(action=given.action)
    for name in given.policies:
        result.policies[change(name)].CopyFrom(given.policies[name])
    return result


def http(rules_of: Built) -> Iterator[http_connection_manager_pb2.HttpFilter]:
    """The HTTP filter; none if there is nothing to enforce or report."""
    if rules_of.enforced is not None or rules_of.shadow is not None:
        config = http_rbac_pb2.RBAC(
            rules=rules_of.enforced,
            shadow_rules=rules_of.shadow,
            shadow_rules_stat_prefix=rules_of.shadow_prefix,
        )
        yield HttpFilter(name=names.HTTP_RBAC, typed_config=packed(config))


def tcp(rules_of: Built) -> Iterator[listener_components_pb2.Filter]:
    """The network filter; none if there is nothing to enforce or report."""
    if rules_of.enforced is not None or rules_of.shadow is not None:
        config = tcp_rbac_pb2.RBAC(
            rules=rules_of.enforced,
            shadow_rules=rules_of.shadow,
            shadow_rules_stat_prefix=rules_of.shadow_prefix,
            stat_prefix=TCP_STATS,
        )
        yield Filter(name=names.TCP_RBAC, typed_config=packed(config))
