"""YAML texts as documents that know on which line each of their fields stands."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from mesh.api.errors import ConfigError, Problem
from mesh.api.parse import shown
from mesh.model import ObjectKey

UNKNOWN = ObjectKey("", "", "")
_PART = re.compile(r"[^.\[\]]+|\[[^\]]*\]")
NESTED = 5  # lists in lists; more is a document that refers to itself


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a text, with the file and the node of YAML that it was made from."""

    value: dict[str, Any]
    file: str
    node: yaml.Node | None = field(default=None, repr=False)

    @property
    def line(self) -> int:
        """Where it begins."""
        return self.node.start_mark.line + 1 if self.node is not None else 1

    def place(self, path: str = "") -> str:
        """`file:line` of a field, or of the innermost one round it that is there."""
        node, line = self.node, self.line
        for part in _PART.findall(path):
            found = step(node, part.strip("[]"))
            if found is None:
                break
            line, node = found
        return f"{self.file}:{line}"


def step(node: yaml.Node | None, part: str) -> tuple[int, yaml.Node] | None:
    """The line and the node of a part of a node: an entry by its key or its number."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and part.isdecimal() and int(part) < len(node.value):
        inner = node.value[int(part)]
        return inner.start_mark.line + 1, inner
    return None


def read(text: str, file: str) -> Iterator[Document]:
    """Each object of a text; lists are taken apart. `ConfigError` names the line that is no YAML."""
    try:
        loader = _Loader(text)
    except yaml.YAMLError as error:  # characters that YAML does not have
        raise broken(error, file) from None
    try:
        while loader.check_node():
            node = loader.get_node()
            value = loader.construct_document(node) if node else None
            if node and value is not None:
                yield from objects(Document(value, file, node))
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        raise broken(error, file) from None
    finally:
        loader.dispose()


def broken(error: Exception, file: str) -> ConfigError:
    """The error for a text that cannot be read. PyYAML lets through `ValueError` for dates that are none."""
    words = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    mark = getattr(error, "problem_mark", None)
    place = f"{file}:{mark.line + 1}" if mark else file
    return ConfigError([Problem(UNKNOWN, "", f"not YAML: {words}", "mend the line that is named", place)])


def objects(document: Document, depth: int = 0) -> Iterator[Document]:
    """One object, or those of a List; `ConfigError` for what is neither."""
    value: Any = document.value
    if not isinstance(value, dict) or depth > NESTED:
        message = f"{shown(value)} is no object" if depth <= NESTED else "lists are nested too deeply"
        remedy = "write apiVersion, kind, metadata, spec"
        raise ConfigError([Problem(UNKNOWN, "", message, remedy, document.place())])
    if value.get("kind") != "List":
        yield document
        return
    items: Sequence[Any] = value.get("items") or () if isinstance(value.get("items"), list | None) else ()
    whole = step(document.node, "items")
    for index, item in enumerate(items):
        inner = step(whole[1], str(index)) if whole else None
        yield from objects(Document(item, document.file, inner[1] if inner else document.node), depth + 1)


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node; `YAMLError` names the key that stands twice."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if isinstance(key, str) and key in seen and key != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key!r} stands twice", key_node.start_mark
                )
            seen.add(key if isinstance(key, str) else id(key_node))
        return super().construct_mapping(node, deep)
