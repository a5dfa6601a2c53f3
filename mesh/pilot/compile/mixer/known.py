"""What is known of a call before it is made: where it goes. Everything else Envoy sees, or only Mixer.

The same attributes as `mesh.mixer.attributes.check` makes, sorted into those that are known at a place, those
that no check has, and those that a call brings.
"""

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, Final

from mesh.model import Service
from mesh.pilot.compile.mixer.place import Place
from mesh.pilot.compile.mixer.terms import (
    Address,
    Header,
    Identity,
    IdentityNamespace,
    Kind,
    NotHere,
    Term,
    Test,
    UrlPath,
)
from mesh.pilot.mixer.facts import WORKLOAD
from mesh.rules.expressions import (
    Absent,
    Attribute,
    Call,
    Constant,
    EvaluationError,
    ExpressionError,
    Node,
    compile_expression,
)
from mesh.rules.expressions.compiler import attribute_of
from mesh.rules.workloads import service_attributes


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
"""The value of an attribute that no call here has."""

TERMS: dict[str, Term] = {
    "request.path": Header(":path"),
    "request.url_path": UrlPath(),
    "request.method": Header(":method"),
    "request.host": Header(":authority"),
    "request.useragent": Header("user-agent"),
    "request.referer": Header("referer"),
    "request.api_key": Header("x-api-key"),
    "source.principal": Identity(),
    "source.ip": Address(),
    "origin.ip": Address(),
}
OF_CALLERS = ("source.", "origin.", "connection.", "request.", "context.", "api.", "destination.")
ADDRESSES = frozenset({"destination.ip"})
LABELS = "destination.labels"

OF_SERVICES = ("destination.service.", "api.service")
ONLY_MIXER = frozenset({"destination.principal", "destination.user", "context.reporter.uid"})


@dataclass
class Known:
    """What is known of calls at a place; `services` are those that rules may ask about there."""

    place: Place
    service: Service | None = None
    _values: dict[str, Any] = field(default_factory=dict, repr=False)

    # As a bag of attributes, for expressions that are known as a whole

    def get(self, name: str) -> Any:
        """An attribute that is known; None if no call here has it."""
        found = self.attribute(name)
        return None if found is ABSENT else found

    def entry(self, map_name: str, key: str) -> Any:
        """An entry of a map that is known."""
        return self.place.facts.get(f"{map_name}[{key}]")

    def has(self, name: str) -> bool:
        """Whether calls here are known to have an attribute."""
        if name == LABELS and not self.place.gateway:
            return WORKLOAD in self.place.facts
        return self.attribute(name) not in (None, ABSENT)

    def has_entries(self, name: str) -> bool:
        """Whether it is known which entries a map has."""
        return self.attribute(name) is ABSENT or (name == LABELS and self.has(name))

    # What is known

    def decides(self, node: Node) -> bool:
        """Whether all that an expression refers to is known."""
        match node:
            case Constant():
                return True
            case Attribute(name):
                return self.attribute(name) is not None
            case Call("[]", (held, Constant(str()))) if (source := attribute_of(held)) is not None:
                return self.has_entries(source.name)
            case Call(_, arguments):
                return all(self.decides(each) for each in arguments)
        return False

    def value(self, node: Node) -> Any:
        """The value of an expression that is known as a whole; `NotHere` if it fails."""
        try:
            return evaluated(node, self)
        except Absent:
            return ABSENT
        except (EvaluationError, ExpressionError) as error:
            raise NotHere(f"{node}: {error}") from None

    def attribute(self, name: str) -> Any:
        """An attribute's value, or `ABSENT`; None if only the call has it."""
        if name not in self._values:
            self._values[name] = self._found(name)
        return self._values[name]

    def _found(self, name: str) -> Any:
        if name == "context.reporter.kind":
            return self.place.reporter
        if name in ONLY_MIXER and not (self.place.gateway and name.startswith("destination.")):
            return None
        if name.startswith(("destination.", "api.service")):
            return ABSENT if self.place.gateway else self._destination(name)
        if self.place.protocol == "tcp":
            if name == "context.protocol":
                return "tcp"
            if name.startswith(("request.", "api.")):
                return ABSENT
        return None if name.startswith(OF_CALLERS) else ABSENT

    def _destination(self, name: str) -> Any:
        if name == "destination.namespace":
            return self.place.namespace
        if name == "destination.port":
            return self.place.port or None
        if name.startswith(OF_SERVICES):
            return self._service(name)
        facts = self.place.facts
        if WORKLOAD not in facts or name == LABELS:
            return None
        if name not in facts:
            return ABSENT
        return ip_address(facts[name]).packed if name in ADDRESSES else facts[name]

    def _service(self, name: str) -> Any:
        if not self.place.host:
            return ABSENT  # a port that a service leads to is a place of its own
        if name == "api.service":
            return self.place.host
        known = service_attributes(self.service) if self.service else {}
        return known.get(name, ABSENT if self.service else None)

    # What calls bring

    def header(self, key: str) -> Term:
        """A header of the request."""
        if key != key.lower():
            raise NotHere(f"request.headers[{key!r}]: Envoy has names of headers in small letters")
        return Header(key)

    def term(self, name: str) -> Term:
        """An attribute that Envoy sees; `NotHere` if it does not."""
        if self.place.gateway and name.startswith("source."):
            raise NotHere(f"{name} is looked up in the registry at gateways")
        if name == "source.namespace" and self.place.secured:
            return IdentityNamespace()
        if name not in TERMS:
            raise NotHere(f"{name} is known to Mixer only")
        return TERMS[name]

    def passes(self, value: Any, test: Test) -> bool:
        """Whether a known value passes a test."""
        text = str(value)
        match test.kind:
            case Kind.EXACT:
                return bool(value == test.value)
            case Kind.ANY_CASE:
                return text.encode().lower() == test.value.encode().lower()  # ASCII alone, as in Envoy
            case Kind.PREFIX:
                return text.startswith(test.value)
            case Kind.SUFFIX:
                return text.endswith(test.value)
            case Kind.FOUND:
                found = Call("matches", (Constant(test.value), Constant(text)), method=True)
                return bool(self.value(found))
        return isinstance(value, bytes) and ip_address(value) in ip_network(test.value, strict=False)


def evaluated(node: Node, bag: Any) -> Any:
    """The value of an expression, all of which `bag` knows."""
    return compile_expression(str(node)).evaluate(bag)
