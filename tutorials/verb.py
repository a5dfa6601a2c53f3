"""`meshctl learn`: lessons at the terminal, checked against the running mesh; progress is kept."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli.errors import CommandError
from mesh.cli.options import KubeconfigOption
from tutorials.model import FOLDER, Lesson, Step, lessons

if TYPE_CHECKING:
    from pytest_mesh.demo import Weather

app = typer.Typer(help="Lessons on the running demo, each step checked.", no_args_is_help=True)
LanguageOption = Annotated[
    str, typer.Option("--lang", metavar="CODE", help="Of the words, such as zh, where they are translated.")
]
LessonArgument = Annotated[int, typer.Argument(metavar="LESSON", help="Its number, as 'list' shows it.")]


@app.command(name="list")
def show_list(lang: LanguageOption = "") -> None:
    """List the lessons, and how far each is done."""
    done = progress()
    for each in spoken(lang):
        reached_now = min(done.get(each.name, 0), len(each.steps))
        print(f"{each.number:02}  {reached_now}/{len(each.steps)}  {each.title}")


@app.command(name="next")
def show_next(lesson: LessonArgument, lang: LanguageOption = "") -> None:
    """Show a lesson's next step."""
    found = chosen(lesson, lang)
    step = waiting(found)
    if step is found.steps[0]:
        print(f"# {found.title}\n\n{found.intro}\n")
    print(f"## {step.title}\n\n{step.text}\n\nWhen it is done: meshctl learn check {found.number}")


@app.command()
def check(lesson: LessonArgument, kubeconfig: KubeconfigOption = None) -> None:
    """Ask the live mesh whether the step is done. Exits with 1 if it is not, and says what is missing."""
    from tutorials.runner import Missing
    from tutorials.runner import check as ask

    found = chosen(lesson)
    step = waiting(found)
    with connected(kubeconfig) as weather:
        try:
            ask(step, weather)
        except Missing as error:
            remedy = f"meshctl learn hint {found.number}"
            raise CommandError(f"{step.title}: {error}", remedy=remedy) from None
    reached(found, found.steps.index(step) + 1)
    print(f"done: {step.title}")


@app.command()
def hint(lesson: LessonArgument, lang: LanguageOption = "") -> None:
    """Show the hint of a lesson's next step."""
    print(waiting(chosen(lesson, lang)).hint)


@app.command()
def solve(lesson: LessonArgument, kubeconfig: KubeconfigOption = None) -> None:
    """Do the step's commands for the learner."""
    from tutorials.runner import Missing
    from tutorials.runner import solve as carry_out

    step = waiting(chosen(lesson))
    with connected(kubeconfig) as weather:
        try:
            print(carry_out(step, weather), end="")
        except Missing as error:
            raise CommandError(str(error), remedy=f"meshctl learn reset {lesson}") from None


@app.command()
def reset(lesson: LessonArgument, kubeconfig: KubeconfigOption = None) -> None:
    """Put the cluster back as it was before the lesson, and begin it anew."""
    from tutorials.runner import Missing
    from tutorials.runner import reset as put_back

    found = chosen(lesson)
    with connected(kubeconfig) as weather:
        try:
            put_back(found, weather)
        except Missing as error:
            raise CommandError(str(error), remedy="meshctl status") from None
    reached(found, 0)
    print(f"lesson {found.number} begins anew")


def spoken(language: str) -> list[Lesson]:
    """All lessons, in a language where they are translated; one that nobody writes is refused."""
    known = sorted({path.suffixes[0][1:] for path in FOLDER.glob("[0-9][0-9]-*.*.md")})
    if language and language not in known:
        words = f"no lesson is translated into {language!r}"
        raise CommandError(words, remedy=f"leave --lang out, or use one of: {', '.join(known)}", exit_code=2)
    return lessons(language=language)


def chosen(number: int, language: str = "") -> Lesson:
    """The lesson of a number."""
    for each in spoken(language):
        if each.number == number:
            return each
    raise CommandError(f"there is no lesson {number}", remedy="meshctl learn list", exit_code=2)


def waiting(lesson: Lesson) -> Step:
    """The first step that is not done."""
    done = progress().get(lesson.name, 0)
    if done >= len(lesson.steps):
        remedy = f"meshctl learn reset {lesson.number}"
        raise CommandError(f"lesson {lesson.number} is done", remedy=remedy)
    return lesson.steps[done]


def kept() -> Path:
    """The file of the progress, in the folder of all clusters."""
    from pocketkube.state import home

    return home() / "learn.json"


def progress() -> dict[str, int]:
    """How many steps of each lesson are done; nothing if the file is not there or not ours."""
    try:
        found = json.loads(kept().read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def reached(lesson: Lesson, count: int) -> None:
    """Note how many steps of a lesson are done."""
    kept().parent.mkdir(parents=True, exist_ok=True)
    kept().write_text(json.dumps({**progress(), lesson.name: count}))


@contextmanager
def connected(kubeconfig: Path | None) -> "Iterator[Weather]":
    """The demo in the running mesh."""
    from loadtests.canary.verbs import close, connect
    from pytest_mesh.demo import Weather

    mesh = connect(kubeconfig)
    try:
        yield Weather(mesh)
    finally:
        close(mesh)
