"""What a Telemetry asks for of traces and cannot have: providers that are not there.

Each doubt is a path in the object, a message and a remedy.
"""

from collections.abc import Iterator

from mesh.api.extensions import ExtensionProvider
from mesh.model import ConfigObject
from mesh.pilot import tables
from mesh.pilot.snapshot import Snapshot
from mesh.pilot.tracing import hostname

Doubt = tuple[str, str, str]


def of_telemetry(snapshot: Snapshot, telemetry: ConfigObject) -> Iterator[Doubt]:
    """The providers of traces that do not exist: for whom the object is, nothing is traced."""
    known = {each.name: each for each in snapshot.mesh.extension_providers}
    for number, rule in enumerate(telemetry.spec.tracing):
        for place, named in enumerate(rule.providers):
            path = f"spec.tracing[{number}].providers[{place}].name"
            for message, remedy in of_provider(snapshot, named.name, known):
                yield path, message, remedy


def of_provider(
    snapshot: Snapshot, name: str, known: dict[str, ExtensionProvider]
) -> Iterator[tuple[str, str]]:
    """What is wrong with a provider."""
    given = known.get(name)
    how = (given.zipkin or given.opentelemetry) if given else None
    if how is None:
        usable = (each.name for each in known.values() if each.zipkin or each.opentelemetry)
        names = ", ".join(sorted(usable)) or "none"
        message = f"there is no provider {name!r} of traces (there are: {names})"
        yield message, "add it to extensionProviders in the mesh's settings, as zipkin or opentelemetry"
        return
    host = hostname(how.service)
    service = snapshot.get(tables.SERVICE, host)
    if service is None or service.port(how.port) is None:
        message = f"provider {name!r} is {host}:{how.port}, which no service has"
        yield message, "create the Service, or change extensionProviders"
