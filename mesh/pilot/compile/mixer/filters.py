"""The filters of a place, in the order in which istio-policy would decide."""

from envoy.config.listener.v3 import listener_components_pb2

from mesh.pilot.compile.mixer import external
from mesh.pilot.compile.mixer.checked import Checked
from mesh.pilot.compile.mixer.place import Place
from mesh.pilot.mixer.settings import Checks, checks
from mesh.pilot.reader import Reader


def http_filters(read: Reader, place: Place) -> Checked:
    """For requests."""
    how = how_checked(read, place)
    if not how.enabled or not needed(read, place):
        return Checked()
    extensions = place.extensions()
    return Checked((external.http(how, extensions),), extensions=extensions)


def tcp_filters(read: Reader, place: Place) -> tuple[listener_components_pb2.Filter, ...]:
    """For connections that are not HTTP."""
    how = how_checked(read, place)
    if not how.enabled or not needed(read, place):
        return ()
    return (external.tcp(how, place.extensions()),)


def how_checked(read: Reader, place: Place) -> Checks:
    """What settings and annotations say."""
    return checks(read.mesh, {}, place.facts)


def needed(read: Reader, place: Place) -> bool:
    """Whether istio-policy must be asked about some calls."""
    where = {place.namespace, read.mesh.root_namespace}
    return any(each.namespace in where and each.key.kind in {"rule", "QuotaSpec"} for each in read.mixer())
