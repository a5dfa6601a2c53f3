"""`meshctl mixer`: which way each rule goes, and what was used by whom."""

import sys
from typing import Annotated, Any

import typer

from mesh.cli.errors import CommandError
from mesh.cli.options import ContextOption, KubeconfigOption, Output, OutputOption
from mesh.cli.output import print_json, print_table
from mesh.cli.platform import SYSTEM_NAMESPACE, Platform, is_ready
from mesh.platform.forward import CannotForward, Forward

TELEMETRY = "app=istio-telemetry"
PORT = 15014
LEDGER = "/usage.csv"

app = typer.Typer(help="Mixer: which way its rules go, and what its ledger holds.", no_args_is_help=True)

NamespaceFilter = Annotated[
    str, typer.Option("--namespace", "-n", metavar="NAME", help="Only rules of this namespace.")
]


@app.command()
def plan(
    namespace: NamespaceFilter = "",
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say for each rule whether Envoy decides it itself (compiled), istio-policy is asked (call), some of
    both (partly), it reports after calls (report), or nothing comes of it (nowhere), and why.
    """
    platform = Platform.connect(kubeconfig, context)
    try:
        found = [
            each for each in platform.pilot("GET", "/debug/mixer") if namespace in ("", each["namespace"])
        ]
    finally:
        platform.close()
    if output is Output.JSON:
        print_json(found)
    else:
        print_table(("NAMESPACE", "RULE", "WAY", "COMPILED AT", "CALL AT", "WHY"), map(row, found))


def row(way: dict[str, Any]) -> tuple[str, ...]:
    """The cells of one rule."""
    places = (few(way["compiled"]), few(way["called"]))
    return (way["namespace"], way["rule"], way["way"], *places, way["why"])


def few(places: list[str]) -> str:
    """The first place and how many more there are.

    >>> few([]), few(["a:1"]), few(["a:1", "b:1", "c:1"])
    ('-', 'a:1', 'a:1 and 2 more')
    """
    more = f" and {len(places) - 1} more" if len(places) > 1 else ""
    return f"{places[0]}{more}" if places else "-"


@app.command()
def usage(kubeconfig: KubeconfigOption = None, context: ContextOption = None) -> None:
    """Print the ledger of istio-telemetry as CSV: requests and bytes by consumer and period."""
    platform = Platform.connect(kubeconfig, context)
    try:
        sys.stdout.write(ledger(platform))
    finally:
        platform.close()


def ledger(platform: Platform) -> str:
    """What istio-telemetry answers, by a port forwarded to its Pod."""
    ready = [pod for pod in platform.pods(SYSTEM_NAMESPACE, TELEMETRY) if is_ready(pod)]
    if not ready:
        raise CommandError(
            f"no istio-telemetry Pod is ready in namespace {SYSTEM_NAMESPACE}",
            remedy="install the mesh with 'meshctl install', or see 'meshctl status'",
        )
    pod = str(ready[0]["metadata"]["name"])
    try:
        with Forward(platform.client, SYSTEM_NAMESPACE, pod, PORT) as forward:
            answer = forward.request("GET", LEDGER)
    except CannotForward as error:
        raise CommandError(
            f"istio-telemetry cannot be asked: {error}", remedy="see 'meshctl status'"
        ) from None
    if answer.status != 200:
        raise CommandError(
            f"istio-telemetry answers {LEDGER} with {answer.status}: {answer.text}",
            remedy="a handler of adapter usage keeps the ledger: apply one, and a rule that names it",
        )
    return answer.text
