"""From text to tokens."""

import re
from typing import NamedTuple

from mesh.rules.expressions.errors import ExpressionError

MOST = 2000
"""Tokens of an expression: bounds the time that any text takes."""

_TOKEN = re.compile(
    r"""(?P<space>\s+)|(?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
    |(?P<float>-?\d+\.\d+(?:[eE][-+]?\d+)?|-?\d+[eE][-+]?\d+)|(?P<int>-?\d+)
    |(?P<name>[A-Za-z_]\w*(?:-\w+)*)|(?P<sign>\|\||&&|==|!=|<=|>=|[|!<>+\[\]().,])""",
    re.VERBOSE | re.ASCII,
)
_HINTS = {
    "'": 'put strings in " or `',
    '"': "end the string with the same quote",
    "`": "end the string with the same quote",
    "=": "compare with ==",
    "&": "write && for and",
    "-": "there is no subtraction; compare with a sum",
    "*": "use match(value, pattern) or a regular expression",
}


class Token(NamedTuple):
    """A word of an expression; `position` counts characters from 1."""

    kind: str
    text: str
    position: int


def tokens(text: str) -> list[Token]:
    """All tokens, and one of kind `end`. Raises `ExpressionError` at what is none."""
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ExpressionError(text, at + 1, f"{text[at]!r} has no meaning here", _HINTS.get(text[at], ""))
        if match.lastgroup != "space":
            found.append(Token(str(match.lastgroup), match.group(), at + 1))
        if len(found) > MOST:
            raise ExpressionError(text, at + 1, f"is longer than {MOST} words", "split it into several rules")
        at = match.end()
    return [*found, Token("end", "", len(text) + 1)]
