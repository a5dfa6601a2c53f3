"""From an instance's parameters to what makes instances: expressions compiled, in the template's shape."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic.alias_generators import to_snake

from mesh.api.checks import Fault
from mesh.rules.adapter import Instance
from mesh.rules.expressions import Absent, Expression, ExpressionError, compile_expression
from mesh.rules.templates import OPTIONAL_MAPS, Any_, Field, MapOf, Message, Template
from mesh.rules.types import ValueType

Vocabulary: TypeAlias = Mapping[str, ValueType]
Types: TypeAlias = Mapping[str, ValueType | Mapping[str, ValueType]]


@dataclass(frozen=True, slots=True)
class Group:
    """Expressions by name, groups within groups; an absent one is left out unless `strict`."""

    parts: "Mapping[str, Made]"
    strict: frozenset[str] = frozenset()
    all_strict: bool = False

    def expressions(self) -> Iterator[Expression]:
        """All of them."""
        for part in self.parts.values():
            if isinstance(part, Group):
                yield from part.expressions()
            else:
                yield part

    def made(self) -> "tuple[tuple[str, Callable[[Any], Any], bool], ...]":
        """What makes each value: name, closure, whether its absence fails all."""
        return tuple(
            (name, _maker(part), self.all_strict or name in self.strict) for name, part in self.parts.items()
        )


Made: TypeAlias = Expression | Group


def _maker(part: Made) -> Callable[[Any], Any]:
    if isinstance(part, Group):
        steps = part.made()
        return lambda bag: _values(steps, bag)
    return part.evaluate


def _values(steps: tuple[tuple[str, Callable[[Any], Any], bool], ...], bag: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, make, strict in steps:
        try:
            found[name] = make(bag)
        except Absent:
            if strict:
                raise
    return found


@dataclass(frozen=True, slots=True)
class Builder:
    """Makes instances of one template. `references` and `headers` are what its expressions may refer to.

    `types` are those of the fields: of a map or message, by name (`properties.version` within a message).
    """

    template: Template
    group: Group
    types: Types
    references: frozenset[str]
    headers: frozenset[tuple[str, str]]
    _steps: tuple[tuple[str, Callable[[Any], Any], bool], ...] = field(repr=False, compare=False)

    def build(self, bag: Any, name: str) -> Instance:
        """An instance for a bag of attributes; raises `Absent` or `EvaluationError`."""
        return Instance(name, self.template.name, _values(self._steps, bag))

    def expression(self, *path: str) -> Expression | None:
        """The expression of a field, by its name or path; None if it is not given."""
        found: Made = self.group
        for step in path:
            if not isinstance(found, Group) or step not in found.parts:
                return None
            found = found.parts[step]
        return found if isinstance(found, Expression) else None


class ParametersError(ValueError):
    """Parameters that make no instance; `faults` are all, with paths from the parameters on."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"{each.path}: {each.message}" for each in faults))
        self.faults = tuple(faults)


def instance_builder(template: Template, params: Mapping[str, Any], attributes: Vocabulary) -> Builder:
    """What makes instances of a template with these parameters. Raises `ParametersError` with all faults."""
    faults: list[Fault] = []
    group = _group(template.fields, params, "", attributes, faults)
    for name in sorted(template.required - OPTIONAL_MAPS - set(group.parts)):
        if not any(each.path.partition(".")[0] in (name, _camel(name)) for each in faults):
            faults.append(Fault(_camel(name), "is missing", "add it"))
    if faults:
        raise ParametersError(faults)
    parts = {
        name: Group(part.parts, all_strict=True)
        if isinstance(part, Group) and name in template.required
        else part
        for name, part in group.parts.items()
    }
    group = Group(parts, strict=template.required)
    found = list(group.expressions())
    return Builder(
        template,
        group,
        {name: _types(part) for name, part in parts.items()},
        frozenset(name for each in found for name in each.attributes),
        frozenset(key for each in found for key in each.headers),
        group.made(),
    )


def _types(part: Made) -> ValueType | Mapping[str, ValueType]:
    if isinstance(part, Expression):
        return part.type
    found: dict[str, ValueType] = {}
    for name, each in part.parts.items():
        types = _types(each)
        found |= (
            {name: types} if isinstance(types, ValueType) else {f"{name}.{k}": v for k, v in types.items()}
        )
    return found


def _group(
    fields: Mapping[str, Field],
    params: Mapping[str, Any],
    path: str,
    attributes: Vocabulary,
    faults: list[Fault],
) -> Group:
    """The fields of a template or message that are given; what is wrong goes to `faults`."""
    parts: dict[str, Made] = {}
    for written, value in params.items():
        name, place = to_snake(str(written)), f"{path}{written}"
        if name not in fields:
            faults.append(Fault(place, "there is no such field", _near(str(written), fields)))
            continue
        if name in parts:
            faults.append(Fault(place, "stands twice, in two spellings", "leave one out"))
            continue
        made = _part(fields[name], value, place, attributes, faults)
        if made is not None:
            parts[name] = made
    return Group(parts)


def _part(kind: Field, value: Any, path: str, attributes: Vocabulary, faults: list[Fault]) -> Made | None:
    if isinstance(kind, ValueType | Any_):
        return _expression(value, path, attributes, kind if isinstance(kind, ValueType) else None, faults)
    if not isinstance(value, Mapping):
        faults.append(Fault(path, f"is {value!r:.60}", "write a mapping of names to expressions"))
        return None
    if isinstance(kind, Message):
        return _group(kind.fields, value, f"{path}.", attributes, faults)
    return _map(kind, value, path, attributes, faults)


def _map(
    kind: MapOf, value: Mapping[str, Any], path: str, attributes: Vocabulary, faults: list[Fault]
) -> Group:
    wanted = kind.value if isinstance(kind.value, ValueType) else None
    found = {
        str(key): _expression(each, f"{path}.{key}", attributes, wanted, faults)
        for key, each in value.items()
    }
    return Group({key: made for key, made in found.items() if made is not None})


def _expression(
    value: Any, path: str, attributes: Vocabulary, wanted: ValueType | None, faults: list[Fault]
) -> Expression | None:
    text = written_out(value)
    if text is None or not text.strip():
        faults.append(Fault(path, f"is {value!r:.60}", "write an expression; a text in quotes: '\"text\"'"))
        return None
    try:
        return compile_expression(text, attributes, wanted)
    except ExpressionError as error:
        faults.append(Fault(path, str(error), error.remedy))
        return None


def written_out(value: Any) -> str | None:
    """An expression as text: what YAML read as a number or boolean stands for itself."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    return value if isinstance(value, str) else None


def _near(name: str, fields: Mapping[str, Field]) -> str:
    known = [_camel(each) for each in fields]
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"fields here are {', '.join(known)}" if known else "this template has no fields"


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(each.capitalize() for each in others)
