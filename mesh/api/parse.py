"""From plain values to typed configuration, with every fault at once."""

import difflib
from collections.abc import Iterator, Mapping
from datetime import datetime
from reprlib import Repr
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mesh.api.checks import faults, models_in, partial
from mesh.api.errors import ConfigError, Problem
from mesh.api.kinds import BY_KIND, Kind
from mesh.model import ConfigObject, Labels, ObjectKey

M = TypeVar("M", bound=BaseModel)
SHOWN = 60  # characters of a value
_SHORT = Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 3, SHOWN + 10, SHOWN, SHOWN
REMEDIES = {
    "missing": "add it",
    "string_type": "put the value in quotes",
    "int_type": "write a whole number, without quotes",
    "int_parsing": "write a whole number, without quotes",
    "tuple_type": "write a list: start each entry with '- '",
    "dict_type": "write a mapping of names to values",
    "model_type": "write a mapping of fields",
    "model_attributes_type": "write a mapping of fields",
}


def parse_object(obj: Mapping[str, Any], *, origin: str = "") -> ConfigObject:
    """A Kubernetes object as typed configuration. Raises `ConfigError` with all of its problems."""
    metadata = metadata_of(obj, origin)
    key = ObjectKey(str(obj.get("kind", "")), str(metadata.get("namespace", "")), str(metadata["name"]))
    kind, version = kind_of(obj, key, origin)
    spec = parse_spec(kind, obj.get("spec"), key, origin=origin)
    return ConfigObject(
        key=key,
        group=kind.group,
        version=version,
        spec=spec,
        resource_version=metadata.get("resourceVersion", ""),
        uid=metadata.get("uid", ""),
        generation=metadata.get("generation", 0),
        created=timestamp(metadata.get("creationTimestamp")),
        labels=Labels(metadata.get("labels")),
        annotations=dict(metadata.get("annotations") or {}),
    )


def metadata_of(obj: Mapping[str, Any], origin: str) -> Mapping[str, Any]:
    """The metadata of an object; `ConfigError` unless it has the form and the name that every object has."""
    metadata = obj.get("metadata")
    kind = str(obj.get("kind", ""))
    if not isinstance(metadata, Mapping):
        key = ObjectKey(kind, "", "")
        raise ConfigError(
            [Problem(key, "metadata", f"is {shown(metadata)}", "write metadata: {name: ...}", origin)]
        )
    key = ObjectKey(kind, str(metadata.get("namespace", "")), str(metadata.get("name", "")))
    problems = [
        Problem(
            key,
            f"metadata.{name}",
            f"is {shown(metadata[name])}",
            "write a mapping of names to values",
            origin,
        )
        for name in ("labels", "annotations")
        if not isinstance(metadata.get(name) or {}, Mapping)
    ]
    if not metadata.get("name"):
        problems.append(Problem(key, "metadata.name", "is missing", "every object needs a name", origin))
    if problems:
        raise ConfigError(problems)
    return metadata


def kind_of(obj: Mapping[str, Any], key: ObjectKey, origin: str) -> tuple[Kind, str]:
    """The kind of an object and its version; `ConfigError` if there is no such kind here."""
    kind = BY_KIND.get(key.kind)
    if kind is None:
        near = difflib.get_close_matches(key.kind, BY_KIND, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"use one of {', '.join(BY_KIND)}"
        raise ConfigError([Problem(key, "kind", f"{key.kind!r} is not a kind of the mesh", remedy, origin)])
    group, _, version = str(obj.get("apiVersion", "")).partition("/")
    if group != kind.group or version not in kind.versions:
        wanted = ", ".join(f"{kind.group}/{each}" for each in kind.versions)
        found = f"{obj.get('apiVersion')!r} does not have {key.kind}"
        raise ConfigError([Problem(key, "apiVersion", found, f"write one of {wanted}", origin)])
    return kind, version


def parse_spec(kind: Kind, spec: Any, key: ObjectKey, *, origin: str = "") -> Any:
    """The typed spec of an object; `ConfigError` with all problems."""
    if spec is None and kind.optional:
        spec = {}
    if not isinstance(spec, Mapping):
        found = "is missing" if spec is None else f"is {shown(spec)}"
        raise ConfigError(
            [Problem(key, "spec", found, "a spec belongs beside metadata, not inside it", origin)]
        )
    return checked(kind.model, spec, key, origin=origin)


def checked(
    model: type[M], value: Mapping[str, Any], key: ObjectKey, *, path: str = "spec", origin: str = ""
) -> M:
    """A message of an object; `ConfigError` with all that is wrong in schema and content."""
    made, details = read(model, value)
    problems = [problem(detail, model, key, path, origin) for detail in details]
    problems += [
        Problem(key, each.path, each.message, each.remedy, origin)
        for each in faults(made, path, whole=not details)
    ]
    if problems:
        raise ConfigError(problems)
    return made


def read(model: type[M], value: Mapping[str, Any]) -> tuple[M, list[ErrorDetails]]:
    """A message, or what is good of it with pydantic's errors for the rest."""
    try:
        return model.model_validate(value), []
    except ValidationError as error:
        return partial(model, value), error.errors()


def problem(detail: ErrorDetails, model: type[BaseModel], key: ObjectKey, base: str, origin: str) -> Problem:
    """One of pydantic's errors in our words."""
    path = path_of(detail["loc"], base)
    if detail["type"] == "extra_forbidden":
        return Problem(key, path, "there is no such field", near_field(model, detail["loc"]), origin)
    if detail["type"] == "missing":
        return Problem(key, path, "is missing", REMEDIES["missing"], origin)
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] != "value_error":
        message = f"is {shown(detail['input'])}: {message}"
    return Problem(key, path, message, REMEDIES.get(detail["type"], ""), origin)


def shown(value: Any) -> str:
    """A value as an error shows it, cut where it is long, without looking at all of it."""
    text = _SHORT.repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def path_of(location: tuple[int | str, ...], base: str = "spec") -> str:
    """`spec.http[0].route[1].weight`."""
    return base + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)


def near_field(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """Which field was perhaps meant by an unknown one."""
    known = sorted(fields_at(model, location[:-1]))
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    return f"did you mean {near[0]}?" if near else f"fields here are {', '.join(known)}"


def fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> Iterator[str]:
    """The names that people may write at a place of a model."""
    for part in location:
        if isinstance(part, str):
            inner = next((f for name, f in model.model_fields.items() if part in (f.alias, name)), None)
            found = inner and next(models_in(inner.annotation), None)
            model = found or model
    for name, field in model.model_fields.items():
        yield field.alias or name


def timestamp(text: str | None) -> float:
    """Seconds since the epoch of a Kubernetes time; 0 if there is none."""
    return datetime.fromisoformat(text).timestamp() if text else 0.0
