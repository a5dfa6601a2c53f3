"""Values of literals. Source: Go's language specification, whose literals Mixer's language has."""

import math
import re

from mesh.rules.expressions.errors import ExpressionError
from mesh.rules.expressions.lexer import Token

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)
_SIMPLE = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"',
}  # fmt: skip
_HEX = {"x": 2, "u": 4, "U": 8}
LEAST, GREATEST = -(2**63), 2**63 - 1
_DIGITS = 20


def literal(word: Token, text: str) -> str | int | float:
    """The value of a literal in `text`. Raises `ExpressionError` for a bad escape or a number too large."""
    if word.kind == "string":
        return unquoted(word, text)
    if word.kind == "float":
        number = float(word.text)
        if math.isinf(number):
            raise ExpressionError(text, word.position, f"{word.text[:40]} is too large for a DOUBLE")
        return number
    if len(word.text) > _DIGITS or not LEAST <= int(word.text) <= GREATEST:
        raise ExpressionError(text, word.position, f"{word.text[:40]} is too large for an INT64")
    return int(word.text)


def unquoted(word: Token, text: str) -> str:
    """The text of a string literal; between backquotes nothing is escaped."""
    inner = word.text[1:-1]
    if word.text[0] == "`":
        return inner.replace("\r", "")
    return _ESCAPE.sub(lambda found: _escaped(found, word, text), inner)


def _escaped(found: re.Match[str], word: Token, text: str) -> str:
    code = found[1]
    if code in _SIMPLE:
        return _SIMPLE[code]
    try:
        if code[0] in _HEX and len(code) > 1:
            return _character(int(code[1:], 16))
        if code.isdigit() and len(code) > 1:
            return _character(int(code, 8))
    except ValueError:
        pass
    raise ExpressionError(
        text,
        word.position + 1 + found.start(),
        f"\\{code} is no escape",
        "write \\\\ for a backslash, or use `",
    )


def _character(code: int) -> str:
    """A character; halves of pairs are none."""
    if 0xD800 <= code < 0xE000:
        raise ValueError
    return chr(code)


def quoted(text: str) -> str:
    """A string literal for a text."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(each if each >= " " else f"\\x{ord(each):02x}" for each in escaped) + '"'
