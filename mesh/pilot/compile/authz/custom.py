"""CUSTOM: the rules say which requests, a provider of the mesh's settings decides about them.

Envoy's RBAC filter notes in its metadata that a rule has matched (as a shadow, so that it decides nothing),
and the filter that asks the provider is on only for what is noted. If the provider is not to be had, what
the rules match is refused. Source: Istio's task "External Authorization".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from envoy.config.listener.v3 import listener_components_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from mesh.api.meshconfig import ExtensionProvider
from mesh.model import ConfigObject, Service
from mesh.model import authorization as names
from mesh.pilot.compile.authz import external, rbac
from mesh.pilot.compile.messages import packed
from mesh.pilot.reader import Reader

HttpFilter = http_connection_manager_pb2.HttpFilter
Filter = listener_components_pb2.Filter


@dataclass(frozen=True, slots=True)
class Pair:
    """The rules of one provider, and how it is asked; without a service to ask they are refused."""

    name: str
    built: rbac.Built
    provider: ExtensionProvider | None
    service: Service | None

    def http(self) -> Iterator[http_connection_manager_pb2.HttpFilter]:
        """The HTTP filters."""
        if self.provider is None or self.service is None:
            yield from rbac.http(self.refused())
            return
        yield from rbac.http(self.noted())
        config = external.http(self.provider, self.service, names.custom(self.name))
        yield HttpFilter(name=names.HTTP_EXTERNAL, typed_config=packed(config))

    def tcp(self) -> Iterator[listener_components_pb2.Filter]:
        """The network filters; a provider that speaks HTTP cannot be asked about other connections."""
        if self.provider is None or self.service is None:
            yield from rbac.tcp(self.refused())
        elif self.provider.envoy_ext_authz_grpc is not None:
            yield from rbac.tcp(self.noted())
            config = external.tcp(self.provider.envoy_ext_authz_grpc, self.service, names.custom(self.name))
            yield Filter(name=names.TCP_EXTERNAL, typed_config=packed(config))

    def noted(self) -> rbac.Built:
        """The rules as shadows, named after the provider."""
        shadow = self._renamed(f"{names.CUSTOM_PREFIX}{self.name}-{{}}")
        return rbac.Built("CUSTOM", shadow=shadow, shadow_prefix=names.CUSTOM_SHADOW)

    def refused(self) -> rbac.Built:
        """The rules as a refusal of what they match."""
        return rbac.Built("DENY", enforced=self._renamed(f"{{}}{names.BROKEN_SUFFIX}"))

    def _renamed(self, form: str) -> rbac_pb2.RBAC | None:
        return rbac.renamed(self.built.enforced, form.format) if self.built.enforced else None


def pairs(
    read: Reader, policies: tuple[ConfigObject, ...], domains: tuple[str, ...], *, tcp: bool
) -> Iterator[Pair]:
    """What CUSTOM policies ask for, by provider; those on trial ask nothing."""
    enforced = sorted((each for each in policies if not rbac.on_trial(each)), key=provider_name)
    known = {each.name: each for each in read.mesh.extension_providers}
    for name, some in groupby(enforced, key=provider_name):
        provider = known.get(name)
        service = external.service(read, provider) if provider else None
        yield Pair(name, rbac.built("CUSTOM", some, domains, tcp=tcp), provider, service)


def provider_name(policy: ConfigObject) -> str:
    """The provider that a policy names."""
    return policy.spec.provider.name if policy.spec.provider else ""
