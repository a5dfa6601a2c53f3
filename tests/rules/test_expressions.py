"""P1: what expressions come to, which types they have, and what is said of wrong ones."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mesh.mixer.bag import Bag, Recording
from mesh.rules.expressions import Absent, EvaluationError, ExpressionError, compile_expression
from mesh.rules.types import ValueType as V

pytestmark = pytest.mark.behaviour("P1")
VALUES: dict[str, Any] = {
    "source.name": "web-1",
    "source.labels": {"app": "web"},
    "source.ip": bytes([10, 0, 0, 1]),
    "request.headers": {"x": "1", "end-user": "jason"},
    "request.path": "/weather?city=a",
    "request.size": 5,
    "request.time": datetime(2020, 5, 1, tzinfo=UTC),
    "response.duration": timedelta(milliseconds=20),
    "response.code": 503,
    "connection.mtls": True,
}


def value(text: str) -> Any:
    return compile_expression(text).evaluate(Bag(VALUES))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('source.labels["app"] | "unknown"', "web"),
        ('source.labels["no"] | source.user | "unknown"', "unknown"),
        ('(source.labels | emptyStringMap())["no"] | "none"', "none"),
        ('(response.headers | emptyStringMap())["a"]', ""),
        ('source.labels["no"]', ""),
        ('request.headers["absent"] != "a"', True),
        ('match(source.name, "web-*") && request.size >= 5', True),
        ('match(source.name, "*-1")', True),
        ('"^web".matches(source.name) || false', True),
        ('"eb".matches(source.name)', True),
        ('source.name.startsWith("b")', False),
        ('request.headers["end-user"].endsWith("son")', True),
        ('response.duration > "10ms"', True),
        ('response.duration == "0.02s"', True),
        ('conditional(connection.mtls, "1s", "2s") < response.duration', False),
        ('source.ip == ip("10.0.0.1")', True),
        ('source.ip == ip("::ffff:10.0.0.1")', True),
        ('ip("::1") == ip("0:0::1")', True),
        ('request.time < timestamp("2020-05-01T02:00:00+01:00")', True),
        ('request.time == timestamp("2020-05-01T02:00:00+02:00")', True),
        ('dnsName("Istio.io.") == dnsName("istio.io")', True),
        ('email("me@Istio.io") == email("me@istio.io")', True),
        ('email("Me@istio.io") == email("me@istio.io")', False),
        ('uri("HTTP://Istio.io:80/A") == uri("http://istio.io:80/A")', True),
        ('uri("http://istio.io/A") == uri("http://istio.io/a")', False),
        ('toLower(reverse("AB"))', "ba"),
        ('conditional(request.size + 1 == 6, `y`, "n")', "y"),
        ("size(source.name)", 5),
        ('size("ä")', 2),
        ('"a" + "b" | "c"', "ab"),
        ("9223372036854775807 + 1", -(2**63)),
        ("1.5 + 1e3", 1001.5),
        (r'"a\x41\u00e4\101\n\\\""', 'aAäA\n\\"'),
        (r"`\d`", r"\d"),
        ("TRUE && !False", True),
        ("response.code | 200 == 503", True),
        ('!(source.name == "a") && (true || source.user == "x")', True),
    ],
)
def test_an_expression_has_a_value(text: str, expected: Any) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('"10ms"', V.STRING), ('response.duration | "10ms"', V.DURATION), ("request.headers", V.STRING_MAP),
        ("request.auth.claims", V.STRING_MAP), ("source.ip", V.IP_ADDRESS), ("response.code", V.INT64),
        ('uri("a:b")', V.URI), ("1.0", V.DOUBLE), ("request.time", V.TIMESTAMP), ("connection.mtls", V.BOOL),
    ],
)  # fmt: skip
def test_an_expression_has_a_type(text: str, kind: V) -> None:
    assert compile_expression(text).type is kind


def test_a_literal_of_a_duration_is_one_where_one_is_wanted() -> None:
    assert compile_expression('"10ms"', expected=V.DURATION).evaluate(None) == timedelta(milliseconds=10)


@pytest.mark.parametrize(
    "text",
    ['source.user == "a"', 'response.headers["a"]', 'toLower(source.user) == "a"', 'source.user + "a"',
     "false || connection.requested_server_name == `a`"],
)  # fmt: skip
def test_what_is_absent_fails_the_expression(text: str) -> None:
    with pytest.raises(Absent, match="is absent, and no default is given"):
        value(text)


def test_a_value_that_cannot_be_made_is_no_absence() -> None:
    with pytest.raises(EvaluationError, match="'web-1' is not an IP address"):
        value('(ip(source.name) | ip("1.2.3.4")) == source.ip')


def test_what_was_read_is_noted_and_no_more() -> None:
    bag = Recording(VALUES)
    expression = compile_expression(
        'source.user | source.labels["no"] | request.headers["x"] | request.path | source.name'
    )
    assert expression.evaluate(bag) == "1"
    assert bag.references == {
        "source.user": None, ("source.labels", "no"): None, ("request.headers", "x"): "1",
    }  # fmt: skip
    assert expression.headers == {("source.labels", "no"), ("request.headers", "x")}
    assert {"request.path", "source.user", "request.headers"} <= expression.attributes


@pytest.mark.parametrize(
    ("text", "words", "position", "remedy"),
    [
        ("source.nme == `a`", "'source.nme' is not an attribute", 1, "did you mean source.name"),
        ("request.size == `a`", "STRING where INT64 is expected", 17, ""),
        ("request.size == 1.5", "DOUBLE where INT64 is expected", 17, ""),
        ("source.ip == `1.2.3.4`", "STRING where IP_ADDRESS", 14, 'write ip("1.2.3.4")'),
        ("request.headers == request.headers", "== does not take STRING_MAP", 17, ""),
        ("request.headers + request.headers", r"\+ does not take STRING_MAP", 17, ""),
        ("request.headers == `a`", "STRING where STRING_MAP", 20, ""),
        ("connection.mtls < true", "< does not take BOOL", 17, "it takes STRING"),
        ("source.name && true", "source.name is STRING where BOOL is expected", 1, ""),
        ("source.labels[app]", "'app' is not an attribute", 15, ""),
        ('"(".matches(source.name)', "not a regular expression of RE2", 1, ""),
        ('true && "a{2,1}".matches(source.name)', "not a regular expression of RE2", 9, ""),
        ('ip("1.2.3")', "'1.2.3' is not an IP address", 4, ""),
        ('timestamp("2020-01-01")', "is not a time of RFC 3339", 11, ""),
        ('dnsName("a b")', "not a DNS name", 9, ""),
        ('email("a")', "not an e-mail address", 7, ""),
        ('uri("")', "is not a URI", 5, ""),
        ("mach(source.name, `a`)", "'mach' is not a function", 1, "did you mean match"),
        ("startsWith(source.name, `a`)", "is a method", 1, ""),
        ("source.name.size()", "is a function", 13, ""),
        ("size()", "size takes 1 argument, not 0", 1, ""),
        ("match(`a`)", "match takes 2 arguments, not 1", 1, ""),
        ("conditional(true, 1, `a`)", "STRING where INT64", 22, ""),
        ("a &&", "found the end where a value is expected", 5, ""),
        ("a = b", "'=' has no meaning here", 3, "compare with =="),
        ("'a' == source.name", "has no meaning", 1, "put strings in"),
        ('source.name == "a', "has no meaning", 16, "end the string"),
        (r'"\d"', r"\\d is no escape", 2, "write"),
        ("9223372036854775808", "too large for an INT64", 1, ""),
        ("-9223372036854775809 == 1", "too large for an INT64", 1, ""),
        ("1e999", "too large for a DOUBLE", 1, ""),
        ("(" * 100, "nested too deeply", 41, "split it"),
        ("source.name source.name", "found 'source' where an operator", 13, ""),
        ("", "found the end where a value", 1, ""),
        ("true " + "|| true" * 300, "operators in a row", 1056, ""),
    ],
)
def test_a_fault_has_a_position_and_a_remedy(text: str, words: str, position: int, remedy: str) -> None:
    with pytest.raises(ExpressionError, match=words) as caught:
        compile_expression(text)
    assert (caught.value.position, caught.value.text) == (position, text)
    assert remedy in caught.value.remedy


def test_the_type_that_is_expected_is_demanded() -> None:
    with pytest.raises(
        ExpressionError, match=r"request\.size is INT64 where BOOL is expected, at character 1"
    ):
        compile_expression("request.size", expected=V.BOOL)


@pytest.mark.parametrize("sign", ["|", "+", "&&", "||", "=="])
def test_long_chains_are_checked_at_once(sign: str) -> None:
    """A checker that types a part more than once would not come to an end."""
    word = "true" if sign in ("&&", "||", "==") else '"a"'
    compile_expression(f" {sign} ".join([word] * 100))
    nested = word
    for _ in range(30):
        nested = f"({nested} {sign} {word})"
    assert compile_expression(nested).type in (V.STRING, V.BOOL)
