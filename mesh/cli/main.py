"""Entry point of `meshctl`: finds the verb, imports only its module, turns errors into messages.

Verbs of this package are listed in `VERBS`; other packages add theirs through the entry-point group
`meshwright.verbs`, so that the control plane's image does not carry them.
"""

import difflib
import importlib
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from typing import Any

from mesh.cli.errors import CommandError

VERBS = {
    "install": "mesh.cli.install:install",
    "uninstall": "mesh.cli.install:uninstall",
    "status": "mesh.cli.status:status",
    "proxy-status": "mesh.cli.proxy_status:proxy_status",
    "proxy-config": "mesh.cli.proxy_config:app",
    "authz": "mesh.cli.authz:app",
    "cert": "mesh.cli.cert:app",
    "mixer": "mesh.cli.mixer:app",
    "wait": "mesh.cli.wait:wait",
    "kube-inject": "mesh.cli.kube_inject:kube_inject",
    "validate": "mesh.cli.validate:validate",
    "version": "mesh.cli.version:version",
}
ALIASES = {"ps": "proxy-status", "pc": "proxy-config"}


def main(arguments: list[str] | None = None) -> None:
    """Run `meshctl` with `arguments` (the process's own by default) and exit with the verb's code.

    Exit codes: 0 done; 1 failed; 2 wrong usage; 3 no cluster; 4 not in force; 130 interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] in ALIASES:
        arguments = [ALIASES[arguments[0]], *arguments[1:]]
    sys.exit(_run(arguments))


def _run(arguments: list[str]) -> int:
    try:
        _application(arguments)(arguments, prog_name="meshctl", standalone_mode=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 141
    except Exception as error:
        return _report(error)
    return 0


def _report(error: Exception) -> int:
    """Say what went wrong in one message; a fault of ours is named as such and kept for a report."""
    remedy = getattr(error, "remedy", None)
    if remedy is None:
        return _report_fault(error)
    print(f"error: {error}", file=sys.stderr)
    if remedy:
        print(f"  try: {remedy}", file=sys.stderr)
    return int(getattr(error, "exit_code", 1))


def _report_fault(error: Exception) -> int:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="meshctl-", suffix=".log", delete=False) as log:
        traceback.print_exception(error, file=log)
    print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
    print(f"  this is a fault of meshctl; the details for a report are in {log.name}", file=sys.stderr)
    return 1


def _application(arguments: list[str]) -> Callable[..., Any]:
    """A typer application with the verb that `arguments` name, or with all of them if none is named."""
    import typer

    targets = VERBS | {entry.name: entry.value for entry in entry_points(group="meshwright.verbs")}
    named = arguments[0] if arguments else ""
    if named and not named.startswith("-") and named not in targets:
        raise unknown_verb(named, targets)
    app = typer.Typer(
        name="meshctl",
        help="A service mesh on real Envoy: cluster, control plane, and what people ask of them.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_root)
    for verb in [named] if named in targets else sorted(targets):
        _add(app, verb, targets[verb])
    return app


def unknown_verb(named: str, known: Iterable[str]) -> CommandError:
    """The error for a verb that there is not, with the one that was perhaps meant."""
    near = difflib.get_close_matches(named, known, n=1)
    hint = f"meshctl {near[0]}" if near else f"one of: {', '.join(sorted(known))}"
    return CommandError(f"meshctl has no verb {named!r}", remedy=hint, exit_code=2)


def _add(app: Any, verb: str, target: str) -> None:
    module, _, attribute = target.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    if hasattr(command, "registered_commands"):
        app.add_typer(command, name=verb)
    else:
        app.command(verb)(command)


def _root() -> None:
    """A service mesh on real Envoy: cluster, control plane, and what people ask of them."""


if __name__ == "__main__":
    main()
