"""P1: compiled expressions come to what a plain walk over their trees comes to, whatever they are."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.mixer.bag import Bag, Recording, value_of
from mesh.rules.expressions import Absent, EvaluationError, compile_expression, parse
from mesh.rules.expressions.literals import quoted
from mesh.rules.types import ValueType as V
from mesh.rules.vocabulary import ATTRIBUTES
from tests.rules.walker import Walker

pytestmark = pytest.mark.behaviour("P1")
Text = st.SearchStrategy[str]

TEXTS = st.sampled_from(["", "a", "web", "web-1", "we*", "*b", "äö", "WEB", "10ms", "x" * 40])
MAPS = st.dictionaries(st.sampled_from(["app", "version", ""]), TEXTS, max_size=2)
INTS = st.sampled_from([0, 1, -1, 200, 2**63 - 1, -(2**63)])
TIMES = st.sampled_from([datetime(2020, 1, day, tzinfo=UTC) for day in (1, 2)])
VALUES: Mapping[V, st.SearchStrategy[Any]] = {
    V.STRING: TEXTS,
    V.INT64: INTS,
    V.BOOL: st.booleans(),
    V.STRING_MAP: MAPS,
    V.DURATION: st.sampled_from([timedelta(), timedelta(milliseconds=10), timedelta(seconds=3)]),
    V.IP_ADDRESS: st.sampled_from([bytes([10, 0, 0, 1]), bytes(15) + b"\1"]),
    V.TIMESTAMP: TIMES,
}
NAMES: Mapping[V, tuple[str, ...]] = {
    V.STRING: ("source.name", "request.path"),
    V.INT64: ("response.code", "request.size"),
    V.BOOL: ("connection.mtls",),
    V.STRING_MAP: ("source.labels", "request.headers"),
    V.DURATION: ("response.duration",),
    V.IP_ADDRESS: ("source.ip",),
    V.TIMESTAMP: ("request.time",),
}
BAGS = st.fixed_dictionaries(
    {}, optional={name: VALUES[kind] for kind, names in NAMES.items() for name in names}
)
LITERALS: Mapping[V, Text] = {
    V.STRING: TEXTS.map(quoted),
    V.INT64: INTS.map(str),
    V.BOOL: st.sampled_from(["true", "false"]),
    V.STRING_MAP: st.just("emptyStringMap()"),
    V.DURATION: st.sampled_from(['"10ms"', '"0s"', '"3s"', '"3000ms"']),
    V.IP_ADDRESS: st.sampled_from(['ip("10.0.0.1")', 'ip("::1")', 'ip("::ffff:10.0.0.1")']),
    V.TIMESTAMP: st.just('timestamp("2020-01-02T00:00:00+00:00")'),
}


@cache
def texts(kind: V, depth: int) -> Text:
    """Expressions of a type."""
    leaves = LITERALS[kind] | st.sampled_from(NAMES[kind])
    if depth == 0:
        return leaves
    same = texts(kind, depth - 1)
    made = [
        leaves,
        st.builds("({} | {})".format, same, same),
        st.builds("conditional({}, {}, {})".format, texts(V.BOOL, depth - 1), same, same),
    ]
    if kind in (V.STRING, V.INT64):
        made.append(st.builds("({} + {})".format, same, same))
    if kind is V.STRING:
        made += strings(depth - 1)
    if kind is V.INT64:
        made.append(st.builds("size({})".format, texts(V.STRING, depth - 1)))
    if kind is V.BOOL:
        made += questions(depth - 1)
    return st.one_of(made)


def strings(depth: int) -> list[Text]:
    inner = texts(V.STRING, depth)
    return [
        st.builds("{}[{}]".format, st.sampled_from(NAMES[V.STRING_MAP]), inner),
        st.builds("({})[{}]".format, texts(V.STRING_MAP, depth), inner),
        st.builds("{}({})".format, st.sampled_from(["toLower", "reverse"]), inner),
    ]


def questions(depth: int) -> list[Text]:
    inner, string = texts(V.BOOL, depth), texts(V.STRING, depth)
    order = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
    equal = st.sampled_from(["==", "!="])
    return [
        st.builds("({} {} {})".format, inner, st.sampled_from(["&&", "||"]), inner),
        st.builds("!({})".format, inner),
        st.builds("match({}, {})".format, string, string),
        st.builds("({}).{}({})".format, string, st.sampled_from(["startsWith", "endsWith"]), string),
        st.builds('"^[a-w]+e".matches({})'.format, string),
        *(
            st.builds("({} {} {})".format, texts(kind, depth), order, texts(kind, depth))
            for kind in (V.STRING, V.INT64, V.DURATION, V.TIMESTAMP)
        ),
        st.builds("({} {} {})".format, texts(V.IP_ADDRESS, depth), equal, texts(V.IP_ADDRESS, depth)),
    ]


PLAIN = (V.STRING, V.INT64, V.DURATION, V.TIMESTAMP)
PATTERNS = TEXTS.map(quoted) | st.sampled_from(['"*"', '"w*"', '"*1"', '"*b*"', '""'])


def plain() -> Text:
    """What rules mostly say: attributes and keys held against literals, one after the other."""
    order = st.sampled_from(["==", "==", "!=", "<", "<=", ">", ">="])
    named = [(st.sampled_from(NAMES[kind]), LITERALS[kind]) for kind in PLAIN]
    keys = st.builds('{}["{}"]'.format, st.sampled_from(NAMES[V.STRING_MAP]), st.sampled_from(["app", "no"]))
    one = st.one_of(
        *(st.builds("{} {} {}".format, names, order, literals) for names, literals in named),
        st.builds("{} {} {}".format, keys, order, LITERALS[V.STRING]),
        st.builds("({} | {}) {} {}".format, keys, LITERALS[V.STRING], order, LITERALS[V.STRING]),
        st.builds("match({}, {})".format, st.sampled_from(NAMES[V.STRING]) | keys, PATTERNS),
        st.builds("({} + {}) {} {}".format, named[1][0], named[1][1], order, named[1][1]),
    )
    some = st.lists(one, min_size=1, max_size=4)
    return some.map(" && ".join) | some.map(" || ".join)


def outcome(make: Any) -> Any:
    """The value with its type, or in which way there was none."""
    try:
        value = make()
    except Absent:
        return "absent"
    except EvaluationError:
        return "failed"
    return type(value), value


KINDS = [V.BOOL, V.STRING, V.INT64, V.DURATION]


@given(st.sampled_from(KINDS).flatmap(lambda kind: st.tuples(st.just(kind), texts(kind, 3))), BAGS)
@settings(deadline=None, database=None, max_examples=300)
def test_compiled_is_as_walked(given: tuple[V, str], values: dict[str, Any]) -> None:
    kind, text = given
    compiled = compile_expression(text, expected=kind)
    plain = outcome(lambda: compiled.evaluate(Bag(values)))
    assert plain == outcome(lambda: Walker(values, ATTRIBUTES).evaluate(parse(text), str(kind)))
    noting = Recording(values)
    assert plain == outcome(lambda: compiled.evaluate(noting))
    assert {each if isinstance(each, str) else each[0] for each in noting.references} <= compiled.attributes


@given(plain(), BAGS)
@settings(deadline=None, database=None, max_examples=500)
def test_plain_matches_are_as_walked(text: str, values: dict[str, Any]) -> None:
    compiled = compile_expression(text, expected=V.BOOL)
    walked = outcome(lambda: Walker(values, ATTRIBUTES).evaluate(parse(text), str(V.BOOL)))
    assert outcome(lambda: compiled.evaluate(Bag(values))) == walked


@given(texts(V.BOOL, 3), BAGS, BAGS)
@settings(deadline=None, database=None, max_examples=150)
def test_what_was_read_decides(text: str, values: dict[str, Any], others: dict[str, Any]) -> None:
    """Attributes that agree in all that was referred to come to the same: the check cache rests on it."""
    compiled = compile_expression(text, expected=V.BOOL)
    noting = Recording(values)
    found = outcome(lambda: compiled.evaluate(noting))
    if all(value_of(values, each) == value_of(others, each) for each in noting.references):
        assert found == outcome(lambda: compiled.evaluate(Bag(others)))


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["a.b", "(", ")", "|", "!", "1", '"x"', "f", ",", "["])).map("".join)
)
@settings(deadline=None, database=None, max_examples=200)
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        tree = parse(text)
    except ValueError:
        return
    assert parse(str(tree)) == tree
