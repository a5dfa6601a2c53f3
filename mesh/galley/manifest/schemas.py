"""The schemas of Kubernetes' own kinds, as `kubernetes-validate` packages them from its OpenAPI."""

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Schema = dict[str, Any]
Version = tuple[str, str]
META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_PREFIX = "#/$defs/"


@cache
def definitions() -> dict[str, Schema]:
    """All definitions of the newest version by name, read when the first is needed."""
    found = find_spec("kubernetes_validate")
    if found is None or found.origin is None:
        raise RuntimeError("the package kubernetes-validate is missing; install it with pip")
    folders = (Path(found.origin).parent / "kubernetes-json-schema").glob("v*-local")
    loaded: dict[str, Schema] = json.loads((max(folders, key=_version) / "_definitions.json").read_bytes())[
        "$defs"
    ]
    return loaded


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in folder.name.removeprefix("v").removesuffix("-local").split("."))


@cache
def kinds() -> dict[str, dict[str, Schema]]:
    """The schemas of all kinds: kind -> apiVersion -> schema."""
    table: dict[str, dict[str, Schema]] = {}
    for definition in definitions().values():
        named = definition.get("x-kubernetes-group-version-kind") or []
        for each in named if len(named) == 1 else ():
            version = "/".join(filter(None, (each["group"], each["version"])))
            table.setdefault(each["kind"], {})[version] = definition
    return table


def resolved(schema: Schema) -> Schema:
    """The schema itself, where it only refers to another."""
    while "$ref" in schema:
        schema = definitions()[str(schema["$ref"]).removeprefix(_PREFIX)]
    return schema


def types_of(schema: Schema) -> tuple[str, ...]:
    """The types that values may have; none if there is no such rule."""
    named = schema.get("type", ())
    return (named,) if isinstance(named, str) else tuple(named)
