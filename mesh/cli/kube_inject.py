"""`meshctl kube-inject`: what the injector's webhook does, done to a file."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli.errors import CommandError
from mesh.cli.options import ContextOption, KubeconfigOption
from mesh.cli.platform import SYSTEM_NAMESPACE, Platform

if TYPE_CHECKING:
    from mesh.injector.settings import Settings

SETTINGS = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/configmaps/istio-sidecar-injector"


def kube_inject(
    file: Annotated[
        str, typer.Option("--filename", "-f", metavar="FILE", help="Manifest to read; - is standard input.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write; else stdout.")
    ] = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Add the sidecar to every workload of a manifest and print the whole.

    With --kubeconfig the settings are those of that cluster's injector, else the ones that `install` brings.
    """
    from mesh.injector.files import inject_yaml

    text = read_text(file)
    injected = inject_yaml(text, settings_of(Platform.connect(kubeconfig, context)) if kubeconfig else None)
    if output is None:
        sys.stdout.write(injected)
    else:
        output.write_text(injected)


def settings_of(platform: Platform) -> "Settings":
    """The settings of a cluster's injector."""
    from mesh.injector.settings import Settings

    return Settings.parse(platform.get(SETTINGS)["data"]["values"])


def read_text(file: str) -> str:
    """The text of a file or of standard input; `CommandError` if it cannot be read."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read {file}: {error}", remedy="check the path given with -f") from None
