"""Labels of metrics that a Telemetry sets: expressions of attributes, in which texts may be quoted as in CEL.

Source: Istio's reference of Telemetry (`metrics[].overrides[].tagOverrides`), whose values are CEL; this mesh
reads them as expressions of Mixer's attributes, which have the same names for what both know.
"""

import re
from collections.abc import Iterator
from contextlib import suppress

from mesh.api.errors import Problem
from mesh.api.telemetry.telemetry import MetricsOverrides, TagOverride
from mesh.model import ConfigObject
from mesh.rules.expressions import Expression, ExpressionError, compile_expression

KIND = "Telemetry"
PROVIDER = "prometheus"
"""Istio's provider of metrics, and the adapter that it is here."""

QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'([^'\"\\]*)'")


def is_metric(template: str, adapter: str) -> bool:
    """Whether instances of a template for handlers of an adapter are metrics that a Telemetry means.

    Bills are made of template `metric` too, and are none.
    """
    return (template, adapter) == ("metric", PROVIDER)


def of(override: MetricsOverrides) -> dict[str, Expression | None]:
    """What labels become (None: removed); those whose expression is wrong are left out."""
    found: dict[str, Expression | None] = {}
    for name, tag in override.tag_overrides.items():
        with suppress(ExpressionError):
            found[name] = expression(tag)
    return found


def expression(tag: TagOverride) -> Expression | None:
    """What a label becomes; None: it is removed. Raises `ExpressionError`."""
    return None if tag.operation == "REMOVE" else compile_expression(QUOTED.sub(requoted, tag.value))


def requoted(text: re.Match[str]) -> str:
    """A text in double quotes."""
    return text[0] if text[1] is None else f'"{text[1]}"'


def problems(telemetry: ConfigObject) -> Iterator[Problem]:
    """What is wrong with the values of labels."""
    for number, metrics in enumerate(telemetry.spec.metrics):
        for index, override in enumerate(metrics.overrides):
            for name, tag in override.tag_overrides.items():
                path = f"spec.metrics[{number}].overrides[{index}].tagOverrides.{name}.value"
                try:
                    expression(tag)
                except ExpressionError as error:
                    yield Problem(telemetry.key, path, str(error), error.remedy)
