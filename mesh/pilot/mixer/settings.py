"""Whether a workload's calls are checked, and what becomes of them if nobody answers.

The mesh's settings decide first, then the namespace, then the workload: `policy.istio.io/check` on either is
`enable`, `disable` or `allow-on-error`. Source: Istio 1.4 to 1.6, annotations and MeshConfig
(`disablePolicyChecks`, `policyCheckFailOpen`, `mixerCheckServer`); the time limit is this mesh's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mesh.api.meshconfig import MeshConfig

CHECK = "policy.istio.io/check"
RETRIES = "policy.istio.io/checkRetries"
TIMEOUT = "policy.istio.io/checkTimeout"
ANNOTATIONS = (CHECK, RETRIES, TIMEOUT)
COMPILE = "policy.istio.io/compile"
"""On a handler that keeps quotas: `true` lets proxies count those of one workload alone."""

ENABLE, DISABLE, ALLOW_ON_ERROR = "enable", "disable", "allow-on-error"
MOST_RETRIES = 5
RETRIES_UNSENT = 2
"""Further attempts without the annotation, where classic Istio made none: questions that never arrived, as
when a replica of istio-policy ends, are asked again.
"""

LONGEST = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Checks:
    """How a workload's calls are checked; `timeout` in seconds holds for each attempt."""

    enabled: bool
    host: str
    port: int
    fail_open: bool
    timeout: float
    retries: int = 0
    why: str = ""


def checks(mesh: MeshConfig, namespace: Mapping[str, str], workload: Mapping[str, str]) -> Checks:
    """How a workload's calls are checked, from annotations of its namespace and its own."""
    host, _, port = mesh.mixer_check_server.rpartition(":")
    switch, where = switched(namespace, workload)
    given = {**namespace, **workload}
    return Checks(
        enabled=bool(host) and (switch != DISABLE if switch else not mesh.disable_policy_checks),
        host=host,
        port=int(port or 0),
        fail_open=switch == ALLOW_ON_ERROR or (not switch and mesh.policy_check_fail_open),
        timeout=timeout(given.get(TIMEOUT, ""), mesh.policy_check_timeout),
        retries=retries(given.get(RETRIES, "")),
        why=why(mesh, switch, where),
    )


def switched(namespace: Mapping[str, str], workload: Mapping[str, str]) -> tuple[str, str]:
    """What the narrowest annotation says, and whose it is; one that says nothing known does not count."""
    for found, where in ((workload, "workload"), (namespace, "namespace")):
        if found.get(CHECK) in {ENABLE, DISABLE, ALLOW_ON_ERROR}:
            return found[CHECK], where
    return "", ""


def why(mesh: MeshConfig, switch: str, where: str) -> str:
    """What decided, for people."""
    if not mesh.mixer_check_server:
        return "mixerCheckServer of the mesh's settings is empty"
    if switch:
        return f"{CHECK}: {switch} of the {where}"
    return f"disablePolicyChecks: {str(mesh.disable_policy_checks).lower()} of the mesh's settings"


def timeout(text: str, otherwise: float) -> float:
    """Seconds of an annotation such as `500ms` or `2s`, at most a minute."""
    for unit, factor in (("ms", 0.001), ("s", 1.0)):
        number = text.removesuffix(unit)
        if number != text and number.replace(".", "", 1).isdecimal():
            return min(max(float(number) * factor, 0.001), LONGEST)
    return min(otherwise, LONGEST)


def retries(text: str) -> int:
    """A number of further attempts."""
    return min(int(text), MOST_RETRIES) if text.isascii() and text.isdecimal() else RETRIES_UNSENT
