"""What can be wrong with an expression: its text, when it is admitted; its values, when it is evaluated."""


class ExpressionError(ValueError):
    """The text is no expression, or its types do not fit. `position` counts characters from 1."""

    def __init__(self, text: str, position: int, message: str, remedy: str = "") -> None:
        super().__init__(f"{message}, at character {position} of {shortened(text)!r}")
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


def shortened(text: str, longest: int = 80) -> str:
    """A text, cut where it is long."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
