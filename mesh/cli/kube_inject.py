"""`meshctl kube-inject`: what the injector's webhook does, done to a file."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from mesh.cli.errors import CommandError


def kube_inject(
    file: Annotated[
        str, typer.Option("--filename", "-f", metavar="FILE", help="Manifest to read; - is standard input.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write; else stdout.")
    ] = None,
) -> None:
    """Add the sidecar to every workload of a manifest and print the whole."""
    from mesh.injector.files import inject_yaml

    injected = inject_yaml(read_text(file))
    if output is None:
        sys.stdout.write(injected)
    else:
        output.write_text(injected)


def read_text(file: str) -> str:
    """The text of a file or of standard input; `CommandError` if it cannot be read."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read {file}: {error}", remedy="check the path given with -f") from None
