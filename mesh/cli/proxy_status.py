"""`meshctl proxy-status`: what each proxy was sent, what it accepted, and Envoy's words where it refused."""

from typing import Annotated, Any

import typer

from mesh.cli.errors import CommandError
from mesh.cli.options import ContextOption, KubeconfigOption, Output, OutputOption
from mesh.cli.output import print_json, print_table
from mesh.cli.platform import Platform

TYPES = ("CDS", "LDS", "EDS", "RDS", "SDS")


def proxy_status(
    proxy: Annotated[str, typer.Argument(metavar="[POD[.NAMESPACE]]", help="Only this proxy.")] = "",
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show for each proxy and type of resource: SYNCED, STALE (sent, not answered) or NACK (refused).

    Exits with 1 if any proxy has refused something.
    """
    proxies = [
        p for p in Platform.connect(kubeconfig, context).pilot("GET", "/debug/syncz") if matches(p, proxy)
    ]
    if proxy and not proxies:
        raise CommandError(
            f"proxy {proxy!r} is not connected to Pilot", remedy="see 'meshctl proxy-status' for all"
        )
    refusals = [refusal for p in proxies for refusal in refusals_of(p)]
    if output is Output.JSON:
        print_json(proxies)
    else:
        print_table(("NAME", "KIND", *TYPES), [row_of(p) for p in proxies])
        for refusal in refusals:
            print(f"\nNACK {refusal}")
    if refusals:
        raise typer.Exit(1)


def matches(proxy: dict[str, Any], wanted: str) -> bool:
    """Whether the start of a name, `name.namespace` or `deploy/NAME` means a proxy; empty means all."""
    name, _, namespace = wanted.rpartition("/")[2].partition(".")
    own, _, place = proxy["proxy"].rpartition(".")
    return own.startswith(name) and namespace in {"", place}


def row_of(proxy: dict[str, Any]) -> list[str]:
    """The cells of one proxy's row."""
    return [proxy["proxy"], proxy["kind"], *(proxy["types"].get(t, {}).get("status", "-") for t in TYPES)]


def refusals_of(proxy: dict[str, Any]) -> list[str]:
    """Envoy's reason for each type of resource that a proxy has refused."""
    return [
        f"{proxy['proxy']} {short}: {state.get('error', '')}"
        for short, state in proxy["types"].items()
        if state["status"] == "NACK"
    ]
