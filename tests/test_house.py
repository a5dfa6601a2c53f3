"""The rule of the house: no component of `mesh` imports another, as ARCHITECTURE.md says."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mesh

pytestmark = pytest.mark.behaviour("G2")

MESH = Path(mesh.__file__).parent
COMPONENTS = frozenset({"registry", "galley", "citadel", "pilot", "mixer", "injector", "agent"})
PROGRAM = frozenset({"program", "tasks", "log", "ports", "monitoring", "version"})
"""What any process of the mesh may stand on."""

MAY_IMPORT = {
    "model": frozenset[str](),
    "platform": frozenset[str](),
    "api": frozenset({"model"}),
    "pki": frozenset({"model"}),
    "rules": frozenset({"model", "api"}),
    "registry": frozenset({"model", "api", "platform"}),
    "galley": frozenset({"model", "api", "rules", "platform", "pki"}) | PROGRAM,
    "citadel": frozenset({"model", "platform", "pki"}) | PROGRAM,
    "pilot": frozenset({"model", "api", "rules", "pki"}) | PROGRAM,
    "mixer": frozenset({"model", "api", "rules", "pki"}) | PROGRAM,
    "injector": frozenset({"model", "pki"}) | PROGRAM,
    "agent": frozenset({"pki", "version"}),
    "install": frozenset({"api", "injector", "version"}),
    "program": frozenset({"log"}),
    "tasks": frozenset[str](),
    "ports": frozenset[str](),
    "monitoring": frozenset({"version"}),
    "log": frozenset[str](),
    "version": frozenset[str](),
}
ASSEMBLE = ("istiod.py", "cli/", "pilot/main.py", "pilot/platform.py", "mixer/platform.py")
"""Files and folders that put components together, and may import all of them."""


def test_no_component_imports_another() -> None:
    wrong = [
        f"mesh/{path}:{line} imports mesh.{name}, which is no part that mesh.{part(path)} may stand on"
        for path in sources()
        if not path.as_posix().startswith(ASSEMBLE)
        for line, name in imported(path)
        if name != part(path) and name not in MAY_IMPORT[part(path)]
    ]
    assert not wrong, "\n".join(wrong)


def test_every_part_has_its_line_in_the_table() -> None:
    parts = {part(path) for path in sources()} - {"__init__", "istiod", "cli"}
    assert parts == set(MAY_IMPORT)


def test_what_assembles_is_there_and_needs_to() -> None:
    """An exception that nobody needs any more is none."""
    for exception in ASSEMBLE:
        files = [path for path in sources() if path.as_posix().startswith(exception)]
        own = exception.split("/")[0]
        others = {name for path in files for _, name in imported(path)} & COMPONENTS - {own}
        assert others, f"mesh/{exception} imports no component: take it out of ASSEMBLE"


@pytest.mark.parametrize(
    "text",
    [
        "import mesh.pilot.world",
        "from mesh.pilot import world",
        "from mesh import pilot",
        "from ..pilot import world",
        "def late() -> None:\n    from mesh.pilot.world import World",
    ],
)
def test_every_form_of_import_is_seen(text: str) -> None:
    assert [name for _, name in names(text, Path("galley/store.py"))] == ["pilot"]


def sources() -> Iterator[Path]:
    """The files of `mesh`, from its folder."""
    return (path.relative_to(MESH) for path in sorted(MESH.rglob("*.py")))


def part(path: Path) -> str:
    """The component, or the module at the top, that a file belongs to."""
    return path.parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Each line of a file that imports a part of `mesh`, and which; imports inside functions too."""
    return names((MESH / path).read_text(), path)


def names(text: str, path: Path) -> Iterator[tuple[int, str]]:
    """The same for the text that stands in a file."""
    for node in ast.walk(ast.parse(text)):
        for name in modules(node, path):
            top, *rest = name.split(".")
            if top == "mesh" and rest:
                yield node.lineno, rest[0]  # type: ignore[attr-defined]  # imports have a line


def modules(node: ast.AST, path: Path) -> Iterator[str]:
    """The full names of what a node imports; nothing if it is no import."""
    if isinstance(node, ast.Import):
        yield from (each.name for each in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = ("mesh", *path.parts[:-1])[: -node.level + 1 or None] if node.level else ()
        module = ".".join([*above, *([node.module] if node.module else [])])
        yield from (f"{module}.{each.name}" for each in node.names)
