"""A gRPC user for Locust, at the demo's gRPC service: `guard` (9000), Envoy's `Authorization/Check`.

    locust -f weather_grpc.py --host guard.outside:9000 --headless -u 20 -r 5 -t 1m

For a service of yours, put its stub and its requests in the place of these. `host` is HOST:PORT, clear text;
in the mesh the sidecar encrypts it. Ctrl-C may reach gRPC in the place of Locust, which then does not end
well: `meshctl load run -f FILE` keeps it from that; else end Locust by SIGTERM.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.experimental.gevent  # type: ignore[import-untyped]
from envoy.service.auth.v3 import external_auth_pb2
from locust import User, between, events, task
from locust.env import Environment

grpc.experimental.gevent.init_gevent()  # gRPC's own threads would hold up Locust's other users

CHECK = "/envoy.service.auth.v3.Authorization/Check"
SECONDS = 10.0
OK, DENIED = 0, 7


class UnexpectedError(Exception):
    """An error, or another answer than the one expected."""


class GrpcUser(User):
    """Times each call and tells Locust of it. Make your users from it."""

    abstract = True

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.channel = grpc.insecure_channel((self.host or "").removeprefix("http://").rstrip("/"))

    def on_stop(self) -> None:
        """The connection ends with the user."""
        self.channel.close()

    def call(self, name: str, ask: Callable[[], Any]) -> Any:
        """What `ask` answers, None after a gRPC error; either stands in the statistics as `name`."""
        began = time.perf_counter()
        answer, error = None, None
        try:
            answer = ask()
        except grpc.RpcError as raised:
            error = UnexpectedError(
                f"{raised.code().name}: {raised.details()}"
            )  # its own text has five lines
        except UnexpectedError as raised:
            error = raised
        self.environment.events.request.fire(
            request_type="gRPC",
            name=name,
            response_time=(time.perf_counter() - began) * 1000,
            response_length=answer.ByteSize() if answer is not None else 0,
            response=answer,
            exception=error,
            context=self.context(),
        )
        return answer


class Asker(GrpcUser):
    """Asks the guard whether a request may pass."""

    host = "guard.outside:9000"
    wait_time = between(0.1, 0.5)

    def on_start(self) -> None:
        """The call's stub; generated code has one ready."""
        self.check = self.channel.unary_unary(
            CHECK,
            request_serializer=external_auth_pb2.CheckRequest.SerializeToString,
            response_deserializer=external_auth_pb2.CheckResponse.FromString,
        )

    @task(3)
    def allowed(self) -> None:
        """A request with the word that the guard wants."""
        self._ask("allow", OK)

    @task(1)
    def denied(self) -> None:
        """A request without it."""
        self._ask("", DENIED)

    def _ask(self, word: str, expected: int) -> None:
        request = external_auth_pb2.CheckRequest()
        request.attributes.request.http.path = "/"
        request.attributes.request.http.headers["x-ext-authz"] = word

        def ask() -> external_auth_pb2.CheckResponse:
            answer: external_auth_pb2.CheckResponse = self.check(request, timeout=SECONDS)
            if answer.status.code != expected:
                raise UnexpectedError(f"the guard answered {answer.status.code}, not {expected}")
            return answer

        self.call(f"Check ({word or 'no word'})", ask)


@events.quitting.add_listener  # type: ignore[untyped-decorator]  # Locust's
def nothing_is_no_success(environment: Environment, **_: Any) -> None:
    """A run without one answer has shown nothing: it fails."""
    options = environment.parsed_options
    asks = options is not None and options.headless and not options.worker
    if asks and not environment.stats.total.num_requests:
        logging.error("no request was answered: lengthen --run-time, and see that --host is there")
        environment.process_exit_code = 1
