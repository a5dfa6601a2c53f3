"""Admission webhooks over real TLS: what they are asked, what they may do, what follows if they fail."""

from pathlib import Path
from typing import Any

import pytest

from pocketkube.api.api import Api
from pocketkube.api.errors import ApiError, BadRequest, InternalError, NotFound
from pocketkube.api.objects import Obj
from pocketkube.api.options import Options
from pocketkube.api.write.create import create
from tests.pocketkube.api.hook import MUTATING, VALIDATING, Hook, allow, configure, deny
from tests.pocketkube.api.rig import add_namespace, config_map, deployment, new_api, pod

pytestmark = pytest.mark.behaviour("H1", "W1")
LABEL = {"op": "add", "path": "/metadata/labels", "value": {"injected": "yes"}}
SIDECAR = {"op": "add", "path": "/spec/containers/-", "value": {"name": "proxy", "image": "proxy:1"}}


async def with_hook(hook: Hook, resource: str = MUTATING, **more: Any) -> Api:
    api = await new_api("demo", "system")
    await hook.serve_as(api)
    await configure(api, resource, hook.webhook(**more))
    return api


async def test_a_mutating_webhook_is_asked_by_the_protocol(tmp_path: Path) -> None:
    async with Hook(tmp_path, allow(LABEL)) as hook:
        api = await with_hook(hook)
        made = await api.create("pods", {"metadata": {"generateName": "p-"}, "spec": pod()["spec"]}, "demo")
        await api.close()
    request = hook.requests[0]
    assert made["metadata"]["labels"] == {"injected": "yes"}
    assert request["kind"] == {"group": "", "version": "v1", "kind": "Pod"}
    assert request["resource"] == {"group": "", "version": "v1", "resource": "pods"}
    assert (request["operation"], request["namespace"], request["dryRun"]) == ("CREATE", "demo", False)
    assert "name" not in request
    assert request["userInfo"]["groups"]
    assert request["object"]["spec"]["restartPolicy"] == "Always"
    assert request["oldObject"] is None
    assert hook.headers[0]["Host"] == "hook.system.svc"


async def test_what_a_webhook_adds_is_completed(tmp_path: Path) -> None:
    async with Hook(tmp_path, allow(SIDECAR)) as hook:
        api = await with_hook(hook)
        made = await api.create("pods", pod(), "demo")
        await api.close()
    first, proxy = made["spec"]["containers"]
    assert proxy["terminationMessagePath"] == "/dev/termination-log"
    assert proxy["volumeMounts"] == first["volumeMounts"]
    assert len(made["spec"]["volumes"]) == 1


async def test_a_refusal_is_told_in_the_webhooks_words(tmp_path: Path) -> None:
    async with Hook(tmp_path, deny(message="no sidecars on Sunday", code=403, reason="Forbidden")) as hook:
        api = await with_hook(hook, VALIDATING)
        with pytest.raises(ApiError) as refused:
            await api.create("pods", pod(), "demo")
        await api.close()
    assert (
        refused.value.message == 'admission webhook "pods.hook.io" denied the request: no sidecars on Sunday'
    )
    assert refused.value.status == 403
    with pytest.raises(NotFound):
        api.get("pods", "p", "demo")


@pytest.mark.parametrize("policy", ["Fail", "Ignore"])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("status", "the server answered 500"),
        ("authority", "CERTIFICATE_VERIFY_FAILED"),
        ("endpoints", "no endpoints available"),
        ("service", 'services "hook" not found'),
        ("slow", "no answer within 1 s"),
        ("answer", "expected response.uid"),
        ("patch", "the patch is not JSON in base64"),
    ],
)
async def test_what_becomes_of_a_write_when_its_webhook_fails(
    tmp_path: Path, policy: str, spoil: str, words: str
) -> None:
    async with Hook(tmp_path, allow(), delay=1.5 if spoil == "slow" else 0) as hook:
        api = await with_hook(hook, failurePolicy=policy, timeoutSeconds=1)
        await _spoil(api, hook, spoil, tmp_path)
        if policy == "Ignore":
            assert await api.create("pods", pod(), "demo")
        else:
            with pytest.raises(InternalError, match=r'failed calling webhook "pods.hook.io"') as failed:
                await api.create("pods", pod(), "demo")
            assert words in failed.value.message
        await api.close()


async def _spoil(api: Api, hook: Hook, how: str, folder: Path) -> None:
    if how == "status":
        hook.status = 500
    elif how == "authority":
        bundle = Hook(folder, allow()).certificate.bundle
        path = "/webhooks/0/clientConfig/caBundle"
        await api.patch(
            MUTATING, "config", "", [{"op": "replace", "path": path, "value": bundle}], kind="json"
        )
    elif how == "endpoints":
        ready = [{"op": "replace", "path": "/endpoints/0/conditions/ready", "value": False}]
        await api.patch("endpointslices.discovery.k8s.io", "hook", "system", ready, kind="json")
    elif how == "service":
        await api.delete("services", "hook", "system")
    elif how == "answer":
        hook.answer = allow(uid="another")
    elif how == "patch":
        hook.answer = lambda _request: {"allowed": True, "patchType": "JSONPatch", "patch": "!"}


async def test_the_certificate_must_be_the_services(tmp_path: Path) -> None:
    async with Hook(tmp_path, allow(), name="other.system.svc") as hook:
        api = await with_hook(hook)
        with pytest.raises(InternalError, match=r"hook.system.svc"):
            await api.create("pods", pod(), "demo")
        await api.close()


