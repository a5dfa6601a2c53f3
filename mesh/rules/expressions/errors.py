"""What can be wrong with an expression: its text, when it is admitted; its values, when it is evaluated."""


class ExpressionError(ValueError):
    """The text is no expression, or its types do not fit. `position` counts characters from 1."""

    def __init__(self, text: str, position: int, message: str, remedy: str = "") -> None:
        super().__init__(f"{message}, at character {position} of {excerpt(text, position)!r}")
        self.text, self.position, self.message, self.remedy = text, position, message, remedy


class EvaluationError(Exception):
    """A value could not be made of these attributes."""


class Absent(EvaluationError):
    """An attribute is absent, and no default is given by `|`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"attribute {self.name} is absent, and no default is given by |"


def excerpt(text: str, position: int, around: int = 40) -> str:
    """A text, or where it is long what stands around a position (from 1)."""
    if len(text) <= 2 * around:
        return text
    begin = max(0, position - 1 - around)
    end = begin + 2 * around
    return f"{'...' if begin else ''}{text[begin:end]}{'...' if end < len(text) else ''}"
