"""Warnings about configuration that is accepted: what is doubtful, and what is not acted on."""

from collections.abc import Iterator

from mesh.api.checks import Fault, advice, joined, walk
from mesh.api.errors import Problem
from mesh.api.unused import UNUSED_FIELDS, UNUSED_KINDS
from mesh.model import ConfigObject

KNOW = "leave it out, or know that nothing comes of it"


def advice_on(obj: ConfigObject, *, origin: str = "") -> Iterator[Problem]:
    """Everything that somebody who wrote this object should know."""
    if obj.key.kind in UNUSED_KINDS:
        yield Problem(obj.key, "kind", UNUSED_KINDS[obj.key.kind], KNOW, origin)
    for each in (*unused(obj), *advice(obj.spec, "spec")):
        yield Problem(obj.key, each.path, each.message, each.remedy, origin)


def unused(obj: ConfigObject) -> Iterator[Fault]:
    """The fields of an object that nothing comes of."""
    for path, message in walk(obj.spec, "spec"):
        table = UNUSED_FIELDS.get(type(message).__name__)
        for name in message.model_fields_set if table else ():
            if table and name in table and getattr(message, name) not in (None, (), {}, "", False):
                alias = type(message).model_fields[name].alias or name
                yield Fault(joined(path, alias), table[name], KNOW)