async def test_a_webhook_by_url(tmp_path: Path) -> None:
    async with Hook(tmp_path, allow(LABEL), name="127.0.0.1") as hook:
        api = await new_api()
        client = {"url": f"https://127.0.0.1:{hook.port}/x", "caBundle": hook.certificate.bundle}
        await configure(api, MUTATING, hook.webhook(clientConfig=client))
        assert (await api.create("pods", pod(), "demo"))["metadata"]["labels"]
        await api.close()


SELECTORS = [
    ({"namespaceSelector": {"matchLabels": {"istio-injection": "enabled"}}}, True),
    ({"namespaceSelector": {"matchLabels": {"istio-injection": "disabled"}}}, False),
    ({"namespaceSelector": {"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}}, True),
    ({"objectSelector": {"matchLabels": {"app": "p"}}}, True),
    ({"objectSelector": {"matchLabels": {"app": "q"}}}, False),
    (
        {"rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}]},
        True,
    ),
    (
        {
            "rules": [
                {"operations": ["UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
            ]
        },
        False,
    ),
    (
        {"rules": [{"operations": ["*"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["*"]}]},
        False,
    ),
    (
        {
            "rules": [
                {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/status"]}
            ]
        },
        False,
    ),
    (
        {
            "rules": [
                {
                    "operations": ["*"],
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "resources": ["pods"],
                    "scope": "Cluster",
                }
            ]
        },
        False,
    ),
]


@pytest.mark.parametrize(("more", "asked"), SELECTORS)
async def test_who_is_asked(tmp_path: Path, more: Obj, asked: bool) -> None:
    async with Hook(tmp_path, allow()) as hook:
        api = await with_hook(hook, **more)
        await add_namespace(api, "meshed", **{"istio-injection": "enabled"})
        labelled = pod()
        labelled["metadata"]["labels"] = {"app": "p"}
        await api.create("pods", labelled, "meshed")
        await api.close()
    assert bool(hook.requests) is asked


async def test_mutating_webhooks_follow_each_other_and_may_be_asked_again(tmp_path: Path) -> None:
    def count(request: Obj) -> Obj:
        seen = int(request["object"]["metadata"].get("annotations", {}).get("seen", "0")) + 1
        annotation = {"op": "add", "path": "/metadata/annotations", "value": {"seen": str(seen)}}
        return allow(annotation)(request)

    async with (
        Hook(tmp_path, count) as first,
        Hook(tmp_path, allow(LABEL), name="second.system.svc") as second,
    ):
        api = await with_hook(first, reinvocationPolicy="IfNeeded")
        await second.serve_as(api, "second")
        client = {"service": {"name": "second", "namespace": "system"}, "caBundle": second.certificate.bundle}
        await configure(api, MUTATING, second.webhook("z.hook.io", clientConfig=client), name="z-config")
        made = await api.create("pods", pod(), "demo")
        await api.close()
    assert (len(first.requests), len(second.requests)) == (2, 1)
    assert made["metadata"]["annotations"] == {"seen": "2"}


async def test_updates_and_deletions_carry_the_old_object(tmp_path: Path) -> None:
    rule = {
        "operations": ["UPDATE", "DELETE"],
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "resources": ["configmaps"],
    }
    async with Hook(tmp_path, allow()) as hook:
        api = await with_hook(hook, VALIDATING, rules=[rule])
        await api.create("configmaps", config_map(a="1"), "demo")
        await api.patch("configmaps", "c", "demo", {"data": {"a": "2"}})
        await api.delete("configmaps", "c", "demo")
        await api.close()
    update, deletion = hook.requests
    assert (update["oldObject"]["data"], update["object"]["data"]) == ({"a": "1"}, {"a": "2"})
    assert (deletion["operation"], deletion["object"], deletion["oldObject"]["data"]) == (
        "DELETE",
        None,
        {"a": "2"},
    )


async def test_a_trial_asks_only_webhooks_without_side_effects(tmp_path: Path) -> None:
    async with Hook(tmp_path, allow()) as hook:
        api = await with_hook(hook, sideEffects="Some")
        with pytest.raises(BadRequest, match="does not support dry run"):
            await api.create("pods", pod(), "demo", dry_run=True)
        await api.close()


async def test_a_write_that_is_overtaken_is_tried_again(tmp_path: Path) -> None:
    rule = {
        "operations": ["UPDATE"],
        "apiGroups": ["apps"],
        "apiVersions": ["v1"],
        "resources": ["deployments"],
    }
    async with Hook(tmp_path, allow(), delay=0.05) as hook:
        api = await with_hook(hook, VALIDATING, rules=[rule])
        await api.create("deployments.apps", deployment(), "demo")

        async def label(name: str) -> None:
            await api.patch("deployments.apps", "d", "demo", {"metadata": {"labels": {name: "x"}}})

        import asyncio

        await asyncio.gather(*(label(name) for name in "abc"))
        await api.close()
    assert api.get("deployments.apps", "d", "demo")["metadata"]["labels"] == {"a": "x", "b": "x", "c": "x"}


async def test_connections_are_kept_and_made_anew_when_the_webhook_was_restarted(tmp_path: Path) -> None:
    async with Hook(tmp_path, allow()) as hook:
        api = await with_hook(hook)
        await api.create("pods", pod("a"), "demo")
        await hook._runner.cleanup()
        with pytest.raises(InternalError):
            await api.create("pods", pod("b"), "demo")
        await api.close()


async def test_warnings_reach_the_writer(tmp_path: Path) -> None:
    answer = allow(warnings=["http[1] is never reached", "use another version"])
    async with Hook(tmp_path, answer) as hook:
        api = await with_hook(hook, VALIDATING)
        options = Options()
        await create(api.core, api.resource("pods"), pod(), "demo", options)
        await api.close()
    assert options.warnings == ["http[1] is never reached", "use another version"]
