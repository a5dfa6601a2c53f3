"""P1, G1: whatever stands in an object of Mixer's, it is judged: each word has its place, nothing escapes."""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.api.errors import ConfigError
from mesh.api.parse import parse_object
from mesh.rules.admission import KINDS, judgement
from mesh.rules.expressions import ExpressionError, compile_expression
from mesh.rules.registry import adapters
from mesh.rules.resolve import resolve
from mesh.rules.templates import TEMPLATES

pytestmark = pytest.mark.behaviour("P1", "G1")
EXAMPLES = int(os.environ.get("MESHWRIGHT_FUZZ", "60"))  # `tox -e deep` takes more
BUDGET = settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
EXPRESSIONS = st.sampled_from(
    ['request.headers["a"]', "source.ip", "1", "true", '"a" | "b"', "(", "source.nme", '"10ms"',
     "response.code", 'ip("x")', "size(1)", ""]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | EXPRESSIONS
NAMES = st.sampled_from(
    ["value", "dimensions", "params", "variables", "subject", "status", "quotas", "overrides", "name",
     "compiledAdapter", "compiledTemplate", "match", "actions", "handler", "instances", "rules"]
) | st.text(max_size=4)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def judged(kind: str, spec: Any) -> None:
    obj = {"apiVersion": "config.istio.io/v1alpha2", "kind": kind, "spec": spec,
           "metadata": {"name": "a", "namespace": "b"}}  # fmt: skip
    try:
        parsed = parse_object(obj)
    except ConfigError as error:
        assert all(each.path for each in error.problems)
        return
    found = judgement(parsed, {}, adapters())
    assert all(each.path and each.message for each in (*found.errors, *found.warnings))
    resolve([parsed], adapters())


@given(st.sampled_from(sorted(KINDS)), VALUES)
@BUDGET
def test_anything_may_stand_in_a_spec(kind: str, spec: Any) -> None:
    judged(kind, spec)


@pytest.mark.parametrize("name", sorted(adapters()))
@given(params=st.dictionaries(NAMES, VALUES, max_size=4))
@BUDGET
def test_anything_may_be_an_adapters_parameters(name: str, params: dict[str, Any]) -> None:
    judged("handler", {"compiledAdapter": name, "params": params})


@given(st.sampled_from(sorted(TEMPLATES)), st.dictionaries(NAMES, VALUES, max_size=4))
@BUDGET
def test_anything_may_be_an_instances_parameters(name: str, params: dict[str, Any]) -> None:
    judged("instance", {"compiledTemplate": name, "params": params})


@given(st.text(max_size=80))
@BUDGET
def test_any_text_is_compiled_or_refused(text: str) -> None:
    try:
        compile_expression(text)
    except ExpressionError as error:
        assert 1 <= error.position <= len(text) + 1
