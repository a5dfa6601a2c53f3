"""A lesson and its steps, read from Markdown; the one model of `meshctl learn` and of the tests.

A lesson is one file `NN-name.md`; its translation `NN-name.zh.md` has other words and the same blocks.
Each `## ` section with a check is a step: prose, `sh` blocks (commands, which are the step's solution),
`text` blocks (what the sh block before prints; `text about`: any numbers will do), a `python check` block,
and a `<!-- hint: ... -->`. The one `sh reset` block of a lesson puts the cluster back.
"""

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
_NAME = re.compile(r"(\d\d)-([a-z0-9-]+)\.md")
_BLOCK = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```\s*$", re.MULTILINE | re.DOTALL)
_SECTION = re.compile(r"^## +(?P<title>.+?)\s*$", re.MULTILINE)
_HINT = re.compile(r"<!--\s*hint:\s*(.+?)\s*-->", re.DOTALL)


class LessonError(Exception):
    """A lesson's file does not have the form; the message names file, section and what is missing."""


@dataclass(frozen=True, slots=True)
class Command:
    """One sh block; `output` is what the lesson says that it prints, None if it says nothing.

    `about`: the numbers in it are examples.
    """

    script: str
    output: str | None = None
    about: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One section. `start` and `end` are its place in the file, in characters."""

    title: str
    text: str
    commands: tuple[Command, ...]
    check: str
    hint: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Lesson:
    """One file."""

    number: int
    name: str
    title: str
    intro: str
    steps: tuple[Step, ...]
    reset: str


def lessons(folder: Path = FOLDER, language: str = "") -> list[Lesson]:
    """All lessons of a folder, in their order; those that are translated, in a language such as `zh`."""
    files = [path for path in sorted(folder.glob("[0-9][0-9]-*.md")) if path.name.count(".") == 1]
    return [translated(path, language) if language else read(path) for path in files]


def translated(path: Path, language: str) -> Lesson:
    """A lesson in a language, or as it is if there is no translation.

    `LessonError` names the section whose blocks are others: commands, outputs and checks are shared.
    """
    lesson, other = read(path), path.with_suffix(f".{language}.md")
    if not other.exists():
        return lesson
    found = parse(path.name, other.read_text(encoding="utf-8"))
    if len(found.steps) != len(lesson.steps):
        raise LessonError(f"{other.name}: has {len(found.steps)} steps, {path.name} has {len(lesson.steps)}")
    for mine, its in zip(lesson.steps, found.steps, strict=True):
        if (mine.commands, mine.check) != (its.commands, its.check):
            raise LessonError(
                f"{other.name}, section '{its.title}': its blocks differ from those of {path.name}, "
                f"section '{mine.title}'; copy them"
            )
    if found.reset != lesson.reset:
        raise LessonError(f"{other.name}: its 'sh reset' block differs from that of {path.name}; copy it")
    return found


def read(path: Path) -> Lesson:
    """The lesson in a file."""
    return parse(path.name, path.read_text(encoding="utf-8"))


def parse(file: str, text: str) -> Lesson:
    """The lesson in a text; `LessonError` where it does not have the form."""
    if (named := _NAME.fullmatch(file)) is None:
        raise LessonError(f"{file}: a lesson's file is called NN-name.md, as 02-injection.md")
    if not text.startswith("# "):
        raise LessonError(f"{file}: the first line is the lesson's title: '# ...'")
    heads = list(_SECTION.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    sections = list(zip(heads, ends, strict=True))
    steps = [_step(file, text, h, end) for h, end in sections if "```python check" in text[h.start() : end]]
    resets = [m["body"] for m in _BLOCK.finditer(text) if m["info"].strip() == "sh reset"]
    if not steps or len(resets) != 1:
        raise LessonError(
            f"{file}: has {len(steps)} steps and {len(resets)} 'sh reset' blocks; needs 1+ and 1"
        )
    title, _, rest = text.partition("\n")
    intro = rest[: heads[0].start() - len(title) - 1].strip()
    return Lesson(int(named[1]), named[2], title[2:].strip(), intro, tuple(steps), resets[0])


def _step(file: str, text: str, head: re.Match[str], end: int) -> Step:
    body = text[head.end() : end]
    commands, checks = list[Command](), list[str]()
    for block in _BLOCK.finditer(body):
        match block["info"].strip():
            case "sh":
                commands.append(Command(block["body"]))
            case "text" | "text about" as kind if commands:
                commands[-1] = Command(commands[-1].script, block["body"], kind == "text about")
            case "python check":
                checks.append(block["body"])
    hint = _HINT.search(body)
    if len(checks) != 1 or hint is None or not commands:
        raise LessonError(
            f"{file}, section '{head['title']}': has {len(commands)} sh blocks, {len(checks)} checks and "
            f"{'a' if hint else 'no'} hint; a step needs commands, one check and '<!-- hint: ... -->'"
        )
    shown = _HINT.sub("", _BLOCK.sub(lambda m: "" if "check" in m["info"] else m[0], body))
    return Step(head["title"], shown.strip(), tuple(commands), checks[0], hint[1], head.start(), end)
