"""H5: the form of lessons, and what counts as the same output."""

import pytest

from tutorials.compare import difference, normal
from tutorials.model import LessonError, lessons, parse

pytestmark = pytest.mark.behaviour("H5")


def test_every_lesson_has_the_form() -> None:
    found = lessons()
    assert found
    assert len({each.number for each in found}) == len(found)


def test_a_step_without_a_hint_is_named() -> None:
    text = "# T\n\n## One\n\n```sh\ntrue\n```\n\n```python check\nassert 0\n```\n"
    with pytest.raises(LessonError, match=r"01-a\.md, section 'One': .* no hint"):
        parse("01-a.md", text)


def test_generated_names_and_numbers_are_equal() -> None:
    assert normal("forecast-v1-8zsw5478j9-kkmn8  2/2 12 ms") == normal(
        "forecast-v1-rfd7n9xstf-d7vph 2/2 7 ms"
    )


@pytest.mark.parametrize(
    ("said", "came"), [("a\n...\nb", "a\nx\ny\nb"), ("a\n...", "a\nb"), ("a\n...\nb", "a\nb")]
)
def test_dots_stand_for_any_lines(said: str, came: str) -> None:
    assert difference(said, came) == ""


def test_a_missing_line_is_told() -> None:
    assert "what came is" in difference("a\nb", "a")
