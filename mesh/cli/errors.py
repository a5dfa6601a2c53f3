"""Errors that end `meshctl`, each with the exit code that scripts see."""


class CommandError(Exception):
    """Something that the user can mend: `message` says what is wrong, `remedy` the next step."""

    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "", exit_code: int | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.exit_code = exit_code or type(self).exit_code


class NoCluster(CommandError):
    """No cluster could be found or reached."""

    exit_code = 3


class NotInForce(CommandError):
    """A change was refused, or was not in force in time."""

    exit_code = 4
