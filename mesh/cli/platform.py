"""The cluster as `meshctl` sees it: requests to the API server, commands in Pods, Pilot's debug interface.

Works on any cluster that a kubeconfig names; everything goes through the API server, so that nothing else
of the cluster has to be reachable from here.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from mesh.cli.errors import CommandError, NoCluster
from mesh.platform.forward import CannotForward, refusal
from mesh.platform.mixer import MixerDebug
from mesh.platform.pilot import NAMESPACE as SYSTEM_NAMESPACE
from mesh.platform.pilot import SELECTOR as PILOT_SELECTOR
from mesh.platform.pilot import PilotDebug, PilotRefused, is_ready

JSON = "application/json"

__all__ = ["PILOT_SELECTOR", "SYSTEM_NAMESPACE", "ExecResult", "Platform", "find_kubeconfig", "is_ready"]


def find_kubeconfig(given: Path | None) -> Path:
    """The kubeconfig to use: the given one, `$KUBECONFIG`, the running embedded cluster's, `~/.kube/config`.

    Raises `NoCluster` if none of them exists.
    """
    named = given or (Path(os.environ["KUBECONFIG"]) if os.environ.get("KUBECONFIG") else None)
    if named is not None:
        if not named.is_file():
            raise NoCluster(f"kubeconfig {named} does not exist", remedy="give another with --kubeconfig")
        return named
    for entry in entry_points(group="meshwright.kubeconfigs"):
        running: Path | None = entry.load()()
        if running is not None:
            return running
    default = Path.home() / ".kube" / "config"
    if default.is_file():
        return default
    raise NoCluster(
        "no cluster is running", remedy="start one with 'meshctl up', or name one with --kubeconfig"
    )


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What a command in a container gave back."""

    stdout: str
    stderr: str
    exit_code: int


