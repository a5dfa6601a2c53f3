"""VirtualService: which requests go where, and what happens to them on the way.

Its parts have files of their own (`matches`, `destinations`, `routes` and others).

Source: Istio's reference of networking.istio.io/v1 VirtualService; every field is named as there.
"""

from collections.abc import Iterator

from mesh.api.base import Host, Model
from mesh.api.checks import Fault, advise, check
from mesh.api.networking.names import bad_export, bad_gateways
from mesh.api.networking.reach import unreachable
from mesh.api.networking.routes import HTTPRoute, TCPRoute, TLSRoute

MESH_GATEWAY = "mesh"


class VirtualService(Model):
    """The rules for some hosts, for sidecars (`mesh`, the default) and gateways."""

    hosts: tuple[Host, ...] = ()
    gateways: tuple[str, ...] = ()
    http: tuple[HTTPRoute, ...] = ()
    tls: tuple[TLSRoute, ...] = ()
    tcp: tuple[TCPRoute, ...] = ()
    export_to: tuple[str, ...] = ()

    @check
    def _hosts(self) -> Iterator[Fault]:
        for index, each in enumerate(self.hosts):
            if each in self.hosts[:index]:
                yield Fault(f"hosts[{index}]", f"{each!r} stands twice", "leave one out")
        if "*" in self.hosts and (not self.gateways or MESH_GATEWAY in self.gateways):
            yield Fault("", "host '*' is only for gateways; name them in gateways, without 'mesh'")
        if not self.hosts and self.gateways:
            yield Fault("hosts", "is empty", "name at least one host")

    @check
    def _routes(self) -> Iterator[Fault]:
        if not (self.http or self.tls or self.tcp):
            yield Fault("", "one of http, tls, tcp must have a route")

    @check
    def _names(self) -> Iterator[Fault]:
        yield from bad_export(self.export_to)
        yield from bad_gateways(self.gateways)

    @advise
    def _sni(self) -> Iterator[Fault]:
        for i, route in enumerate(self.tls):
            for j, match in enumerate(route.match):
                for k, name in enumerate(match.sni_hosts):
                    if not any(within(name, each) for each in self.hosts):
                        path = f"tls[{i}].match[{j}].sniHosts[{k}]"
                        yield Fault(
                            path,
                            f"{name!r} is not among hosts, so others may take it",
                            f"hosts are {', '.join(self.hosts)}",
                        )

    @advise
    def _unreachable(self) -> Iterator[Fault]:
        yield from unreachable(self.http)

    @advise
    def _other_gateways(self) -> Iterator[Fault]:
        known = set(self.gateways or (MESH_GATEWAY,))
        for i, route in enumerate(self.http):
            for j, match in enumerate(route.match):
                other = sorted(set(match.gateways) - known)
                if other:
                    path, remedy = f"http[{i}].match[{j}].gateways", "name it in spec.gateways as well"
                    yield Fault(path, f"{other[0]!r} is not in spec.gateways, so it never matches", remedy)

    @advise
    def _nobody(self) -> Iterator[Fault]:
        if not self.hosts and not self.gateways:
            yield Fault("hosts", "is empty: only a route that delegates to it could use it", "name a host")


def within(name: str, wider: str) -> bool:
    """Whether a host, perhaps a wildcard, is covered by another."""
    return wider in (name, "*") or (wider.startswith("*.") and name.endswith(wider[1:]))
