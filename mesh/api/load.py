"""Configuration from YAML text, with the file and line of what is wrong."""

from collections.abc import Iterator
from typing import Any

import yaml

from mesh.api.errors import ConfigError, Problem
from mesh.api.parse import parse_object
from mesh.model import ConfigObject, ObjectKey

UNKNOWN = ObjectKey("", "", "")


def load_yaml(text: str, *, file: str = "<text>", namespace: str = "default") -> list[ConfigObject]:
    """All objects of a YAML text; those without a namespace get `namespace`.

    Raises `ConfigError` with the problems of all objects together.
    """
    objects: list[ConfigObject] = []
    problems: list[Problem] = []
    for document, line in documents(text, file):
        try:
            objects.append(parse_object(placed(document, namespace), origin=f"{file}:{line}"))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return objects


def documents(text: str, file: str) -> Iterator[tuple[dict[str, Any], int]]:
    """Each document with the line on which it starts; lists are taken apart."""
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            value = loader.construct_document(node) if node else None
            if node and value is not None:
                yield from items(value, node.start_mark.line + 1, file)
    except yaml.YAMLError as error:
        raise ConfigError(
            [Problem(UNKNOWN, "", f"not YAML: {error}", "mend the line that is named", file)]
        ) from None
    finally:
        loader.dispose()


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


def items(value: Any, line: int, file: str) -> Iterator[tuple[dict[str, Any], int]]:
    """One object, or those of a List."""
    if not isinstance(value, dict):
        message = f"{str(value)[:40]!r} is no object"
        raise ConfigError(
            [Problem(UNKNOWN, "", message, "write apiVersion, kind, metadata, spec", f"{file}:{line}")]
        )
    if value.get("kind") == "List":
        for item in value.get("items") or ():
            yield from items(item, line, file)
    else:
        yield value, line


def placed(document: dict[str, Any], namespace: str) -> dict[str, Any]:
    """The object in its namespace."""
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        return document
    return {**document, "metadata": {"namespace": namespace, **metadata}}
