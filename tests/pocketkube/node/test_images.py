"""The catalogue of images."""

from __future__ import annotations

import pytest

from pocketkube.images import Catalogue, Image, UnknownImage, normal_name

pytestmark = pytest.mark.behaviour("H1")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web", "web:latest"),
        ("a/web:1", "a/web:1"),
        ("docker.io/a/web:1", "a/web:1"),
        ("host:5000/web", "host:5000/web:latest"),
    ],
)
def test_names(name: str, expected: str) -> None:
    assert normal_name(name) == expected


def test_an_image_is_found_by_its_name() -> None:
    entry = {"entrypoint": ["serve"], "cmd": ["--now"], "env": {"A": "1"}, "user": 1337, "workdir": "/app"}
    image = Catalogue({"example.com/web:1": entry}).find("example.com/web:1")
    assert image == Image("example.com/web:1", ("serve",), ("--now",), {"A": "1"}, 1337, "/app")
    assert image.id.startswith("example.com/web@sha256:")


def test_an_unknown_image_names_those_that_are_there() -> None:
    with pytest.raises(UnknownImage, match=r"known images: .*example\.com/web:1.*Remedy"):
        Catalogue({"example.com/web:1": {}}).find("nothing")


def test_a_wrong_entry_is_named() -> None:
    with pytest.raises(ValueError, match="'a': unknown keys \\['comand'\\]"):
        Image.parse("a", {"comand": []})
