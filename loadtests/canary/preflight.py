"""What is looked at before a rollout begins: is there a canary at all, and does the load lead to the rule?"""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from loadtests.canary.errors import CanaryError
from loadtests.canary.rollout import Rollout, Version
from loadtests.canary.route import chosen_routes, entry_of
from pytest_mesh.kube import Api

DOMAIN = "svc.cluster.local"
Obj = dict[str, Any]


def check(api: Api, rollout: Rollout, spec: Obj) -> None:
    """Raises `CanaryError` unless a route of the rule goes to the baseline and both subsets are there."""
    rules = api.items("DestinationRule", "", api="networking.istio.io/v1")
    for index in chosen_routes(spec, rollout):
        for field in ("baseline", "canary"):
            version: Version = getattr(rollout.spec, field)
            destination = entry_of(spec["http"][index], rollout, version)["destination"]
            _check_subset(rules, rollout, field, version, str(destination["host"]))


def _check_subset(rules: list[Obj], rollout: Rollout, field: str, version: Version, host: str) -> None:
    wanted = full(host, rollout.namespace)
    names = [
        subset["name"]
        for rule in rules
        if fnmatchcase(wanted, full(rule["spec"]["host"], rule["metadata"]["namespace"]))
        for subset in rule["spec"].get("subsets") or ()
    ]
    if version.subset not in names:
        there = f"there are {', '.join(sorted(set(names)))}" if names else "there are none"
        what = f"no DestinationRule defines subset {version.subset!r} of host {host}"
        raise CanaryError(
            f"spec.{field}.subset: {what}; {there}",
            remedy="name one of these, or apply a DestinationRule with the subset, and its Pods, first",
        )


def doubts(rollout: Rollout, spec: Obj) -> Iterator[str]:
    """What may well be meant, but looks like a mistake."""
    load, hosts = rollout.spec.load, [str(host) for host in spec.get("hosts") or ()]
    asked = next((value for name, value in load.headers.items() if name.lower() == "host"), "")
    if load.label or load.url:
        return
    if asked and not any(fnmatchcase(asked.partition(":")[0], host) for host in hosts):
        yield (
            f"spec.load asks for host {asked}, and the rule is for {', '.join(hosts)}: "
            "answers may tell no side, and then nothing is judged"
        )
    elif set(spec.get("gateways") or ["mesh"]) == {"mesh"}:
        yield (
            "the rule is for the mesh's inside only (no gateways), and the load enters by a gateway: "
            "answers may tell no side, and then nothing is judged; see spec.load.label"
        )


def full(host: str, namespace: str) -> str:
    """A short name in full, as the mesh reads it; names with a dot and wildcards are as they are.

    >>> full("forecast", "weather"), full("example.com", "weather")
    ('forecast.weather.svc.cluster.local', 'example.com')
    """
    return host if "." in host or "*" in host else f"{host}.{namespace}.{DOMAIN}"
