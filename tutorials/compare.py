"""Is what came what the lesson prints? What is generated or measured counts as equal."""

import re

_GENERATED = (
    (re.compile(r"-[a-z0-9]{6,10}-[a-z0-9]{5}\b"), "-ID"),  # a Deployment's Pod
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?"), "TIME"),
    (re.compile(r"\b\d+\.\d+\.\d+\.\d+\b"), "ADDRESS"),
    (re.compile(r"\b(\d+(\.\d+)?(ms|s|m|h|d))+(?!\w)|\b\d+(\.\d+)? (ms|s)\b"), "TIME"),
    (re.compile(r"\b\d+\.\d+ ?%"), "SHARE"),
    (re.compile(r"in force at \d+ prox(y|ies)"), "in force"),  # others' Pods come and go
    (re.compile(r"[ \t]+"), " "),
)
_NUMBER = (re.compile(r"\b\d+(\.\d+)*(?![\w.])"), "N")


def normal(text: str, *, about: bool = False) -> list[str]:
    """The lines, with placeholders for names, moments, durations and addresses; `about`: for all numbers.

    >>> normal("forecast-v1-8zsw5478j9-kkmn8   2/2   Running   17s")
    ['forecast-v1-ID 2/2 Running TIME']
    >>> normal("in force at 6 proxies (22 ms)", about=True)
    ['in force (TIME)']
    """
    for pattern, instead in (*_GENERATED, *([_NUMBER] if about else [])):
        text = pattern.sub(instead, text)
    return [line.strip() for line in text.strip().splitlines()]


def difference(said: str, came: str, *, about: bool = False) -> str:
    """Empty if they agree, else one sentence. A line `...` stands for lines, `...` in a line for text."""
    parts = [
        ".*" if line == "..." else re.escape(line).replace(r"\.\.\.", "[^\n]*")
        for line in normal(said, about=about)
    ]
    pattern = "\n".join(parts).replace("\n.*\n", "\n(?:.*\n)?").replace("\n.*", "(?:\n.*)?")
    pattern = re.sub(r"\A\.\*\n", "(?:.*\n)?", pattern)
    if re.fullmatch(pattern, "\n".join(normal(came, about=about)), re.DOTALL):
        return ""
    return f"the lesson prints\n{said}\nbut what came is\n{came}"
