"""S7: AuthorizationPolicy on the live mesh: actions and their order, who and what, HTTP and TCP.

That every key, negation and wildcard is compiled rightly is proved by the matrix in tests/pilot/authz; here
real identities, real namespaces and real connections are judged.
"""

import json
from collections.abc import Iterator

import pytest

from e2e.conftest import Command, Outside
from e2e.security import FORBIDDEN, authorize, mesh_settings, operations, sources
from pytest_mesh import all_ok, eventually, header, status
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj
from pytest_mesh.pods import Pod
from pytest_mesh.traffic import PodClient

pytestmark = [pytest.mark.behaviour("S7"), pytest.mark.usefixtures("steady")]
HOST = "http://echo.weather"
KEYS = ["a", "b*"]
CLIENT = "cluster.local/ns/weather/sa/client"


def statuses(client: PodClient, *paths: str, **plan: object) -> list[int]:
    return [client.get(f"{HOST}{path}", keep_alive=False, **plan)[0].status for path in paths]


def test_an_empty_policy_allows_nothing_and_an_empty_rule_everything(weather: Weather, echo: Pod) -> None:
    weather.mesh.apply(authorize("none", "ALLOW", app="echo"))
    (response,) = weather.client.get(f"{HOST}/").check(status(403))
    assert response.body == FORBIDDEN
    weather.mesh.apply(authorize("all", "ALLOW", {}, app="echo"))
    assert statuses(weather.client, "/") == [200]
    weather.mesh.apply(authorize("nobody", "DENY", {}, app="echo"))
    assert statuses(weather.client, "/") == [403]


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ({"principals": [CLIENT]}, [200, 403, 403]),
        ({"principals": ["*"]}, [200, 200, 403]),
        ({"principals": ["*/sa/client"]}, [200, 200, 403]),
        ({"principals": ["cluster.local/ns/neighbour/*"]}, [403, 200, 403]),
        ({"notPrincipals": [CLIENT]}, [403, 200, 200]),
        ({"namespaces": ["weather"]}, [200, 403, 403]),
        ({"notNamespaces": ["weather"]}, [403, 200, 200]),
    ],
    ids=json.dumps,
)
def test_who_calls_is_known_by_its_certificate(
    weather: Weather, neighbour: PodClient, plain: PodClient, echo: Pod,
    source: dict[str, list[str]], wanted: list[int],
) -> None:  # fmt: skip
    weather.mesh.apply(authorize("who", "ALLOW", sources(**source), app="echo"))
    assert [statuses(client, "/")[0] for client in (weather.client, neighbour, plain)] == wanted


def test_addresses_of_callers(weather: Weather, neighbour: PodClient, echo: Pod) -> None:
    block = f"{weather.client.pod.address}/32"
    weather.mesh.apply(authorize("where", "ALLOW", sources(ipBlocks=[block]), app="echo"))
    assert statuses(weather.client, "/") + statuses(neighbour, "/") == [200, 403]


def test_what_is_asked_for(weather: Weather, echo: Pod) -> None:
    weather.mesh.apply(
        authorize(
            "what", "ALLOW",
            operations(paths=["/public/*"]),
            operations(paths=["/items/{*}/price"], methods=["GET"]),
            operations(paths=["*.json"], notPaths=["/secret.json"]),
            {**operations(paths=["/key"]), "when": [{"key": "request.headers[x-key]", "values": KEYS}]},
            app="echo",
        )
    )  # fmt: skip
    good, bad = ("/public/a", "/items/7/price", "/x.json"), ("/", "/items/7/8/price", "/secret.json", "/key")
    assert statuses(weather.client, *good) == [200] * 3
    assert statuses(weather.client, *bad) == [403] * 4
    assert [statuses(weather.client, "/key", headers={"x-key": key})[0] for key in "abc"] == [200, 200, 403]
    weather.client.call(f"{HOST}/items/7/price", method="POST").check(status(403))


def test_deny_counts_before_allow(weather: Weather, neighbour: PodClient, echo: Pod) -> None:
    weather.mesh.apply(authorize("all", "ALLOW", {}, app="echo"))
    weather.mesh.apply(authorize("no-admin", "DENY", operations(paths=["/admin*"]), app="echo"))
    weather.mesh.apply(authorize("no-neighbours", "DENY", sources(namespaces=["neighbour"]), app="echo"))
    assert statuses(weather.client, "/", "/admin", "/admin/x") == [200, 403, 403]
    assert statuses(neighbour, "/") == [403]


def test_policies_of_the_namespace_and_of_the_root_namespace_count_too(
    weather: Weather, neighbour: PodClient, echo: Pod
) -> None:
    everywhere = authorize("no-posts", "DENY", operations(methods=["POST"]), app="", namespace="istio-system")
    weather.mesh.apply(everywhere)
    weather.client.call(f"{HOST}/", method="POST").check(status(403))
    weather.client.call("http://forecast:3002/weather", method="POST").check(status(403))
    weather.mesh.apply(authorize("own", "ALLOW", sources(namespaces=["weather"]), app=""))
    assert statuses(weather.client, "/") + statuses(neighbour, "/") == [200, 403]
    weather.mesh.apply(authorize("another", "ALLOW", app="frontend"))
    assert statuses(weather.client, "/") == [200]


