"""Checks of content: what a schema cannot say, told for all messages at once, whatever else is broken.

A method of a `Model` marked with `check` yields a `Fault` for each thing that is wrong (or raises
ValueError for one that concerns the whole message); one marked with `advise` yields what is accepted, but not
what somebody will have meant. `faults` and `advice` run them over a whole tree of messages.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

CHECK, ADVICE = "__mesh_check__", "__mesh_advice__"
M = TypeVar("M", bound=BaseModel)
Method = TypeVar("Method", bound=Callable[[Any], Iterable["Fault"] | None])


@dataclass(frozen=True, slots=True)
class Fault:
    """Something about the field at `path`, seen from its message (`subsets[1].name`; "" is the message)."""

    path: str
    message: str
    remedy: str = ""


def check(method: Method) -> Method:
    """Mark a method that tells what is wrong with its message."""
    setattr(method, CHECK, True)
    return method


def advise(method: Method) -> Method:
    """Mark a method that tells what is allowed, but probably not meant."""
    setattr(method, ADVICE, True)
    return method


def faults(message: BaseModel, path: str, *, whole: bool = True) -> Iterator[Fault]:
    """What is wrong in a tree of messages, each with its path; `whole` unless it was made by `partial`."""
    yield from found(message, path, CHECK, whole=whole)


def advice(message: BaseModel, path: str) -> Iterator[Fault]:
    """What is doubtful in a tree of messages, each with its whole path."""
    yield from found(message, path, ADVICE, whole=True)


def found(message: BaseModel, path: str, mark: str, *, whole: bool) -> Iterator[Fault]:
    """What the marked methods of all messages of a tree tell."""
    for place, each in walk(message, path):
        for method in marked(type(each), mark):
            for fault in told(method, each, whole=whole):
                yield Fault(joined(place, fault.path), fault.message, fault.remedy)


@cache
def marked(cls: type[BaseModel], mark: str) -> tuple[Callable[[Any], Iterable[Fault] | None], ...]:
    """The methods of a class that have a mark."""
    names = dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base))
    methods = (getattr(cls, name) for name in names if not name.startswith(("__", "model_")))
    return tuple(method for method in methods if getattr(method, mark, False) is True)


def told(
    method: Callable[[Any], Iterable[Fault] | None], message: BaseModel, *, whole: bool
) -> Iterator[Fault]:
    """What one method tells; nothing where it needs a field that is broken, which is told already."""
    try:
        yield from method(message) or ()
    except ValueError as error:
        yield Fault("", str(error))
    except (AttributeError, TypeError):  # something is not there, or a key is of another type
        if whole:
            raise


def joined(path: str, further: str) -> str:
    """A path and one from there on."""
    return f"{path}.{further}" if path and further and not further.startswith("[") else path + further


def walk(message: BaseModel, path: str) -> list[tuple[str, BaseModel]]:
    """A message and all that are in it, with their paths, the outer one first."""
    found: list[tuple[str, BaseModel]] = []
    _walk(message, path, found)
    return found


def _walk(message: BaseModel, path: str, found: list[tuple[str, BaseModel]]) -> None:
    found.append((path, message))
    values = vars(message)
    for name, alias in holding(type(message)):
        value = values.get(name)
        if not value and not isinstance(value, BaseModel):
            continue
        place = f"{path}.{alias}" if path else alias
        if isinstance(value, BaseModel):
            _walk(value, place, found)
        else:
            for key, each in value.items() if isinstance(value, dict) else enumerate(value):
                if isinstance(each, BaseModel):
                    _walk(each, f"{place}[{key}]", found)


@cache
def holding(cls: type[BaseModel]) -> tuple[tuple[str, str], ...]:
    """The fields that messages may be in: attribute, and name for people."""
    return tuple(
        (name, field.alias or name)
        for name, field in cls.model_fields.items()
        if next(models_in(field.annotation), None) is not None
    )


def partial(cls: type[M], data: Mapping[str, Any]) -> M:
    """A message with those of its fields that are good, and with good parts of the others.

    The rest is not there at all, so that who asks for it gets an AttributeError.
    """
    given: dict[str, Any] = {}
    missing: list[str] = []
    for name, field in cls.model_fields.items():
        key = field.alias if field.alias and field.alias in data else name
        if key in data:
            value = good(cls, name, data[key])
            given[name] = value
            missing += [name] if value is None and data[key] is not None else []
        elif field.is_required():
            missing.append(name)
    made = cls.model_construct(**given)
    for name in missing:
        vars(made).pop(name, None)
    return made


def good(cls: type[BaseModel], name: str, value: Any) -> Any:
    """The value of a field; its good part if there is one; else None."""
    try:
        return adapter(cls, name).validate_python(value)
    except ValidationError:
        annotation = cls.model_fields[name].annotation
        inner = next(models_in(annotation), None)
        return part(inner, value, set(shapes(annotation))) if inner else None


def part(cls: type[BaseModel], value: Any, held_in: set[type]) -> Any:
    """The good part of a message, of a list of them, or of a mapping to them."""
    if isinstance(value, Mapping) and dict in held_in:
        return {key: partial(cls, each) for key, each in value.items() if isinstance(each, Mapping)}
    if isinstance(value, list | tuple) and tuple in held_in:
        return tuple(partial(cls, each) for each in value if isinstance(each, Mapping))
    return partial(cls, value) if isinstance(value, Mapping) and not held_in else None


def shapes(annotation: Any) -> Iterator[type]:
    """In what an annotation holds its messages: `tuple`, `dict`, or nothing."""
    if get_origin(annotation) in (tuple, dict):
        yield get_origin(annotation)
    else:
        for argument in get_args(annotation):
            yield from shapes(argument)


@cache
def adapter(cls: type[BaseModel], name: str) -> TypeAdapter[Any]:
    """What validates one field alone."""
    field = cls.model_fields[name]
    annotation: Any = field.annotation
    for each in field.metadata:
        annotation = Annotated[annotation, each]
    return TypeAdapter(annotation)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a type annotation speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)
