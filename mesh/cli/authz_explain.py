"""What becomes of a request at the guards of a port, and which policy and rule decides it."""

from dataclasses import dataclass

from mesh.cli.authz_dump import Chain, Guard, policy_of
from mesh.cli.authz_match import Request, failing, policy_holds
from mesh.cli.authz_words import said


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision, the rule that made it (as Envoy names it; empty if none did), and how it came about."""

    decision: str  # ALLOWED, DENIED, ASKED: a provider decides
    rule: str
    reason: str
    steps: tuple[str, ...] = ()


def explained(chain: Chain, request: Request) -> Verdict:
    """What becomes of a request, in Envoy's order."""
    steps: list[str] = []
    asked: list[str] = []
    allowed = ""
    for guard in chain.guards:
        matched = sorted(name for name, rule in guard.rules.items() if policy_holds(rule, request))
        steps.extend(step(guard, matched))
        if not guard.enforced or guard.action == "AUDIT":
            continue
        if guard.action == "CUSTOM":
            asked.extend(matched)
        elif guard.action == "DENY" and matched:
            return Verdict("DENIED", matched[0], f"{policy_of(matched[0])} denies it", tuple(steps))
        elif guard.action == "ALLOW" and not matched:
            return Verdict("DENIED", "none", nothing_allows(guard), (*steps, *missed(guard, request)))
        elif guard.action == "ALLOW":
            allowed = matched[0]
    if asked:
        reason = f"{policy_of(asked[0])}; the provider decides, all other policies let it pass"
        return Verdict("ASKED", asked[0], reason, tuple(steps))
    reason = (
        f"{policy_of(allowed)} allows it" if allowed else "no policy denies it, and there is none of ALLOW"
    )
    return Verdict("ALLOWED", allowed, reason, tuple(steps))


def step(guard: Guard, matched: list[str]) -> list[str]:
    """What one guard says."""
    kind = guard.action if guard.enforced else f"{guard.action} (dry run)"
    if not matched:
        return [f"{kind}: none of {len(guard.rules)} rules matches"]
    return [f"{kind}: {policy_of(name)} matches" for name in matched]


def nothing_allows(guard: Guard) -> str:
    """Why a request is denied that no rule speaks of."""
    if not guard.rules:
        return "there are policies of ALLOW, and none of their rules can match on this port"
    return f"there are policies of ALLOW, and none of their {len(guard.rules)} rules matches"


def missed(guard: Guard, request: Request) -> list[str]:
    """What each rule asks for in vain."""
    return [
        f"  {policy_of(name)} asks for: {'; '.join(said(each) for each in failing(rule, request))}"
        for name, rule in sorted(guard.rules.items())
    ]
