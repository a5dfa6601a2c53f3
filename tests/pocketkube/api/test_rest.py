"""The REST shell as clients see it: discovery, media types, lists, watches, errors, proxies."""

import json
import threading
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
import requests

from tests.pocketkube.api.rig import Served, config_map, definition, deployment, pod, service

pytestmark = pytest.mark.behaviour("H1")


class Client:
    """requests, with the server's address, certificate and token."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self.session = requests.Session()
        self.session.trust_env = False  # proxies and authorities of the machine mean nothing here
        self.session.verify = str(served.ca)
        self.session.headers.update(served.headers)

    def __call__(self, method: str, path: str, **more: Any) -> requests.Response:
        return self.session.request(method, self._served.url + path, timeout=20, **more)


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    made = Client(served)
    yield made
    made.session.close()


def events(response: requests.Response) -> Iterator[dict[str, Any]]:
    """The events of a watch, as they come."""
    return (json.loads(line) for line in response.iter_lines(chunk_size=1))


def test_nobody_in_particular_may_ask_for_health_only(served: Served) -> None:
    for path in ("/healthz", "/livez", "/readyz", "/version"):
        assert requests.get(served.url + path, verify=str(served.ca), timeout=30).status_code == 200
    refused = requests.get(served.url + "/api/v1/pods", verify=str(served.ca), timeout=30)
    assert (refused.status_code, refused.json()["reason"]) == (401, "Unauthorized")


def test_tokens_of_accounts_are_good_here(served: Served, client: Client) -> None:
    namespace = served.namespace()
    asked = client(
        "POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token", json={"spec": {}}
    ).json()
    header = {"Authorization": f"Bearer {asked['status']['token']}"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    who = client("POST", path, json={}, headers=header).json()
    assert who["status"]["userInfo"]["username"] == f"system:serviceaccount:{namespace}:default"
    review = {"spec": {"token": asked["status"]["token"]}}
    known = client("POST", "/apis/authentication.k8s.io/v1/tokenreviews", json=review).json()
    assert known["status"]["authenticated"]
    review["spec"]["token"] = "x"
    unknown = client("POST", "/apis/authentication.k8s.io/v1/tokenreviews", json=review).json()
    assert (unknown["status"]["authenticated"], bool(unknown["status"]["error"])) == (False, True)


def test_discovery_in_its_old_form(client: Client) -> None:
    assert client("GET", "/api").json()["versions"] == ["v1"]
    groups = {group["name"]: group for group in client("GET", "/apis").json()["groups"]}
    assert groups["apps"]["preferredVersion"] == {"groupVersion": "apps/v1", "version": "v1"}
    resources = {item["name"]: item for item in client("GET", "/api/v1").json()["resources"]}
    assert resources["pods"]["shortNames"] == ["po"]
    assert resources["pods/eviction"]["kind"] == "Eviction"
    assert client("GET", "/apis/apps").json()["name"] == "apps"
    assert client("GET", "/apis/nowhere.io/v1").status_code == 404


@pytest.mark.parametrize("version", ["v2", "v2beta1"])
def test_discovery_in_its_new_form(client: Client, version: str) -> None:
    accept = f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList,application/json"
    answer = client("GET", "/apis", headers={"Accept": accept})
    assert f"v={version};as=APIGroupDiscoveryList" in answer.headers["Content-Type"]
    assert answer.json()["apiVersion"] == f"apidiscovery.k8s.io/{version}"
    groups = {item["metadata"]["name"]: item for item in answer.json()["items"]}
    deployments = groups["apps"]["versions"][0]["resources"][0]
    assert (deployments["resource"], deployments["scope"]) == ("deployments", "Namespaced")
    assert {part["subresource"] for part in deployments["subresources"]} == {"scale", "status"}


def test_openapi_says_how_kinds_are_patched(served: Served, client: Client) -> None:
    served.run(served.api.create("customresourcedefinitions.apiextensions.k8s.io", definition("openapi.io")))
    paths = client("GET", "/openapi/v3").json()["paths"]
    assert {"api/v1", "apis/apps/v1", "apis/openapi.io/v1", "apis/openapi.io/v1alpha3"} <= paths.keys()
    document = client("GET", paths["apis/openapi.io/v1"]["serverRelativeURL"]).json()
    patch = document["paths"]["/apis/openapi.io/v1/namespaces/{namespace}/widgets/{name}"]["patch"]
    assert "fieldValidation" in {parameter["name"] for parameter in patch["parameters"]}
    assert "io.openapi.v1.Widget" in document["components"]["schemas"]
    text = client("GET", paths["api/v1"]["serverRelativeURL"]).text
    assert "#/$defs/" not in text
    assert '"null"' not in text


def test_create_read_replace_delete(served: Served, client: Client) -> None:
    base = f"/api/v1/namespaces/{served.namespace()}/configmaps"
    made = client("POST", base, json=config_map(a="1"))
    assert (made.status_code, made.json()["kind"]) == (201, "ConfigMap")
    read = client("GET", f"{base}/c").json()
    assert read == made.json()
    replaced = client("PUT", f"{base}/c", json={**read, "data": {"a": "2"}})
    assert (replaced.status_code, replaced.json()["data"]) == (200, {"a": "2"})
    assert client("PUT", f"{base}/c", json=read).status_code == 409
    gone = client("DELETE", f"{base}/c").json()
    assert (gone["status"], gone["details"]["uid"]) == ("Success", read["metadata"]["uid"])
    missing = client("GET", f"{base}/c")
    assert (missing.status_code, missing.json()["message"]) == (404, 'configmaps "c" not found')


@pytest.mark.parametrize(
    ("body", "content", "status", "words"),
    [
        (b"{", "application/json", 400, "not JSON"),
        (b"[]", "application/json", 400, "must be an object"),
        (b"a: [", "application/yaml", 400, "not YAML"),
        (b"x", "image/png", 415, "image/png"),
        (b"k8s\x00\xff", "application/vnd.kubernetes.protobuf", 400, "cannot be read"),
        (b"kind: Secret\n", "application/yaml", 400, "does not match"),
    ],
)
def test_bodies_that_cannot_be_read(
    client: Client, body: bytes, content: str, status: int, words: str
) -> None:
    answer = client(
        "POST", "/api/v1/namespaces/default/configmaps", data=body, headers={"Content-Type": content}
    )
    assert (answer.status_code, words in answer.json()["message"]) == (status, True), answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/apis/apps/v1/nothings", 404),
        ("GET", "/apis/apps/v9/deployments", 404),
        ("GET", "/elsewhere", 404),
        ("PUT", "/api/v1/namespaces/default/configmaps", 405),
        ("GET", "/apis/authentication.k8s.io/v1/tokenreviews", 405),
        ("GET", "/api/v1/pods?labelSelector=a%20b", 400),
        ("GET", "/api/v1/pods?fieldSelector=spec.x=1", 400),
        ("GET", "/api/v1/pods?limit=x", 400),
        ("GET", "/api/v1/pods?limit=1&continue=x", 400),
        ("GET", "/api/v1/pods?resourceVersion=999999999", 504),
        ("POST", "/api/v1/namespaces/default/configmaps?dryRun=Some", 400),
        ("PATCH", "/api/v1/namespaces/default/configmaps/x", 415),
    ],
)
def test_requests_that_make_no_sense(client: Client, method: str, path: str, status: int) -> None:
    answer = client(method, path, json={} if method != "GET" else None)
    assert (answer.status_code, answer.json()["kind"]) == (status, "Status"), answer.text


def test_unknown_fields_are_warned_of_or_refused(served: Served, client: Client) -> None:
    base = f"/api/v1/namespaces/{served.namespace()}/configmaps"
    warned = client("POST", base, json={**config_map(), "dta": {}})
    assert warned.headers["Warning"] == '299 - "unknown field \\"dta\\""'
    strict = client("POST", f"{base}?fieldValidation=Strict", json={**config_map("d"), "dta": {}})
    assert (strict.status_code, 'unknown field "dta"' in strict.json()["message"]) == (400, True)


def test_lists_come_in_pages(served: Served, client: Client) -> None:
    namespace = served.namespace()
    for number in range(5):
        served.run(served.api.create("configmaps", config_map(f"c{number}"), namespace))
    base, names, token = f"/api/v1/namespaces/{namespace}/configmaps", [], ""
    while True:
        page = client("GET", f"{base}?limit=2&continue={token}").json()
        names += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue", "")
        if not token:
            break
        assert page["metadata"]["remainingItemCount"] == 5 - len(names)
    assert names == [f"c{number}" for number in range(5)]


def test_a_collection_is_deleted_by_selector(served: Served, client: Client) -> None:
    namespace = served.namespace()
    for name in "ab":
        made = config_map(name)
        made["metadata"]["labels"] = {"name": name}
        served.run(served.api.create("configmaps", made, namespace))
    base = f"/api/v1/namespaces/{namespace}/configmaps"
    deleted = client("DELETE", f"{base}?labelSelector=name%3Da").json()
    assert [item["metadata"]["name"] for item in deleted["items"]] == ["a"]
    assert [item["metadata"]["name"] for item in client("GET", base).json()["items"]] == ["b"]


def test_watches_go_on_from_a_revision(served: Served, client: Client) -> None:
    namespace = served.namespace()
    base = f"/api/v1/namespaces/{namespace}/configmaps"
    since = client("GET", base).json()["metadata"]["resourceVersion"]
    served.run(served.api.create("configmaps", config_map("a"), namespace))
    with client("GET", f"{base}?watch=true&resourceVersion={since}", stream=True) as response:
        told = events(response)
        assert next(told)["object"]["metadata"]["name"] == "a"
        served.run(served.api.delete("configmaps", "a", namespace))
        assert next(told)["type"] == "DELETED"


def test_watches_without_a_revision_begin_with_what_is_there(served: Served, client: Client) -> None:
    namespace = served.namespace()
    served.run(served.api.create("configmaps", config_map("a"), namespace))
    with client("GET", f"/api/v1/namespaces/{namespace}/configmaps?watch=1", stream=True) as response:
        event = next(events(response))
    assert (event["type"], event["object"]["kind"]) == ("ADDED", "ConfigMap")


def test_watch_lists_end_with_a_bookmark(served: Served, client: Client) -> None:
    namespace = served.namespace()
    served.run(served.api.create("configmaps", config_map("a"), namespace))
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    with client("GET", f"/api/v1/namespaces/{namespace}/configmaps?{query}", stream=True) as response:
        first, mark = islice(events(response), 2)
    assert (first["type"], mark["type"]) == ("ADDED", "BOOKMARK")
    assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_watches_end_in_time_with_a_bookmark(served: Served, client: Client) -> None:
    base = f"/api/v1/namespaces/{served.namespace()}/configmaps"
    answer = client("GET", f"{base}?watch=1&timeoutSeconds=1&allowWatchBookmarks=true")
    assert [json.loads(line)["type"] for line in answer.text.splitlines()] == ["BOOKMARK"]


def test_a_watch_from_too_long_ago_is_told_so(served: Served, client: Client) -> None:
    log = served.api.core.store.log("limitranges")
    log.compact(served.api.core.store.revision)
    answer = client("GET", "/api/v1/limitranges?watch=1&resourceVersion=1")
    event = json.loads(answer.text)
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


def test_watches_as_tables(served: Served, client: Client) -> None:
    namespace = served.namespace()
    served.run(served.api.create("pods", pod("a"), namespace))
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    with client(
        "GET", f"/api/v1/namespaces/{namespace}/pods?watch=1", headers=accept, stream=True
    ) as response:
        told = events(response)
        first = next(told)["object"]
        served.run(served.api.patch("pods", "a", namespace, {"metadata": {"labels": {"a": "b"}}}))
        second = next(told)["object"]
    assert (first["kind"], first["rows"][0]["cells"][:3]) == ("Table", ["a", "0/1", "Pending"])
    assert first["columnDefinitions"]
    assert second["columnDefinitions"] == []


def test_metadata_alone(served: Served, client: Client) -> None:
    namespace = served.namespace()
    served.run(served.api.create("configmaps", config_map("a", key="value"), namespace))
    base = f"/api/v1/namespaces/{namespace}/configmaps"
    accept = "application/json;as=PartialObjectMetadata{};v=v1;g=meta.k8s.io"
    one = client("GET", f"{base}/a", headers={"Accept": accept.format("")}).json()
    assert (one["kind"], "data" in one) == ("PartialObjectMetadata", False)
    many = client("GET", base, headers={"Accept": accept.format("List")}).json()
    assert (many["kind"], many["items"][0]["metadata"]["name"]) == ("PartialObjectMetadataList", "a")


def test_custom_resources_in_the_version_that_is_asked_for(served: Served, client: Client) -> None:
    served.run(served.api.create("customresourcedefinitions.apiextensions.k8s.io", definition("versions.io")))
    namespace = served.namespace()
    old = {"apiVersion": "versions.io/v1alpha3", "kind": "Widget", "metadata": {"name": "w"}}
    base = "/apis/versions.io/{}/namespaces/" + namespace + "/widgets"
    assert client("POST", base.format("v1alpha3"), json=old).json()["apiVersion"] == "versions.io/v1alpha3"
    assert client("GET", base.format("v1") + "/w").json()["apiVersion"] == "versions.io/v1"
    assert client("GET", base.format("v1alpha3")).json()["items"][0]["apiVersion"] == "versions.io/v1alpha3"
    with client("GET", base.format("v1alpha3") + "?watch=1", stream=True) as response:
        assert next(events(response))["object"]["apiVersion"] == "versions.io/v1alpha3"


def test_scale(served: Served, client: Client) -> None:
    namespace = served.namespace()
    served.run(served.api.create("deployments.apps", deployment(), namespace))
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/d/scale"
    scale = client("GET", path).json()
    assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == ("Scale", {"replicas": 1}, "app=d")
    assert client("PUT", path, json={**scale, "spec": {"replicas": 4}}).json()["spec"]["replicas"] == 4
    merge = {"Content-Type": "application/merge-patch+json"}
    assert (
        client("PATCH", path, data='{"spec":{"replicas":2}}', headers=merge).json()["spec"]["replicas"] == 2
    )
    assert served.api.get("deployments.apps", "d", namespace)["spec"]["replicas"] == 2


def test_evictions_heed_budgets(served: Served, client: Client) -> None:
    namespace = served.namespace()
    for name in "ab":
        labelled = pod(name, nodeName="one")
        labelled["metadata"]["labels"] = {"app": "x"}
        served.run(served.api.create("pods", labelled, namespace))
        ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        served.run(served.api.patch("pods", name, namespace, ready, subresource="status"))
    budget = {
        "metadata": {"name": "b"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}},
    }
    served.run(served.api.create("poddisruptionbudgets.policy", budget, namespace))
    path = f"/api/v1/namespaces/{namespace}/pods/{{}}/eviction"
    assert client("POST", path.format("a"), json={"metadata": {"name": "a"}}).status_code == 201
    refused = client("POST", path.format("b"), json={"metadata": {"name": "b"}})
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "10")
    assert "needs 1 healthy pods and has 1" in refused.json()["details"]["causes"][0]["message"]


class Upstream:
    """An HTTP server in a Pod: answers with what it was asked."""

    def __init__(self) -> None:
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(418)
                self.send_header("X-Upstream", "yes")
                self.end_headers()
                self.wfile.write(f"{self.path} {body.decode()} {self.headers.get('Authorization')}".encode())

            do_GET = do_POST  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Be quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self._thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self) -> "Upstream":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


def test_pods_and_services_are_reached_through_the_server(served: Served, client: Client) -> None:
    namespace = served.namespace()
    with Upstream() as upstream:
        ported = [{"name": "main", "image": "i", "ports": [{"name": "web", "containerPort": upstream.port}]}]
        served.run(served.api.create("pods", pod("a", containers=ported), namespace))
        served.run(
            served.api.patch("pods", "a", namespace, {"status": {"podIP": "127.0.0.1"}}, subresource="status")
        )
        served.run(
            served.api.create("services", service("s", ports=[{"port": 80, "name": "web"}]), namespace)
        )
        piece = {
            "metadata": {"name": "s", "labels": {"kubernetes.io/service-name": "s"}},
            "addressType": "IPv4",
            "ports": [{"name": "web", "port": upstream.port}],
            "endpoints": [{"addresses": ["127.0.0.1"]}],
        }
        served.run(served.api.create("endpointslices.discovery.k8s.io", piece, namespace))
        base = f"/api/v1/namespaces/{namespace}"
        for target in (
            f"pods/a:{upstream.port}",
            "pods/a:web",
            "pods/a",
            "services/s:80",
            "services/http:s:web",
            "services/s",
        ):
            answer = client("POST", f"{base}/{target}/proxy/x%2Fy?q=1", data=b"hello")
            assert (answer.status_code, answer.headers["X-Upstream"]) == (418, "yes"), answer.text
            assert answer.text == "/x%2Fy?q=1 hello None"
    unreachable = client("GET", f"{base}/pods/a/proxy/")
    assert (unreachable.status_code, unreachable.json()["reason"]) == (503, "ServiceUnavailable")
    assert client("GET", f"{base}/pods/a:nothing/proxy/").status_code == 404


def test_logs(served: Served, client: Client) -> None:
    namespace = served.namespace()
    two = [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]
    served.run(served.api.create("pods", pod("p", containers=two), namespace))
    path = f"/api/v1/namespaces/{namespace}/pods/p/log"
    assert "choose one of: [a b]" in client("GET", path).json()["message"]
    assert client("GET", f"{path}?container=b&tailLines=3").text == "p/b 0\np/b 1\np/b 2\n"
    assert client("GET", f"{path}?container=b&limitBytes=3").text == "p/b"
    assert "it has: a, b" in client("GET", f"{path}?container=c").json()["message"]


def test_impersonation_is_for_masters(served: Served, client: Client) -> None:
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    as_user = {"Impersonate-User": "jane"}
    assert client("POST", path, json={}, headers=as_user).json()["status"]["userInfo"]["username"] == "jane"
    token = served.api.mint_token("default", "default")
    refused = client("POST", path, json={}, headers={**as_user, "Authorization": f"Bearer {token}"})
    assert refused.status_code == 403


def test_access_reviews(client: Client) -> None:
    attributes = {"verb": "get", "resource": "pods", "namespace": "default"}
    path = "/apis/authorization.k8s.io/v1/"
    asked = {"spec": {"resourceAttributes": attributes}}
    assert client("POST", f"{path}selfsubjectaccessreviews", json=asked).json()["status"]["allowed"]
    assert client("POST", f"{path}selfsubjectrulesreviews", json={"spec": {}}).json()["status"][
        "resourceRules"
    ]
