"""What the API server warns of, and all causes of a refusal, reach the test."""

import pytest

from pytest_mesh.kube import warnings
from pytest_mesh.kube.api import causes_of

pytestmark = pytest.mark.behaviour("H2")


@pytest.mark.parametrize(
    ("header", "texts"),
    [
        ("", []),
        ('299 - "one"', ["one"]),
        ('299 - "one, two", 299 kube "three"', ["one, two", "three"]),
        (r'299 - "a \"quoted\" word"', ['a "quoted" word']),
    ],
)
def test_warnings_are_read_from_their_header(header: str, texts: list[str]) -> None:
    assert warnings.parse(header) == texts


def test_a_refusal_tells_all_causes_that_its_message_leaves_out() -> None:
    causes = [
        {"field": "spec.a", "message": "wrong"},
        {"message": "worse"},
        {"field": "b", "message": "told"},
    ]
    told = causes_of({"details": {"causes": causes}}, "refused: b: told")
    assert told == "\n  spec.a: wrong\n  worse"
