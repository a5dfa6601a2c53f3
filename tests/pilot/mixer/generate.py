"""Random matches, lists and calls: texts from small sets, so that both outcomes are common."""

import random
from collections.abc import Callable
from typing import Any

from tests.pilot.authz.calls import Call

PRINCIPALS = ("cluster.local/ns/weather/sa/frontend", "cluster.local/ns/other/sa/frontend", None)
TEXTS = ("", "a", "ab", "abc", "Abc", "b", "x*", "v1", "a,b", "50%")
PATHS = ("/", "/a", "/a/b", "/a?x=1", "/abc")
METHODS = ("GET", "POST", "PUT")
HEADERS = ("x-a", "x-b", "user-agent")
HOSTS = ("forecast", "forecast.weather", "example.com")
SOURCES = ("127.2.0.1", "127.2.0.2", "127.2.1.9")
GLOBS = ("a*", "*c", "ab", "*", "/a*")
REGEXES = ("^a", "b$", "a.c", "^$", "(a|b)c?", "A")


def quoted(text: str) -> str:
    return '"' + text + '"'


class Made:
    """Makes expressions from a source of chance."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def one(self, given: tuple[Any, ...]) -> Any:
        return self.chance.choice(given)

    def text(self) -> str:
        """An expression that is a STRING."""
        forms: tuple[Callable[[], str], ...] = (
            self.header, self.header, self.default, lambda: "request.path", lambda: "request.method",
            lambda: 'source.principal | "nobody"', lambda: "source.principal", self.label, self.lowered,
            lambda: "request.url_path", lambda: "request.host", self.chosen, self.looked_up,
            lambda: "context.protocol", lambda: 'request.useragent | "none"', lambda: "request.useragent",
            lambda: 'destination.owner | "none"', lambda: "destination.service.host",
        )  # fmt: skip
        return f"({self.one(forms)()})"

    def header(self) -> str:
        return f"request.headers[{quoted(self.one(HEADERS))}]"

    def default(self) -> str:
        return f"{self.header()} | {self.one((self.header(), quoted(self.one(TEXTS))))}"

    def label(self) -> str:
        return f"destination.labels[{quoted(self.one(('app', 'version', 'none')))}]"

    def looked_up(self) -> str:
        """What only Mixer knows."""
        return self.one(("source.workload.name", 'source.labels["app"]', 'source.namespace | "none"'))  # type: ignore[no-any-return]

    def lowered(self) -> str:
        return f"toLower({self.header()})"

    def chosen(self) -> str:
        return f"conditional({self.simple()}, {quoted(self.one(TEXTS))}, {self.header()})"

    def simple(self) -> str:
        """A test."""
        forms: tuple[Callable[[], str], ...] = (
            lambda: f"{self.text()} {self.one(('==', '!='))} {quoted(self.one((*TEXTS, *PATHS, *METHODS)))}",
            lambda: f"match({self.text()}, {quoted(self.one(GLOBS))})",
            lambda: f"{self.text()}.startsWith({quoted(self.one(TEXTS))})",
            lambda: f"{self.text()}.endsWith({quoted(self.one(TEXTS))})",
            lambda: f"{quoted(self.one(REGEXES))}.matches({self.text()})",
            lambda: f"source.ip == ip({quoted(self.one(SOURCES))})",
            lambda: "connection.mtls",
            lambda: f"match(source.principal, {quoted('*/sa/frontend')})",
            lambda: f"{self.one(('true', 'false'))}",
        )
        return self.one(forms)()  # type: ignore[no-any-return]

    def match(self, depth: int = 2) -> str:
        """An expression that is a BOOL."""
        if depth == 0 or self.chance.random() < 0.25:
            return f"({self.simple()})"
        sign = self.one(("&&", "||", "!"))
        if sign == "!":
            return f"!({self.match(depth - 1)})"
        return f"({self.match(depth - 1)} {sign} {self.match(depth - 1)})"

    def entries(self, kind: str) -> list[str]:
        """Entries of a list."""
        given = REGEXES if kind == "REGEX" else (*TEXTS, *PATHS, "GET", "frontend")
        return sorted({self.one(given) for _ in range(self.chance.randint(1, 4))})

    def role(self, name: str) -> dict[str, Any]:
        """A role that grants something."""
        rule: dict[str, Any] = {"services": [self.one(("*", "*", "forecast*", "nothing"))]}
        rule["methods"] = [self.one(("*", "GET", "P*"))]
        if self.chance.random() < 0.3:
            rule["paths"] = [self.one(("/a*", "*c", "/"))]
        return {"name": name, "rules": [rule]}

    def subject(self) -> dict[str, Any]:
        """Who has a role."""
        forms: list[dict[str, Any]] = [
            {"user": self.one(("*", "*", "cluster.local/ns/weather/*", "*/frontend"))},
            {"group": self.one((*GLOBS, "*", "*"))},
            {"properties": {"a": self.one((*TEXTS[1:], "*", "*"))}},
        ]
        chosen = self.chance.sample(forms, self.chance.randint(1, 2))
        return {key: each for form in chosen for key, each in form.items()}

    def call(self) -> Call:
        """A call."""
        chosen = self.chance.sample(HEADERS, self.chance.randint(0, len(HEADERS)))
        identity = self.one(PRINCIPALS)
        return Call(
            identity=identity,
            source=self.one(SOURCES),
            forwarded=self.one((None, None, *SOURCES, "10.9.9.9")),
            method=self.one(METHODS),
            path=self.one(PATHS),
            host=self.one(HOSTS),
            headers={name: self.one(TEXTS) for name in chosen},
        )
