"""Files for Locust, to be copied: `locust -f weather_http.py --host http://GATEWAY`."""

from pathlib import Path

FOLDER = Path(__file__).parent
OURS = {"http": FOLDER / "weather_http.py", "grpc": FOLDER / "weather_grpc.py"}
"""By what they speak. Locust imports a file by its name: one called `http.py` would hide Python's own."""


class NoLocustfileError(ValueError):
    """Neither one of ours nor a file; `remedy` says what there is."""

    exit_code = 2

    def __init__(self, named: str) -> None:
        super().__init__(f"there is no Locust file {named!r}")
        self.remedy = f"name one of {', '.join(OURS)}, or the path of a file of yours"


def locustfile(named: str) -> Path:
    """The file behind `http`, `grpc` or a path; raises NoLocustfileError."""
    path = OURS.get(named) or Path(named)
    if not path.is_file():
        raise NoLocustfileError(named)
    return path.absolute()
