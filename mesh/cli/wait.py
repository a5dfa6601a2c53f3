"""`meshctl wait`: returns when a configuration object is in force at every proxy that it concerns."""

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from mesh.cli.errors import CommandError, NotInForce
from mesh.cli.options import ContextOption, KubeconfigOption, NamespaceOption, Output, OutputOption
from mesh.cli.output import print_json
from mesh.cli.platform import Platform
from mesh.platform.mixer import programs_of, version

CORE_KINDS = {
    "service": ("Service", "/api/v1", "services"),
    "secret": ("Secret", "/api/v1", "secrets"),
    "configmap": ("ConfigMap", "/api/v1", "configmaps"),
}
CORE_NAMES = {
    "svc": "service",
    "services": "service",
    "secrets": "secret",
    "cm": "configmap",
    "configmaps": "configmap",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Where an object of some kind is found at the API server."""

    kind: str
    path: str
    plural: str

    @property
    def group(self) -> str:
        """Its API group; empty for the core."""
        return self.path.split("/")[2] if self.path.startswith("/apis/") else ""


def wait(
    what: Annotated[
        str, typer.Argument(metavar="KIND/NAME", help="For example virtualservice/forecast or vs/forecast.")
    ],
    namespace: NamespaceOption = "default",
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0.1, help="How long to wait.")
    ] = 30.0,
    deleted: Annotated[
        bool, typer.Option("--deleted", help="Wait until the object's deletion is in force.")
    ] = False,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Wait until an object is in force: every proxy it concerns has ACKed it and nothing is warming.

    Objects of Mixer's have reached istio-policy and istio-telemetry then, too. Exits with 4 and Envoy's own
    words if a proxy refuses it, or when the time is over.
    """
    kind, _, name = what.partition("/")
    if not name:
        raise CommandError(
            f"{what!r} names no object", remedy="say kind and name: meshctl wait virtualservice/forecast"
        )
    target = target_of(kind)
    platform = Platform.connect(kubeconfig, context)
    found = None if deleted else platform.get(f"{target.path}/namespaces/{namespace}/{target.plural}/{name}")
    wanted = {
        "kind": target.kind,
        "namespace": namespace,
        "name": name,
        "resourceVersion": str(found["metadata"]["resourceVersion"]) if found else "",
        "deleted": deleted,
    }
    request = {"objects": [wanted], "timeoutSeconds": timeout}
    answer = platform.pilot("POST", "/debug/in-force", request, timeout=timeout + 10)
    if output is Output.JSON:
        print_json(answer)
    if answer["state"] != "in-force":
        named, words = f"{target.kind} {namespace}/{name}", explain(answer)
        raise NotInForce(words if words.startswith(named) else f"{named}: {words}", remedy=remedy_of(answer))
    follow(platform, target, f"{target.kind}/{namespace}/{name}", found, timeout)
    if output is Output.TABLE:
        count = len(answer["proxies"])
        print(f"{target.kind} {namespace}/{name} is in force at {count} prox{'y' if count == 1 else 'ies'}"
              f" ({answer['elapsedMs']:.0f} ms)")  # fmt: skip


def target_of(word: str) -> Target:
    """The kind that a word means: its name, plural or a short name, in any case."""
    from mesh.api.kinds import KINDS

    core = CORE_NAMES.get(word.lower(), word.lower())
    if core in CORE_KINDS:
        return Target(*CORE_KINDS[core])
    for kind in KINDS:
        if word.lower() in {kind.kind.lower(), kind.plural, *kind.short_names}:
            return Target(kind.kind, f"/apis/{kind.group}/{kind.versions[0]}", kind.plural)
    known = ", ".join(sorted([kind.kind for kind in KINDS] + ["Service", "Secret"]))
    raise CommandError(f"{word!r} is not a kind of the mesh", remedy=f"use one of: {known}")


def follow(
    platform: Platform, target: Target, name: str, found: dict[str, Any] | None, timeout: float
) -> None:
    """Wait for istio-policy and istio-telemetry, if they read the object; None: it was deleted."""
    programs = programs_of(target.group)
    if not programs:
        return
    left = platform.mixer.follow(programs, {name: version(found) if found else None}, timeout=timeout)
    if left:
        raise NotInForce(
            f"{name}: in force at the proxies, but not in {', '.join(left)} yet",
            remedy=f"see 'kubectl -n istio-system logs {left[0]}'",
        )


def explain(answer: dict[str, Any]) -> str:
    """Why an object is not in force, in the words of who refused it."""
    if answer["errors"]:
        return "; ".join(words_of(error) for error in answer["errors"])
    waiting = ", ".join(str(each) for each in answer.get("waitingFor", [])) or "Pilot"
    return f"not in force in time; still waiting for {waiting}"


def words_of(error: dict[str, Any]) -> str:
    """One refusal: who, which resource, why."""
    where = " ".join(str(error[key]) for key in ("proxy", "type", "resource") if error.get(key))
    return f"{where}: {error['message']}" if where else str(error["message"])


def remedy_of(answer: dict[str, Any]) -> str:
    """What to do next."""
    if answer["state"] == "nack":
        return "mend the rule and apply it again; 'meshctl proxy-status' shows who refused it"
    if answer["state"] == "rejected":
        return "mend the object and apply it again; the last good version stays in force"
    return "see 'meshctl proxy-status' for the proxies that have not answered"
