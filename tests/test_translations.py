"""H5: a translation follows its original: the same sections, each with the same code, names, links and rows.

README.zh.md has README.md's, a lesson's NN-name.zh.md those of NN-name.md. Only words may differ.
"""

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

pytestmark = pytest.mark.behaviour("H5")

ROOT = Path(__file__).parents[1]
ENGLISH, CHINESE = "README.md", "README.zh.md"
LESSONS = sorted((ROOT / "tutorials").glob("[0-9][0-9]-*.zh.md"))
TRANSLATED = [CHINESE, *(path.relative_to(ROOT).as_posix() for path in LESSONS)]
SWITCH = {ENGLISH: "English | [简体中文](README.zh.md)", CHINESE: "[English](README.md) | 简体中文"}

_BLOCK = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)
_HEAD = re.compile(r"^(?P<level>#+) (?P<title>.+)$", re.MULTILINE)
_HINT = re.compile(r"<!--.*?-->", re.DOTALL)
_ARROW = re.compile(r"[-=.]+>+")


@dataclass(frozen=True, slots=True)
class Section:
    """What a translation may not change in a section; `title` tells where a difference is."""

    title: str
    level: int
    blocks: tuple[tuple[str, str], ...]
    rows: int
    items: int
    words: frozenset[str]
    links: frozenset[str]


def sections(text: str) -> list[Section]:
    """The sections of a text, in their order. A '# ' in a block of code is no heading."""
    blank = _BLOCK.sub(lambda block: re.sub(r"[^\n]", " ", block[0]), text)
    starts = [head.start() for head in _HEAD.finditer(blank)]
    return [section(text[start:end]) for start, end in pairwise([*starts, len(text)])]


def section(text: str) -> Section:
    """The section that begins with its heading."""
    head = _HEAD.match(text)
    assert head is not None
    prose = _HINT.sub("", _BLOCK.sub("", text))
    return Section(
        title=head["title"],
        level=len(head["level"]),
        blocks=tuple(block(found["info"], found["body"]) for found in _BLOCK.finditer(text)),
        rows=len(re.findall(r"^\|", prose, re.MULTILINE)),
        items=len(re.findall(r"^[*-] ", prose, re.MULTILINE)),
        words=frozenset(re.findall(r"`([^`]+)`", prose)),
        links=frozenset(re.findall(r"\]\(([^)]+)\)", prose)) - {ENGLISH, CHINESE},
    )


def block(info: str, body: str) -> tuple[str, str]:
    """A block as both languages must have it: a diagram's arrows, line by line; all else to the letter."""
    if info != "mermaid":
        return info, body
    return info, "\n".join(" ".join(_ARROW.findall(line)) for line in body.splitlines())


def differences(original: str, translation: str) -> list[str]:
    """What the translation has otherwise, a line each, with the section and what both have of it."""
    ours, theirs = sections(original), sections(translation)
    if [each.level for each in ours] != [each.level for each in theirs]:
        return [f"the headings: the original has {outline(ours)}, the translation {outline(theirs)}"]
    return [
        f"'{our.title}', {field}: the original has {show(one, other)}, the translation {show(other, one)}"
        for our, their in zip(ours, theirs, strict=True)
        for field in ("blocks", "rows", "items", "words", "links")
        if (one := getattr(our, field)) != (other := getattr(their, field))
    ]


def outline(found: list[Section]) -> list[str]:
    return [f"{'#' * each.level} {each.title}" for each in found]


def show(one: object, other: object) -> object:
    """What of `one` is not in `other`; all of `one` where it is a number, or where only the order differs."""
    if isinstance(one, tuple | frozenset) and isinstance(other, tuple | frozenset):
        return [each for each in one if each not in other] or f"{len(one)} of them"
    return one


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_translation_follows_its_original(name: str) -> None:
    original = name.replace(".zh.md", ".md")
    found = differences(read(original), read(name))
    assert not found, f"bring {name} up to date with {original}:\n" + "\n".join(found)


@pytest.mark.parametrize("name", [ENGLISH, CHINESE])
def test_each_readme_leads_to_the_other(name: str) -> None:
    assert read(name).splitlines()[2] == SWITCH[name]


@pytest.mark.parametrize("name", [ENGLISH, CHINESE])
def test_what_a_readme_links_to_is_there(name: str) -> None:
    links = {link.partition("#")[0] for each in sections(read(name)) for link in each.links}
    missing = sorted(link for link in links if "://" not in link and not (ROOT / link).exists())
    assert not missing, f"{name} links to {missing}, which {ROOT.name} does not have"


def test_the_list_of_lessons_has_every_lesson_and_translation() -> None:
    (found,) = sections(read("tutorials/README.md"))
    assert found.links == {path.name for path in (ROOT / "tutorials").glob("[0-9][0-9]-*.md")}


ORIGINAL = (
    "# T\n\n## A\n\nRun `one`, see [it](x).\n\n```sh\none\n# two\n```\n\n## B\n\n| a |\n|---|\n| `b` |\n"
)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("one\n# two", "one\n# three", "'A', blocks"),
        ("`one`", "`two`", "'A', words"),
        ("(x)", "(y)", "'A', links"),
        ("| `b` |\n", "", "'B', rows"),
        ("## B", "### B", "the headings"),
        ("## B\n", "## B\n\n## C\n", "the headings"),
        ("Run", "* Run", "'A', items"),
    ],
)
def test_what_a_translation_may_not_change_is_told(old: str, new: str, told: str) -> None:
    assert not differences(ORIGINAL, ORIGINAL)
    found = differences(ORIGINAL, ORIGINAL.replace(old, new))
    assert any(each.startswith(told) for each in found), found


def test_labels_of_a_diagram_may_be_translated_but_not_its_arrows() -> None:
    diagram = '# T\n\n```mermaid\nflowchart LR\n  you((you)) -- "asks" --> a["A"]\n```\n'
    translated = diagram.replace("((you))", "((您))").replace("asks", "询问")
    assert not differences(diagram, translated)
    assert differences(diagram, translated.replace("-->", "-.->"))
