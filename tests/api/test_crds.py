"""T1, G1: the CRDs say what the models say, in the form that Kubernetes accepts."""

from collections.abc import Iterator
from typing import Any

import pytest

from mesh.api.crds import crds
from mesh.api.kinds import KINDS

pytestmark = pytest.mark.behaviour("T1", "T4", "T6")
ALLOWED = {
    "type", "properties", "items", "additionalProperties", "required", "enum", "description",
    "minimum", "maximum",
    "x-kubernetes-preserve-unknown-fields",
}  # fmt: skip


def nodes(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for inner in (
        *schema.get("properties", {}).values(),
        schema.get("items"),
        schema.get("additionalProperties"),
    ):
        if isinstance(inner, dict):
            yield from nodes(inner)


@pytest.mark.parametrize("crd", crds(), ids=lambda crd: str(crd["metadata"]["name"]))
def test_a_schema_is_structural(crd: dict[str, Any]) -> None:
    for version in crd["spec"]["versions"]:
        for node in nodes(version["schema"]["openAPIV3Schema"]):
            assert set(node) <= ALLOWED
            # every node says its type, unless it may be anything: the first rule of structural schemas
            assert "type" in node or node.get("x-kubernetes-preserve-unknown-fields")
            assert not {"properties", "additionalProperties"} <= set(node)


def test_one_version_is_stored_and_all_are_served() -> None:
    for kind, crd in zip(KINDS, crds(), strict=True):
        versions = crd["spec"]["versions"]
        assert [v["name"] for v in versions if v["storage"]] == [kind.versions[0]]
        assert all(v["served"] for v in versions)


def test_nothing_is_pruned_that_a_model_knows() -> None:
    for kind, crd in zip(KINDS, crds(), strict=True):
        spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        assert set(spec["properties"]) == {f.alias for f in kind.model.model_fields.values()}
