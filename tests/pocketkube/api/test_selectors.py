"""Selectors of labels and fields, in all their spellings."""

import pytest

from pocketkube.api.errors import BadRequest
from pocketkube.api.selectors import label_selector, object_selector, selector

pytestmark = pytest.mark.behaviour("H1")
LABELS = {"app": "forecast", "version": "v1", "example.io/tier": "back"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "app=forecast",
        "app==forecast,version!=v2",
        "app in (frontend, forecast),version notin (v2,v3)",
        "app,!missing",
        "example.io/tier=back",
        "missing!=x",
        "missing notin (x)",
    ],
)
def test_matching(text: str) -> None:
    assert label_selector(text)(LABELS)


@pytest.mark.parametrize(
    "text", ["app=x", "app!=forecast", "app in (a,b)", "!app", "missing", "app,version=v2"]
)
def test_not_matching(text: str) -> None:
    assert not label_selector(text)(LABELS)


@pytest.mark.parametrize("text", ["app in forecast", "a=b=c", "app=(x"])
def test_what_cannot_be_parsed_is_named(text: str) -> None:
    with pytest.raises(BadRequest, match="unable to parse label selector"):
        label_selector(text)


def test_selectors_of_objects() -> None:
    expressions = [
        {"key": "version", "operator": "In", "values": ["v1"]},
        {"key": "version", "operator": "NotIn", "values": ["v2"]},
        {"key": "app", "operator": "Exists"},
        {"key": "missing", "operator": "DoesNotExist"},
    ]
    assert object_selector({"matchLabels": {"app": "forecast"}, "matchExpressions": expressions})(LABELS)
    assert object_selector({})(LABELS)
    assert not object_selector({"matchLabels": {"app": "other"}})(LABELS)


def test_fields_that_may_not_be_named() -> None:
    with pytest.raises(BadRequest, match=r'field label not supported: "spec.secret"'):
        selector("", "spec.secret=x", lambda path: path == "metadata.name")


def test_both_kinds_together() -> None:
    matches = selector("app=forecast", "metadata.name=x", lambda _path: True)
    assert matches is not None
    assert matches({"metadata": {"name": "x", "labels": LABELS}})
    assert not matches({"metadata": {"name": "y", "labels": LABELS}})
