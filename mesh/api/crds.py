"""CustomResourceDefinitions generated from the models, with structural schemas as Kubernetes demands them."""

from collections.abc import Mapping
from typing import Any

from mesh.api.kinds import KINDS, Kind

Schema = dict[str, Any]
OPEN = "x-kubernetes-preserve-unknown-fields"
_KEPT = ("type", "enum", "description", "minimum", "maximum", "required")
_SENTENCE = 200  # characters of a description; CRDs are read by people, but kept in annotations by kubectl


def crds() -> list[dict[str, Any]]:
    """One CustomResourceDefinition (apiextensions.k8s.io/v1) for each kind."""
    return [crd(kind) for kind in KINDS]


def crd(kind: Kind) -> dict[str, Any]:
    """The definition of one kind, served in all its versions, stored in the first."""
    schema = {
        "type": "object",
        "description": (kind.model.__doc__ or "").strip(),
        **({} if kind.optional else {"required": ["spec"]}),
        "properties": {
            "spec": structural(kind.model.model_json_schema(by_alias=True)),
            "status": {"type": "object", OPEN: True},
        },
    }
    columns = [{"name": title, "type": "string", "jsonPath": path} for title, path in kind.columns]
    columns.append({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"})
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.resource, "labels": {"app": "istio-pilot"}},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced",
            "names": names(kind),
            "versions": [version(name, kind, schema, columns) for name in kind.versions],
        },
    }


def names(kind: Kind) -> dict[str, Any]:
    """How people and programs call the kind."""
    return {
        "kind": kind.kind,
        "listKind": f"{kind.kind}List",
        "plural": kind.plural,
        "singular": kind.kind.lower(),
        "shortNames": list(kind.short_names),
        "categories": ["istio-io", kind.group.replace(".", "-")],
    }


def version(name: str, kind: Kind, schema: Schema, columns: list[dict[str, Any]]) -> dict[str, Any]:
    """One version; all have the same schema."""
    return {
        "name": name,
        "served": True,
        "storage": name == kind.versions[0],
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
    }


def structural(schema: Mapping[str, Any]) -> Schema:
    """JSON Schema as a structural schema: references replaced, null taken away, a type at the top.

    Rules that a structural schema cannot say are checked by Galley.
    """
    return _structural(schema, schema.get("$defs", {}))


def _structural(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    if "$ref" in schema:
        target = definitions[schema["$ref"].rpartition("/")[2]]
        return _structural({**target, **{k: v for k, v in schema.items() if k != "$ref"}}, definitions)
    if "anyOf" in schema:  # an optional value: null or the thing itself
        chosen = next(option for option in schema["anyOf"] if option.get("type") != "null")
        return _structural({**chosen, **{k: v for k, v in schema.items() if k in _KEPT}}, definitions)
    found: Schema = {key: schema[key] for key in _KEPT if key in schema}
    if "const" in schema:
        found["enum"] = [schema["const"]]
    if "description" in found:
        found["description"] = found["description"].strip().split("\n\n")[0][:_SENTENCE]
    if schema.get("type") == "object":
        _object(found, schema, definitions)
    elif schema.get("type") == "array":
        found["items"] = _structural(schema["items"], definitions)
    return found


def _object(found: Schema, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> None:
    if "properties" in schema:
        found["properties"] = {k: _structural(v, definitions) for k, v in schema["properties"].items()}
    if schema.get("additionalProperties") is True:
        found[OPEN] = True
    elif "properties" not in schema and isinstance(schema.get("additionalProperties"), Mapping):
        found["additionalProperties"] = _structural(schema["additionalProperties"], definitions)
