"""Plain Kubernetes objects: fields that there are not, values of another type, what is missing.

What beginners mistype is what counts here; the API server knows the rest.
"""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from mesh.api.checks import Fault, joined
from mesh.api.parse import shown
from mesh.galley.manifest.schemas import META, Schema, definitions, kinds, resolved, types_of

DEEPEST = 40  # levels; Kubernetes' own kinds have fewer, what is deeper refers to itself
TOP = ("apiVersion", "kind", "metadata", "spec", "status")
CHECKS: Mapping[str, type | tuple[type, ...]] = {
    "string": str, "integer": int, "number": (int, float), "boolean": bool, "object": dict, "array": list,
    "null": type(None),
}  # fmt: skip
REMEDIES = {
    "string": "put the value in quotes",
    "integer": "write a whole number, without quotes",
    "boolean": "write true or false, without quotes",
    "array": "write a list: start each entry with '- '",
    "object": "write a mapping of names to values",
}


def misnamed_head(obj: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong with apiVersion and kind, without which nothing else can be checked."""
    for name in ("apiVersion", "kind"):
        if isinstance(obj.get(name), str) and obj[name]:
            continue
        near = [key for key in obj if key != name and str(key).lower() == name.lower()]
        near = near or difflib.get_close_matches(name, [str(key) for key in obj if key not in TOP], n=1)
        if near:
            yield Fault(str(near[0]), f"there is no such field, and {name} is missing", f"write {name}")
        else:
            yield Fault(name, "is missing", "every object needs apiVersion and kind")


def unknown_kind(version: str, kind: str) -> Fault | None:
    """What is wrong with a kind that Kubernetes does not have; None if it may be somebody else's."""
    known = kinds()
    if kind in known:
        wanted = " or ".join(sorted(known[kind]))
        return Fault("apiVersion", f"{version!r} does not have {kind}", f"write {wanted}")
    of_kubernetes = {each for versions in known.values() for each in versions}
    if version not in of_kubernetes:
        return None
    near = difflib.get_close_matches(kind, [each for each in known if version in known[each]], n=1)
    remedy = f"did you mean {near[0]}?" if near else "check the spelling"
    return Fault("kind", f"{version} has no kind {kind!r}", remedy)


def faults_of(obj: Mapping[str, Any], schema: Schema) -> Iterator[Fault]:
    """What is wrong with an object of a kind that is known."""
    lacking = "spec" in resolved(schema).get("properties", {}) and "spec" not in obj
    metadata = obj.get("metadata")
    if lacking and isinstance(metadata, Mapping) and "spec" in metadata:
        yield Fault("metadata.spec", "spec stands inside metadata", "move it out, beside metadata")
        kept = {name: value for name, value in metadata.items() if name != "spec"}
        obj = {**obj, "metadata": kept, "spec": metadata["spec"]}
    yield from walk(obj, schema, "", 0)


def metadata_faults(metadata: Any) -> Iterator[Fault]:
    """What is wrong with the metadata of any object."""
    yield from walk(metadata, definitions()[META], "metadata", 0)


def walk(value: Any, schema: Schema, path: str, depth: int) -> Iterator[Fault]:
    """What is wrong with a value, and with what is in it."""
    schema = resolved(schema)
    named = types_of(schema)
    if value is None or depth > DEEPEST:
        return
    if named and not fits(value, named) and "x-kubernetes-int-or-string" not in schema:
        wanted = next(each for each in named if each != "null")
        yield Fault(path, f"is {shown(value)}, not a value of type {wanted}", REMEDIES.get(wanted, ""))
    elif isinstance(value, Mapping):
        yield from walk_object(value, schema, path, depth)
    elif isinstance(value, list) and "items" in schema:
        for index, each in enumerate(value):
            yield from walk(each, schema["items"], f"{path}[{index}]", depth + 1)


def fits(value: Any, named: tuple[str, ...]) -> bool:
    """Whether a value has one of the types. For YAML a boolean is no number."""
    if isinstance(value, bool):
        return "boolean" in named
    return any(isinstance(value, CHECKS[each]) for each in named if each in CHECKS)


def walk_object(value: Mapping[Any, Any], schema: Schema, path: str, depth: int) -> Iterator[Fault]:
    """What is wrong with a mapping."""
    properties: dict[str, Schema] = schema.get("properties", {})
    inner = schema.get("additionalProperties")
    for name, each in value.items():
        if name in properties:
            yield from walk(each, properties[name], joined(path, str(name)), depth + 1)
        elif isinstance(inner, dict):
            yield from walk(each, inner, f"{path}[{name}]", depth + 1)
        elif properties and not inner and not schema.get("x-kubernetes-preserve-unknown-fields"):
            near = difflib.get_close_matches(str(name), properties, n=1)
            remedy = (
                f"did you mean {near[0]}?" if near else f"fields here are {', '.join(sorted(properties))}"
            )
            yield Fault(joined(path, str(name)), "there is no such field", remedy)
    for name in schema.get("required", ()):
        if value.get(name) is None:
            yield Fault(joined(path, name), "is missing", "add it")
