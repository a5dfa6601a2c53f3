"""`meshctl validate`: what Galley's webhook and the API server would say of files."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.errors import CommandError
from mesh.cli.options import Output, OutputOption
from mesh.cli.output import print_json

if TYPE_CHECKING:
    from mesh.api.errors import Problem
    from mesh.galley.manifest import Finding

SUFFIXES = frozenset({".yaml", ".yml", ".json"})


def validate(
    file: Annotated[
        list[str],
        typer.Option(
            "--filename", "-f", metavar="FILE", help="File or folder to check; - is standard input."
        ),
    ],
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="Of objects that name none.")
    ] = "default",
    output: OutputOption = Output.TABLE,
) -> None:
    """Check configuration of the mesh and plain Kubernetes objects; every fault with file, line and remedy.

    Exit code 1 if anything would be refused.
    """
    from mesh.galley.manifest import check_texts

    findings = list(check_texts(texts(file), namespace))
    if output is Output.JSON:
        print_json([shown(each) for each in findings])
    else:
        say(findings)
    if any(each.errors for each in findings):
        raise typer.Exit(1)


def texts(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Name and text of each file; folders are searched. `CommandError` for what cannot be read."""
    for name in names:
        if name == "-":
            yield "<stdin>", sys.stdin.read()
            continue
        for path in files(Path(name)):
            try:
                yield str(path), path.read_text()
            except (OSError, UnicodeDecodeError) as error:
                raise CommandError(
                    f"cannot read {path}: {error}", remedy="check the path given with -f"
                ) from None


def files(path: Path) -> list[Path]:
    """The file itself, or the manifests in a folder."""
    if not path.is_dir():
        return [path]
    found = sorted(each for each in path.rglob("*") if each.suffix in SUFFIXES and each.is_file())
    if not found:
        raise CommandError(f"there is no manifest in {path}", remedy="name a file, or a folder with *.yaml")
    return found


def say(findings: Sequence["Finding"]) -> None:
    """Tell people what was found: faults on standard error, the sum on standard output."""
    for finding in findings:
        for each in finding.errors:
            print(text_of(each, "error"), file=sys.stderr)
        for each in finding.warnings:
            print(text_of(each, "warning"), file=sys.stderr)
    wrong = sum(bool(each.errors) for each in findings)
    objects = f"{len(findings)} object{'' if len(findings) == 1 else 's'}"
    print(f"{objects} checked: {'all are valid' if not wrong else f'{wrong} would be refused'}")


def text_of(problem: "Problem", level: str) -> str:
    """A fault with its place first, so that editors find it."""
    key = f"{problem.object}: " if problem.object.kind else ""
    path = f"{problem.path}: " if problem.path else ""
    remedy = f"\n  try: {problem.remedy}" if problem.remedy else ""
    return f"{problem.origin}: {level}: {key}{path}{problem.message}{remedy}"


def shown(finding: "Finding") -> dict[str, Any]:
    """A finding for programs."""

    def listed(problems: Sequence["Problem"]) -> list[dict[str, str]]:
        return [
            {"path": each.path, "message": each.message, "remedy": each.remedy, "origin": each.origin}
            for each in problems
        ]

    kind, namespace, name = finding.object
    return {
        "kind": kind,
        "namespace": namespace,
        "name": name,
        "origin": finding.origin,
        "errors": listed(finding.errors),
        "warnings": listed(finding.warnings),
    }
