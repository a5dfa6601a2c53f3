"""Is what came what the lesson prints? Names and numbers that differ from run to run count as equal."""

import re

_PATTERNS = (
    (re.compile(r"-[a-z0-9]{6,10}-[a-z0-9]{5}\b"), "-ID"),
    (re.compile(r"\b\d+(\.\d+)*(ms|s|m|h|%)?(?![\w.])"), "N"),
    (re.compile(r"[ \t]+"), " "),
)


def normal(text: str) -> list[str]:
    """The lines, with generated names and numbers as placeholders.

    >>> normal("forecast-v1-8zsw5478j9-kkmn8   2/2   Running   17s")
    ['forecast-v1-ID N/N Running N']
    """
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return [line.strip() for line in text.strip().splitlines()]


def difference(said: str, came: str) -> str:
    """Empty if they agree, else one sentence. A line `...` stands for any number of lines."""
    parts = [".*" if line == "..." else re.escape(line) for line in normal(said)]
    pattern = "\n".join(parts).replace("\n.*\n", "\n(?:.*\n)?").replace("\n.*", "(?:\n.*)?")
    if re.fullmatch(pattern, "\n".join(normal(came)), re.DOTALL):
        return ""
    return f"the lesson prints\n{said}\nbut what came is\n{came}"
