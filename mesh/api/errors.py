"""What is wrong with a configuration: every problem with its object, path, value and remedy."""

from collections.abc import Sequence
from dataclasses import dataclass

from mesh.model import ObjectKey


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault. `path` is that of the field (`spec.http[0].route`), `origin` file and line where known."""

    object: ObjectKey
    path: str
    message: str
    remedy: str = ""
    origin: str = ""

    def __str__(self) -> str:
        place = f" ({self.origin})" if self.origin else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.object}{place}: {self.path}: {self.message}{remedy}"


class ConfigError(Exception):
    """A configuration that cannot be used; `problems` are all that were found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)
        self.remedy = "mend the fields that are named, and apply again"
