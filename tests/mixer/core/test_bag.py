"""What was read of a call's attributes, absent ones too."""

import pytest

from mesh.mixer.bag import Bag, Recording, hashable, value_of

pytestmark = pytest.mark.behaviour("P4")

VALUES = {"source.name": "frontend", "request.headers": {"user": "ann"}, "source.ip": None}


def test_a_bag_gives_values_and_entries() -> None:
    bag = Bag(VALUES)
    assert bag.get("source.name") == "frontend"
    assert bag.entry("request.headers", "user") == "ann"
    assert bag.get("nothing") is bag.entry("request.headers", "x") is bag.entry("nothing", "x") is None


def test_each_reference_is_noted_with_what_was_found() -> None:
    bag = Recording(VALUES)
    bag.get("source.name")
    bag.get("source.ip")
    bag.entry("request.headers", "user")
    bag.entry("request.headers", "role")
    assert bag.references == {
        "source.name": "frontend",
        "source.ip": None,
        ("request.headers", "user"): "ann",
        ("request.headers", "role"): None,
    }


def test_whether_an_attribute_is_there_is_a_reference_of_its_own() -> None:
    bag = Recording(VALUES)
    assert bag.has("request.headers")
    assert not bag.has("nothing")
    assert bag.references == {("request.headers", None): True, ("nothing", None): False}
    assert value_of(VALUES, ("request.headers", None)) is True
    assert value_of({}, ("request.headers", None)) is False


def test_outputs_of_actions_are_no_references() -> None:
    bag = Recording(VALUES)
    bag.outputs["look.output.value"] = "x"
    assert bag.get("look.output.value") == "x"
    assert not bag.references


def test_references_find_the_same_again_as_keys() -> None:
    assert value_of(VALUES, "source.name") == "frontend"
    assert value_of(VALUES, ("request.headers", "user")) == "ann"
    assert value_of(VALUES, ("nothing", "user")) is None
    assert value_of(VALUES, "request.headers") == hashable({"user": "ann"}) != hashable({"user": "bob"})
