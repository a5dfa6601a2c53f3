"""A manifest's objects, one after the other: of the mesh's kinds, of Kubernetes', of others'."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mesh.api.admit import admit
from mesh.api.checks import Fault
from mesh.api.documents import Document, read
from mesh.api.errors import ConfigError, Problem
from mesh.api.kinds import BY_KIND, KINDS
from mesh.api.load import placed
from mesh.galley.manifest.among import Among
from mesh.galley.manifest.plain import TOP, faults_of, metadata_faults, misnamed_head, unknown_kind
from mesh.galley.manifest.schemas import kinds
from mesh.model import ObjectKey

GROUPS = frozenset(kind.group for kind in KINDS)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about one object: with errors it would be refused."""

    object: ObjectKey
    origin: str
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def check_texts(texts: Iterable[tuple[str, str]], namespace: str = "default") -> Iterator[Finding]:
    """Check every object of several texts, each with its file's name, and Mixer's objects beside each other.

    A text that is no YAML is one finding.
    """
    found = [each for file, text in texts for each in _checked(text, file, namespace)]
    fine = (document for document, finding in found if document and good(finding))
    among = Among(placed(document.value, namespace) for document in fine)
    for document, finding in found:
        yield with_rules(document, finding, among, namespace) if document and good(finding) else finding


def check_text(text: str, *, file: str, namespace: str = "default") -> Iterator[Finding]:
    """Check every object of a text."""
    yield from check_texts([(file, text)], namespace)


def good(finding: Finding) -> bool:
    """Whether nothing is wrong with an object so far."""
    return not finding.errors


def _checked(text: str, file: str, namespace: str) -> Iterator[tuple[Document | None, Finding]]:
    try:
        for document in read(text, file):
            yield document, check(document, namespace)
    except ConfigError as error:
        yield None, Finding(error.problems[0].object, error.problems[0].origin or file, error.problems)


def with_rules(document: Document, finding: Finding, among: Among, namespace: str) -> Finding:
    """What is also found beside the other objects."""
    errors, warnings = among.judged(placed(document.value, namespace))

    def all_of(problems: Iterable[Problem]) -> tuple[Problem, ...]:
        return tuple(
            replace(each, object=finding.object, origin=document.place(each.path)) for each in problems
        )

    return replace(finding, errors=all_of(errors), warnings=(*finding.warnings, *all_of(warnings)))


def check(document: Document, namespace: str) -> Finding:
    """Check one object."""
    obj = placed(document.value, namespace)
    key = key_of(obj)
    errors, warnings = judged(obj, key)

    def all_of(problems: Iterable[Problem]) -> tuple[Problem, ...]:
        return tuple(replace(each, object=key, origin=document.place(each.path)) for each in problems)

    return Finding(key, document.place(), all_of(errors), all_of(warnings))


def judged(obj: Mapping[str, Any], key: ObjectKey) -> tuple[list[Problem], list[Problem]]:
    """Errors and warnings about an object."""
    head = list(misnamed_head(obj))
    if head:
        return problems(head, key), []
    version, kind = str(obj["apiVersion"]), str(obj["kind"])
    if version.partition("/")[0] in GROUPS or (kind in BY_KIND and kind not in kinds()):
        return of_the_mesh(obj, key)
    schema = kinds().get(kind, {}).get(version)
    if schema is not None:
        return problems(faults_of(obj, schema), key), []
    unknown = unknown_kind(version, kind)
    if unknown is not None:
        return problems([unknown], key), []
    remedy = "it is checked only where it is applied"
    return [], [Problem(key, "kind", f"{version} {kind} is not known here", remedy)]


def of_the_mesh(obj: Mapping[str, Any], key: ObjectKey) -> tuple[list[Problem], list[Problem]]:
    """The same of an object of the mesh's kinds; what the API server says of any object is said here too."""
    kind = BY_KIND.get(str(obj["kind"]))
    shape: dict[str, Any] = {"properties": {name: {} for name in TOP}}
    if kind and not kind.optional:
        shape["properties"]["spec"] = {"type": "object"}
    general = list(faults_of({**obj, "metadata": obj.get("metadata")}, shape))
    metadata = obj.get("metadata")
    if isinstance(metadata, Mapping):
        moved = any(fault.path == "metadata.spec" for fault in general)
        kept = {name: value for name, value in metadata.items() if not (moved and name == "spec")}
        general += metadata_faults(kept)
        if moved:
            obj = {**obj, "metadata": kept, "spec": metadata["spec"]}
    errors, warnings = admit(obj)
    return [*problems(general, key), *errors], list(warnings)


def problems(faults: Iterable[Fault], key: ObjectKey) -> list[Problem]:
    """Faults as problems of an object."""
    return [Problem(key, fault.path, fault.message, fault.remedy) for fault in faults]


def key_of(obj: Mapping[str, Any]) -> ObjectKey:
    """What names an object, as far as it has a name."""
    metadata = obj.get("metadata")
    found: Mapping[str, Any] = metadata if isinstance(metadata, Mapping) else {}
    return ObjectKey(str(obj.get("kind", "")), str(found.get("namespace", "")), str(found.get("name", "")))
