"""`meshctl authz`: the policies in force at a Pod, and which of them decides a request."""

import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import typer

from mesh.cli.authz_dump import Chain, chains, policy_of
from mesh.cli.authz_explain import Verdict, explained
from mesh.cli.authz_match import Request
from mesh.cli.errors import CommandError
from mesh.cli.options import ContextOption, KubeconfigOption, Output, OutputOption
from mesh.cli.output import print_json, print_table
from mesh.cli.proxy_config import NamespaceFlag, PodArgument, envoy, listeners_of

DUMP = "config_dump?resource=dynamic_listeners"

app = typer.Typer(help="Authorization: which policies are in force at a Pod, and what they say.")


@app.callback()
def _authz() -> None:
    """Authorization: which policies are in force at a Pod, and what they say."""


@app.command()
def check(
    pod: PodArgument,
    namespace: NamespaceFlag = "",
    port: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="The workload's port; else the first.")
    ] = None,
    method: Annotated[str | None, typer.Option(metavar="NAME", help="The request's method.")] = None,
    path: Annotated[str | None, typer.Option(metavar="PATH", help="The request's path.")] = None,
    host: Annotated[str, typer.Option(metavar="NAME", help="The host that is asked for.")] = "",
    principal: Annotated[
        str, typer.Option(metavar="ID", help="The caller, as DOMAIN/ns/NAMESPACE/sa/ACCOUNT.")
    ] = "",
    source_ip: Annotated[str, typer.Option(metavar="ADDRESS", help="Where the connection comes from.")] = "",
    remote_ip: Annotated[str, typer.Option(metavar="ADDRESS", help="The first caller's address.")] = "",
    sni: Annotated[str, typer.Option(metavar="NAME", help="The server name asked for in TLS.")] = "",
    header: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A header; may be given often.")
    ] = None,
    claims: Annotated[str | None, typer.Option(metavar="JSON", help="The claims of a good token.")] = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TABLE,
) -> None:  # fmt: skip
    """List the policies in force at POD, or, with a request, say which policy and rule decides it."""
    found = chains(listeners_of(envoy(kubeconfig, context, pod, namespace, DUMP)))
    describes = (method, path, host, principal, source_ip, remote_ip, sni, header, claims)
    if not any(each for each in describes):
        listed(found, output)
        return
    chain = chosen(found, port)
    request = Request(
        method=method or "GET", path=path or "/", host=host, server_name=sni,
        port=chain.port if port is None else port,
        principal=principal.removeprefix("spiffe://"), source_ip=source_ip, remote_ip=remote_ip,
        headers=dict(map(divided, header or ())), claims=parsed(claims),
    )  # fmt: skip
    shown(chain, explained(chain, request), output)


def listed(found: Iterable[Chain], output: Output) -> None:
    """Print the policies."""
    every = list(rows(found))
    if output is Output.JSON:
        print_json(
            [dict(zip(("port", "action", "mode", "rule", "policy"), row, strict=True)) for row in every]
        )
    elif every:
        print_table(("PORT", "ACTION", "MODE", "POLICY"), ((*row[:3], row[4]) for row in every))
    else:
        print("no policy is in force here: every request that arrives is let through")


def rows(found: Iterable[Chain]) -> Iterator[tuple[str, str, str, str, str]]:
    """Port, action, mode, Envoy's name and ours of each rule."""
    for chain in found:
        for issuer in chain.tokens:
            yield chain.where, "TOKENS", "enforced", issuer, f"tokens of {issuer} are checked"
        for guard in chain.guards:
            mode = "enforced" if guard.enforced else "dry run"
            for name in sorted(guard.rules):
                yield chain.where, guard.action, mode, name, policy_of(name)
            if not guard.rules:
                yield chain.where, guard.action, mode, "", "no rule of these policies can match here"


def chosen(found: list[Chain], port: int | None) -> Chain:
    """The chain of a port, else of all other ports; without a port the first of HTTP."""
    for wanted in (port, 0):
        for chain in sorted(found, key=lambda each: (not each.http, each.port == 0)):
            if wanted in (None, chain.port):
                return chain
    known = ", ".join(sorted({str(each.port) for each in found if each.port})) or "none"
    raise CommandError(
        f"the Pod's Envoy has no chain of filters for port {port}", remedy=f"its ports are: {known}"
    )


def shown(chain: Chain, verdict: Verdict, output: Output) -> None:
    """Print what becomes of the request."""
    if output is Output.JSON:
        keys: dict[str, Any] = {"port": chain.port, "decision": verdict.decision, "rule": verdict.rule}
        print_json({**keys, "reason": verdict.reason, "steps": verdict.steps})
        return
    print(f"{verdict.decision} on port {chain.where}: {verdict.reason}")
    if verdict.rule:
        print(f"  Envoy names it {verdict.rule}")
    for step in verdict.steps:
        print(f"  {step}")


def divided(text: str) -> tuple[str, str]:
    """Name and value of a header."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise CommandError(
            f"--header {text!r} is not NAME=VALUE", remedy="write --header x-user=alice", exit_code=2
        )
    return name, value


def parsed(claims: str | None) -> dict[str, Any] | None:
    """The claims of a token."""
    if claims is None:
        return None
    try:
        found = json.loads(claims)
    except ValueError as error:
        found = error
    if not isinstance(found, dict):
        remedy = """write --claims '{"iss": "https://id.example", "sub": "alice"}'"""
        raise CommandError(f"--claims {claims!r} is not a JSON object", remedy=remedy, exit_code=2)
    return found
