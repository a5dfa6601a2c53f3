"""G1: nothing that somebody can write into configuration breaks its validation, or holds it up.

Budget: `EXAMPLES` objects of each way of making them, `DEADLINE` for each one. Three ways: anything at all as
a spec, objects of the right form with wrong values, and texts that are nearly YAML. What once went wrong is
kept in `corpus/` and tried first, every time.
"""

import json
import os
from pathlib import Path
from time import process_time
from typing import Any, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.api.admit import admit
from mesh.api.checks import models_in, shapes
from mesh.api.errors import ConfigError
from mesh.api.kinds import BY_KIND, KINDS
from mesh.api.load import load_yaml
from mesh.api.meshconfig import MeshConfig
from mesh.galley.manifest import check_text
from mesh.galley.review import ReviewProblem, judge

pytestmark = pytest.mark.behaviour("S3", "G1")
EXAMPLES = int(os.environ.get("MESHWRIGHT_FUZZ", "80"))  # `tox -e deep` takes more
DEADLINE = 1.0  # seconds of CPU for one object
CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())
BUDGET = settings(
    max_examples=EXAMPLES, deadline=None, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip

ODD = st.sampled_from(
    ["", "*", "a", "/", "{*}", "{**}", "(", "(?=a)", "5s", "-1s", "1e999s", "a/b/c", "spiffe://a", "::", "0",
     "10.0.0.0/33", "\x00", "é" * 300, "request.headers[", "*.*", "kubernetes://", "[" * 500,
     "99999999999999999999"]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | ODD | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | ODD, inner, max_size=3),
    max_leaves=12,
)


def of_model(model: type[Any], depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of the form that a message has, with something wrong here and there."""
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for name, field in model.model_fields.items():
        inner = next(models_in(field.annotation), None)
        value: st.SearchStrategy[Any] = VALUES
        if inner is not None and depth < 4:
            value = st.deferred(lambda inner=inner: of_model(inner, depth + 1))  # type: ignore[misc]
            held = set(shapes(field.annotation))
            if tuple in held:
                value = st.lists(value, max_size=2)
            elif dict in held:
                value = st.dictionaries(ODD, value, max_size=2)
        elif get_origin(field.annotation) is tuple:
            value = st.lists(ODD, max_size=3)
        fields[field.alias or name] = st.one_of(value, value, value, VALUES)
    return st.fixed_dictionaries({}, optional=fields)


def obj(kind: str, spec: Any) -> dict[str, Any]:
    known = BY_KIND[kind]
    return {
        "apiVersion": f"{known.group}/{known.versions[0]}",
        "kind": kind,
        "metadata": {"name": "a", "namespace": "b"},
        "spec": spec,
    }


def checked(value: dict[str, Any]) -> None:
    """Validate an object as the webhook does: an answer, in time, that can be sent."""
    begun = process_time()
    errors, warnings = admit(value)
    took = process_time() - begun
    assert took < DEADLINE, f"it took {took:.2f} s"
    for each in (*errors, *warnings):
        assert each.path
        assert each.message
    question = {"request": {"uid": "u", "kind": {"group": "g", "kind": value["kind"]}, "operation": "CREATE",
                            "object": value}}  # fmt: skip
    answer = judge(question).answer()["response"]
    assert answer["allowed"] is not bool(errors)
    json.dumps(answer)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_what_once_went_wrong_does_not_again(path: Path) -> None:
    text = path.read_text()
    for finding in check_text(text, file=path.name):
        assert finding.errors or finding.warnings or finding.object.name


@given(st.sampled_from([kind.kind for kind in KINDS if kind.watched]), VALUES)
@BUDGET
def test_anything_may_stand_in_a_spec(kind: str, spec: Any) -> None:
    checked(obj(kind, spec))


@pytest.mark.parametrize(
    "kind",
    ["VirtualService", "DestinationRule", "Gateway", "ServiceEntry", "Sidecar", "PeerAuthentication",
     "RequestAuthentication", "AuthorizationPolicy", "Telemetry", "EnvoyFilter", "QuotaSpec"],
)  # fmt: skip
@given(data=st.data())
@settings(BUDGET, max_examples=EXAMPLES // 4)
def test_objects_of_the_right_form_may_hold_anything(kind: str, data: st.DataObject) -> None:
    checked(obj(kind, data.draw(of_model(BY_KIND[kind].model))))


@given(VALUES)
@BUDGET
def test_a_question_may_be_anything(question: Any) -> None:
    inner = {"uid": "u", "kind": question, "operation": "CREATE"}
    for asked in (question, {"request": question}, {"request": inner}):
        try:
            json.dumps(judge(asked).answer())
        except ReviewProblem as error:
            assert str(error)


PIECES = st.sampled_from(
    ["apiVersion: networking.istio.io/v1\n", "kind: DestinationRule\n", "kind: List\n", "items:\n", "- ",
     "  ", "metadata: {name: a}\n", "spec:\n", "  host: a\n", "---\n", "&a ", "*a", "<<: *a\n",
     "!!python/object:os.x ", "? ", "[", "]", "{", "}", ": ", "'", '"', "|\n", "\t", "2020-13-45", "!!int x",
     "%YAML 1.1\n", "\x00", "\ud800", "#"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=25).map("".join))
@BUDGET
def test_a_text_may_be_anything(text: str) -> None:
    begun = process_time()
    list(check_text(text, file="fuzz.yaml"))
    for read in (load_yaml, MeshConfig.from_yaml):
        try:
            read(text)
        except ConfigError as error:
            assert str(error)
    assert process_time() - begun < DEADLINE
