"""Configuration from YAML text, with the file and line of what is wrong."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from mesh.api.documents import Document, read
from mesh.api.errors import ConfigError, Problem
from mesh.api.parse import parse_object
from mesh.model import ConfigObject


def load_yaml(text: str, *, file: str = "<text>", namespace: str = "default") -> list[ConfigObject]:
    """All objects of a YAML text; those without a namespace get `namespace`.

    Raises `ConfigError` with the problems of all objects together, each with its line.
    """
    objects: list[ConfigObject] = []
    problems: list[Problem] = []
    for document in read(text, file):
        try:
            objects.append(parse_object(placed(document.value, namespace), origin=document.place()))
        except ConfigError as error:
            problems += located(document, error.problems)
    if problems:
        raise ConfigError(problems)
    return objects


def located(document: Document, problems: tuple[Problem, ...]) -> Iterator[Problem]:
    """The problems of a document, each with the line of its field."""
    return (replace(each, origin=document.place(each.path)) for each in problems)


def documents(text: str, file: str) -> Iterator[tuple[dict[str, Any], int]]:
    """Each document with the line on which it starts; lists are taken apart."""
    return ((document.value, document.line) for document in read(text, file))


def placed(document: dict[str, Any], namespace: str) -> dict[str, Any]:
    """The object in its namespace."""
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        return document
    return {**document, "metadata": {"namespace": namespace, **metadata}}
