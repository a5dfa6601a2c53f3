"""Names that Envoy reports decisions by, as Istio gives them, so that each can be traced to its rule."""

import re
from dataclasses import dataclass

from mesh.model.config import ObjectKey

KIND = "AuthorizationPolicy"
CUSTOM_PREFIX = "istio-ext-authz-"
BROKEN_SUFFIX = "-deny-due-to-bad-CUSTOM-action"

HTTP_RBAC = "envoy.filters.http.rbac"
TCP_RBAC = "envoy.filters.network.rbac"
HTTP_EXTERNAL = "envoy.filters.http.ext_authz"
TCP_EXTERNAL = "envoy.filters.network.ext_authz"

AUDIT_PREFIX = "istio_audit_"
CUSTOM_SHADOW = "istio_ext_authz_"
DRY_RUN = {"ALLOW": "istio_dry_run_allow_", "DENY": "istio_dry_run_deny_"}
SHADOW_POLICY = "shadow_effective_policy_id"
"""What Envoy appends to a prefix: the key of metadata with the name of the rule that matched."""

_NAME = re.compile(r"ns\[(?P<namespace>[^\]]*)\]-policy\[(?P<name>[^\]]*)\]-rule\[(?P<rule>\d+)\]")


@dataclass(frozen=True, slots=True)
class RuleName:
    """A rule of a policy: `ns[foo]-policy[httpbin]-rule[0]`."""

    namespace: str
    name: str
    rule: int

    def __str__(self) -> str:
        return f"ns[{self.namespace}]-policy[{self.name}]-rule[{self.rule}]"

    @property
    def key(self) -> ObjectKey:
        """The policy."""
        return ObjectKey(KIND, self.namespace, self.name)

    @classmethod
    def parse(cls, text: str) -> "RuleName | None":
        """The rule that a name of Envoy's means, with what is before and behind it; None if it names none."""
        found = _NAME.search(text)
        return cls(found["namespace"], found["name"], int(found["rule"])) if found else None


def custom(provider: str) -> str:
    """What the names of a provider's rules begin with; no provider's is the beginning of another's."""
    return f"{CUSTOM_PREFIX}{provider}-ns["
