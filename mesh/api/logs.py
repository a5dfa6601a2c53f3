"""Providers of access logs (MeshConfig `extensionProviders`).

Source: Istio's reference of MeshConfig.ExtensionProvider (EnvoyFileAccessLogProvider,
EnvoyHttpGrpcV3LogProvider, EnvoyTcpGrpcV3LogProvider); every field is named as there.
"""

from collections.abc import Iterator
from typing import Any

from mesh.api.base import Model, Port, at_most_one, host
from mesh.api.checks import Fault, check


class LogFormat(Model):
    """A line as text, or as JSON whose values are in Envoy's form; neither: Istio's default text."""

    text: str = ""
    labels: dict[str, Any] | None = None

    @check
    def _one(self) -> None:
        at_most_one(self, "text", "labels")


class EnvoyFileAccessLogProvider(Model):
    """Lines into a file of the proxy's container."""

    path: str = "/dev/stdout"
    log_format: LogFormat | None = None
    omit_empty_values: bool = False

    @check
    def _path(self) -> Iterator[Fault]:
        if not self.path.startswith("/"):
            yield Fault("path", f"is {self.path!r}, not a file's full path", "write one such as /dev/stdout")


class EnvoyTcpGrpcV3LogProvider(Model):
    """A service that takes reports of connections; `service` is `[NAMESPACE/]HOST`."""

    service: str
    port: Port
    log_name: str = ""
    filter_state_objects_to_log: tuple[str, ...] = ()

    @check
    def _service(self) -> None:
        host(self.service.rpartition("/")[2])


class EnvoyHttpGrpcV3LogProvider(EnvoyTcpGrpcV3LogProvider):
    """A service that takes reports of requests."""

    additional_request_headers_to_log: tuple[str, ...] = ()
    additional_response_headers_to_log: tuple[str, ...] = ()
    additional_response_trailers_to_log: tuple[str, ...] = ()
