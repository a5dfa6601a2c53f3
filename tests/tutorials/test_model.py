"""H5: the form of lessons, and what counts as the same output."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mesh.cli.errors import CommandError
from tutorials.compare import difference, normal
from tutorials.model import LessonError, Step, lessons, parse
from tutorials.runner import CannotTell, check
from tutorials.verb import spoken

pytestmark = pytest.mark.behaviour("H5")
NOBODY: Any = SimpleNamespace(mesh=None)


def test_every_lesson_has_the_form() -> None:
    found = lessons()
    assert found
    assert len({each.number for each in found}) == len(found)


def test_a_step_without_a_hint_is_named() -> None:
    text = "# T\n\n## One\n\n```sh\ntrue\n```\n\n```python check\nassert 0\n```\n"
    with pytest.raises(LessonError, match=r"01-a\.md, section 'One': .* no hint"):
        parse("01-a.md", text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("forecast-v1-8zsw5478j9-kkmn8  2/2 12 ms", "forecast-v1-rfd7n9xstf-d7vph 2/2 7.5 ms"),
        ("198.18.1.2:15012", "198.18.2.9:15012"),
        ("Running 17s", "Running 2m3s"),
        ("90.2% at 2026-11-23T06:42:36.951898Z", "9.81 % at 2026-11-24 07:00:00"),
    ],
)
def test_what_is_generated_or_measured_is_equal(one: str, other: str) -> None:
    assert normal(one.replace("% ", " % ").replace("  ", " ")) == normal(other.replace("  ", " "))


@pytest.mark.parametrize(("said", "came"), [("2/2", "1/2"), ("5 Pods", "6 Pods"), (":80", ":81")])
def test_other_numbers_must_be_what_the_lesson_says(said: str, came: str) -> None:
    assert difference(said, came)
    assert difference(said, came, about=True) == ""


def test_dots_in_a_line_stand_for_any_text() -> None:
    assert difference("10  200  forecast-...", "10  200  forecast-v1-8zsw5478j9-kkmn8") == ""
    assert difference("10  200  forecast-...", "10  200  frontend-v1")


LESSON = """# T

## One

```sh
true
```

```python check
assert 0
```

<!-- hint: do it -->

```sh reset
true
```
"""


def test_a_translation_has_other_words_and_the_same_blocks(tmp_path: Path) -> None:
    (tmp_path / "01-a.md").write_text(LESSON)
    other = tmp_path / "01-a.zh.md"
    other.write_text(LESSON.replace("One", "一").replace("do it", "做"))
    (found,) = lessons(tmp_path, "zh")
    assert (found.steps[0].title, found.steps[0].hint) == ("一", "做")
    assert [each.steps[0].title for each in lessons(tmp_path)] == ["One"]
    other.write_text(LESSON.replace("assert 0", "assert 1").replace("One", "一"))
    with pytest.raises(LessonError, match=r"01-a\.zh\.md, section '一': its blocks differ"):
        lessons(tmp_path, "zh")


def test_every_translation_shares_its_lesson_s_blocks() -> None:
    """`LessonError` names the one that does not."""
    assert len(lessons(language="zh")) == len(lessons())


def test_a_check_that_breaks_is_not_a_step_that_is_missing() -> None:
    step = Step("One", "", (), "{}['x']", "", 0, 0)
    with pytest.raises(CannotTell, match=r"cannot be told .* KeyError: 'x'"):
        check(step, NOBODY)


@pytest.mark.parametrize(
    ("said", "came"), [("a\n...\nb", "a\nx\ny\nb"), ("a\n...", "a\nb"), ("a\n...\nb", "a\nb")]
)
def test_dots_stand_for_any_lines(said: str, came: str) -> None:
    assert difference(said, came) == ""


def test_a_missing_line_is_told() -> None:
    assert "what came is" in difference("a\nb", "a")


def test_a_language_that_nobody_writes_is_refused() -> None:
    with pytest.raises(CommandError, match="no lesson is translated into 'xx'") as caught:
        spoken("xx")
    assert caught.value.remedy == "leave --lang out, or use one of: zh"
    assert len(spoken("zh")) == len(spoken("")) == len(lessons())
