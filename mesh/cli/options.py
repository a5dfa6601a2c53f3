"""Options that several verbs share, with one wording."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Output(StrEnum):
    """How a verb prints."""

    TABLE = "table"
    JSON = "json"


KubeconfigOption = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig",
        metavar="FILE",
        help="Cluster to use; else $KUBECONFIG, else the running embedded one.",
    ),
]
ContextOption = Annotated[
    str | None, typer.Option("--context", metavar="NAME", help="Context of the kubeconfig.")
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="Table for people, JSON for programs.")]
NamespaceOption = Annotated[
    str, typer.Option("--namespace", "-n", metavar="NAME", help="Namespace of the object.")
]
