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
    loader = yaml.SafeLoader(text)
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
    metadata = document.get("metadata") or {}
    return {**document, "metadata": {"namespace": namespace, **metadata}}
