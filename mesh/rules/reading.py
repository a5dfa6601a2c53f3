"""Configuration objects, newer and older forms alike, as adapters' parameters and templates' builders."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mesh.api.base import Model
from mesh.api.checks import Fault
from mesh.api.errors import ConfigError, Problem
from mesh.api.mixer import Handler, Instance
from mesh.api.mixer.kinds import ADAPTERS
from mesh.api.mixer.kinds import TEMPLATES as TEMPLATE_KINDS
from mesh.api.parse import checked
from mesh.model import ConfigObject
from mesh.rules.adapter import Adapter
from mesh.rules.builder import Builder, ParametersError, Vocabulary, instance_builder
from mesh.rules.expressions import Expression, ExpressionError, compile_expression
from mesh.rules.templates import TEMPLATES, Template
from mesh.rules.types import ValueType

HANDLER_KINDS = frozenset((*ADAPTERS, "handler"))
INSTANCE_KINDS = frozenset((*TEMPLATE_KINDS, "instance"))
Adapters = Mapping[str, type[Adapter[Any]]]


def handler_of(obj: ConfigObject, adapters: Adapters) -> tuple[type[Adapter[Any]], Model]:
    """A handler's adapter and its parameters. Raises `ConfigError` with all that is wrong."""
    if isinstance(obj.spec, Handler):
        name, path, params = _adapter_name(obj)
        place = "spec.params"
    else:
        name, path, params, place = obj.key.kind, "kind", obj.spec.model_dump(), "spec"
    adapter = adapters.get(name)
    if adapter is None:
        words = f"there is no adapter {name!r}"
        raise ConfigError([Problem(obj.key, path, words, _near(name, adapters, "adapters"))])
    return adapter, checked(adapter.Params, params, obj.key, path=place)


def _adapter_name(obj: ConfigObject) -> tuple[str, str, Mapping[str, Any]]:
    spec: Handler = obj.spec
    if spec.connection is not None:
        raise ConfigError(
            [
                Problem(
                    obj.key,
                    "spec.connection",
                    "adapters in another process are not served by this mesh",
                    "install the adapter as a package, and name it as compiledAdapter",
                )
            ]
        )
    path = "spec.compiledAdapter" if spec.compiled_adapter else "spec.adapter"
    return spec.compiled_adapter or spec.adapter, path, spec.params


def builder_of(obj: ConfigObject, attributes: Vocabulary) -> Builder:
    """What makes an instance. Raises `ConfigError` with all that is wrong."""
    if isinstance(obj.spec, Instance):
        name, place, params = obj.spec.compiled_template or obj.spec.template, "spec.params.", obj.spec.params
        path = "spec.compiledTemplate" if obj.spec.compiled_template else "spec.template"
    else:
        name, place, params, path = obj.key.kind, "spec.", obj.spec.model_dump(), "kind"
    template = TEMPLATES.get(name)
    if template is None:
        words = f"there is no template {name!r}"
        raise ConfigError([Problem(obj.key, path, words, _near(name, TEMPLATES, "templates"))])
    return _built(obj, template, params, place, attributes)


def _built(
    obj: ConfigObject, template: Template, params: Mapping[str, Any], place: str, attributes: Vocabulary
) -> Builder:
    try:
        return instance_builder(template, params, attributes)
    except ParametersError as error:
        raise ConfigError(
            [Problem(obj.key, f"{place}{each.path}", each.message, each.remedy) for each in error.faults]
        ) from None


def text_of(
    obj: ConfigObject,
    path: str,
    text: str,
    attributes: Vocabulary,
    wanted: ValueType | None,
    problems: list[Problem],
) -> Expression | None:
    """A compiled expression of an object; None, with a problem, if it is wrong."""
    try:
        return compile_expression(text, attributes, wanted)
    except ExpressionError as error:
        problems.append(Problem(obj.key, path, str(error), error.remedy))
        return None


def collected(make: Callable[[], Any], problems: list[Problem]) -> Any:
    """What `make` gives; None, with its problems, if it raises `ConfigError`."""
    try:
        return make()
    except ConfigError as error:
        problems += error.problems
        return None


def told(obj: ConfigObject, faults: Iterator[Fault]) -> list[Problem]:
    """Faults of a handler's parameters as problems of its object."""
    place = "spec.params" if obj.key.kind == "handler" else "spec"
    return [
        Problem(obj.key, f"{place}.{each.path}" if each.path else place, each.message, each.remedy)
        for each in faults
    ]


def _near(name: str, known: Mapping[str, object], what: str) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"{what} are {', '.join(sorted(known))}"