class Platform:
    """A connection to one cluster. Methods raise `CommandError` with the API server's own words."""

    def __init__(self, kubeconfig: Path, context: str | None = None) -> None:
        self.kubeconfig = kubeconfig
        self._context = context

    @classmethod
    def connect(cls, kubeconfig: Path | None = None, context: str | None = None) -> "Platform":
        """Choose the kubeconfig as `find_kubeconfig` does; nothing is sent yet."""
        return cls(find_kubeconfig(kubeconfig), context)

    @cached_property
    def client(self) -> Any:
        """The `kubernetes` library's `ApiClient` (imported when first needed: it takes half a second)."""
        from kubernetes import config

        try:
            make: Any = config.new_client_from_config  # the library's own annotations stop here
            return make(str(self.kubeconfig), context=self._context)
        except config.ConfigException as error:
            raise NoCluster(
                f"kubeconfig {self.kubeconfig}: {error}", remedy="check --kubeconfig and --context"
            ) from None

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        timeout: float = 30.0,
        content: str = JSON,
    ) -> Any:
        """Send one request to the API server; the answer's JSON, or its text if it is none.

        `content` is the body's type; a PATCH needs one, such as `application/merge-patch+json`.
        """
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        url = f"{path}?{urlencode(query)}" if query else path
        call = self.client.param_serialize(
            method,
            url,
            body=body,
            header_params={"Accept": JSON, "Content-Type": content},
            auth_settings=["BearerToken"],
        )
        try:
            answer = self.client.call_api(*call, _request_timeout=timeout)
            text = (answer.read() or b"").decode(errors="replace")
        except ApiException as error:
            raise CommandError(_message_of(error.body or str(error.reason), error.status)) from None
        except HTTPError as error:
            raise self._unreachable(error) from None
        if not 200 <= answer.status < 300:
            raise CommandError(_message_of(text, answer.status))
        try:
            return json.loads(text) if text else None
        except ValueError:
            return text

    def _unreachable(self, error: Exception) -> NoCluster:
        reason = getattr(error, "reason", None) or error
        return NoCluster(
            f"the API server {self.client.configuration.host} does not answer: {reason}"
            f" (kubeconfig {self.kubeconfig})",
            remedy="is the cluster running? 'meshctl up' starts the embedded one",
        )

    def get(self, path: str, **query: str) -> Any:
        """GET, with query parameters."""
        return self.request("GET", path, query=query)

    def pods(self, namespace: str = "", selector: str = "") -> list[dict[str, Any]]:
        """Pods of a namespace (of all, if empty) that a label selector picks."""
        where = f"/api/v1/namespaces/{namespace}/pods" if namespace else "/api/v1/pods"
        items: list[dict[str, Any]] = self.get(where, **({"labelSelector": selector} if selector else {}))[
            "items"
        ]
        return items

    def exec(
        self, namespace: str, pod: str, container: str, command: list[str], *, timeout: float = 30.0
    ) -> ExecResult:
        """Run a command in a container and wait for it; `CommandError` if the container cannot be entered."""
        import websocket
        from kubernetes.stream import ws_client

        words = [("container", container), ("stdout", "true"), ("stderr", "true")]
        query = urlencode([*words, *(("command", word) for word in command)])
        path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}/exec?{query}"
        # Not by the library's CoreV1Api: to import it takes longer than everything else here together.
        _, address, headers, *_ = self.client.param_serialize("GET", path, auth_settings=["BearerToken"])
        library: Any = ws_client  # without annotations
        try:
            url = library.get_websocket_url(address)
            session = library.WSClient(self.client.configuration, url, headers, capture_all=True)
        except (OSError, websocket.WebSocketException) as error:
            raise CommandError(
                f"Pod {namespace}/{pod}, container {container}: cannot run {command[0]}: {refusal(error)}",
                remedy=f"see 'kubectl -n {namespace} describe pod {pod}'",
            ) from None
        session.run_forever(timeout=timeout)
        result = ExecResult(session.read_stdout() or "", session.read_stderr() or "", session.returncode or 0)
        session.close()
        session.sock.shutdown()  # after the server's own close frame `close` leaves the socket open
        return result

    def pilot(self, method: str, path: str, body: Any = None, *, timeout: float = 30.0) -> Any:
        """One request to Pilot's debug interface, by a port forwarded to its Pod; the connection is kept."""
        try:
            return self._pilot.request(method, path, body, timeout=timeout)
        except PilotRefused as error:
            raise CommandError(f"Pilot: {error}", remedy="see 'meshctl status', and Pilot's log") from None
        except CannotForward as error:
            raise CommandError(f"Pilot cannot be asked: {error}", remedy="see 'meshctl status'") from None

    @cached_property
    def _pilot(self) -> PilotDebug:
        return PilotDebug(self.client, self._pilot_pod)

    def _pilot_pod(self) -> str:
        ready = [pod for pod in self.pods(SYSTEM_NAMESPACE, PILOT_SELECTOR) if is_ready(pod)]
        if not ready:
            raise CommandError(
                f"no istio-pilot Pod is ready in namespace {SYSTEM_NAMESPACE}",
                remedy="install the mesh with 'meshctl install', or see 'meshctl status'",
            )
        return str(ready[0]["metadata"]["name"])

    @cached_property
    def mixer(self) -> MixerDebug:
        """What istio-policy and istio-telemetry follow."""

        def ready(program: str) -> list[str]:
            pods = self.pods(SYSTEM_NAMESPACE, f"app={program}")
            return [str(pod["metadata"]["name"]) for pod in pods if is_ready(pod)]

        return MixerDebug(self.client, ready)

    def close(self) -> None:
        """Close the connections that were made."""
        if "mixer" in vars(self):
            self.mixer.close()
        if "_pilot" in vars(self):
            self._pilot.close()
        if "client" in vars(self):
            self.client.close()


def _message_of(body: Any, status: int | None) -> str:
    """The message of a Kubernetes Status object, or the body itself."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return f"the API server answered {status}: {str(body).strip() or 'nothing'}"