def test_a_dry_run_refuses_nothing(weather: Weather, echo: Pod) -> None:
    policy = authorize("dry", "DENY", {}, app="echo")
    policy["metadata"]["annotations"] = {"istio.io/dry-run": "true"}
    weather.mesh.apply(policy)
    assert statuses(weather.client, "/") == [200]
    weather.mesh.apply(authorize("audit", "AUDIT", {}, app="echo"))
    assert statuses(weather.client, "/") == [200]


def test_connections_of_other_protocols_are_judged_too(
    weather: Weather, neighbour: PodClient, echo: Pod
) -> None:
    address = "tcp://echo.weather:90"
    weather.mesh.apply(authorize("tcp", "ALLOW", sources(namespaces=["weather"]), app="echo"))
    weather.client.send(address, keep_alive=False).check(all_ok())
    assert neighbour.send(address, keep_alive=False)[0].error
    weather.mesh.apply(
        authorize("port", "DENY", {**sources(principals=[CLIENT]), **operations(ports=["9000"])}, app="echo")
    )
    assert weather.client.send(address, keep_alive=False)[0].error
    assert statuses(weather.client, "/") == [200]


def test_keys_of_http_on_other_protocols(weather: Weather, echo: Pod) -> None:
    """An ALLOW rule that asks for them never matches; a DENY rule matches without them."""
    address = "tcp://echo.weather:90"
    weather.mesh.apply(authorize("http", "ALLOW", operations(methods=["GET"]), app="echo"))
    assert weather.client.send(address, keep_alive=False)[0].error
    assert statuses(weather.client, "/") == [200]
    with weather.mesh.undoing():
        weather.mesh.apply(authorize("http", "ALLOW", {}, app="echo"))
        weather.client.send(address, keep_alive=False).check(all_ok())
        rule = {**operations(methods=["POST"], ports=["9000"])}
        weather.mesh.apply(authorize("no-posts", "DENY", rule, app="echo"))
        assert weather.client.send(address, keep_alive=False)[0].error
        assert statuses(weather.client, "/") == [200]


def test_a_refusal_leads_to_its_policy_and_rule(weather: Weather, echo: Pod, meshctl: Command) -> None:
    weather.mesh.apply(
        authorize("no-admin", "DENY", operations(paths=["/x"]), operations(paths=["/admin"]), app="echo")
    )
    assert statuses(weather.client, "/admin?traced=1") == [403]
    words = "ns[weather]-policy[no-admin]-rule[1]"

    def logged() -> bool:
        lines = [line for line in echo.logs("istio-proxy").splitlines() if "traced=1" in line]
        return any(words in line for line in lines)

    eventually(logged, 10)
    shown = meshctl("authz", "check", echo.name, "-n", "weather")
    assert shown.returncode == 0, shown.stderr
    assert "no-admin" in shown.stdout


GUARD = "guard.outside.svc.cluster.local"
PROVIDERS: list[Obj] = [
    {
        "name": "guard-http",
        "envoyExtAuthzHttp": {
            "service": GUARD,
            "port": 8000,
            "includeRequestHeadersInCheck": ["x-ext-authz"],
            "headersToUpstreamOnAllow": ["x-guard-result"],
            "headersToDownstreamOnDeny": ["x-guard-result"],
        },
    },
    {"name": "guard-grpc", "envoyExtAuthzGrpc": {"service": GUARD, "port": 9000}},
]


@pytest.fixture(scope="module")
def guards(weather: Weather, outside_servers: Outside) -> Iterator[None]:
    """The mesh knows whom policies may ask."""
    with mesh_settings(weather.mesh, extensionProviders=PROVIDERS):
        yield


@pytest.mark.parametrize("provider", ["guard-http", "guard-grpc"])
def test_somebody_else_may_decide(weather: Weather, guards: None, echo: Pod, provider: str) -> None:
    policy = authorize("guarded", "CUSTOM", operations(paths=["/guarded*"]), app="echo")
    policy["spec"]["provider"] = {"name": provider}
    weather.mesh.apply(policy)
    denied = header("x-guard-result", "denied")
    weather.client.get_until(f"{HOST}/guarded", status(403), denied, deadline=20)
    assert statuses(weather.client, "/open") == [200]
    headers = {"x-ext-authz": "allow"}
    (allowed,) = weather.client.get(f"{HOST}/guarded", headers=headers).check(status(200))
    assert allowed.json["headers"]["x-guard-result"] == "allowed"
    weather.mesh.apply(authorize("no", "DENY", operations(paths=["/guarded/no"]), app="echo"))
    assert statuses(weather.client, "/guarded/no", headers=headers) == [403]
    weather.client.get(f"{HOST}/guarded/no", headers=headers).check(header("x-guard-result", None))
