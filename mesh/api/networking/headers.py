"""Headers that a route of a VirtualService sets, adds and removes.

Source: Istio's reference of networking.istio.io/v1 VirtualService; every field is named as there.
"""

from mesh.api.base import HeaderName, Model


class HeaderOperations(Model):
    """What happens to headers: set, add, remove, in this order of names."""

    set: dict[HeaderName, str] = {}
    add: dict[HeaderName, str] = {}
    remove: tuple[HeaderName, ...] = ()


class Headers(Model):
    """Header operations on the request and on the response."""

    request: HeaderOperations | None = None
    response: HeaderOperations | None = None
