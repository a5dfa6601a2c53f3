"""What is left of a rollout: one HTML file for people, JSON and JUnit for programs."""

from pathlib import Path

from loadtests.canary.report import html, junit, plain
from loadtests.canary.verdicts import Result

FORMATS = {"html": html.render, "json": plain.render, "xml": junit.render}


def write(result: Result, folder: Path) -> dict[str, Path]:
    """Write `<rollout>.html`, `.json` and `.xml` (JUnit) into a folder, which is made; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {ending: folder / f"{result.rollout}.{ending}" for ending in FORMATS}
    for ending, path in paths.items():
        path.write_text(FORMATS[ending](result), "utf-8")
    return paths
