"""Roles and bindings decide what a ServiceAccount may do over REST."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import requests

from pocketkube.api.auth.rbac import GROUP, Asked, Rights
from pocketkube.api.errors import AlreadyExists
from pocketkube.api.objects import Obj
from pocketkube.api.users import ADMIN, User
from pocketkube.bootstrap import roles
from tests.pocketkube.api.rig import Served, config_map, new_api

pytestmark = pytest.mark.behaviour("H1")

ROBOT = User("system:serviceaccount:demo:robot", ("system:serviceaccounts", "system:authenticated"))
ACCOUNT = {"kind": "ServiceAccount", "name": "robot", "namespace": "demo"}


def role(name: str, **rule: Any) -> Obj:
    return {"metadata": {"name": name}, "rules": [{"apiGroups": [""], "verbs": ["get"], **rule}]}


def binding(name: str, kind: str, subject: Obj) -> Obj:
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": name},
        "subjects": [subject],
    }


@pytest.mark.parametrize(
    ("rule", "asked", "may"),
    [
        ({"resources": ["pods"]}, Asked("get", "", "pods", "demo", "p"), True),
        ({"resources": ["pods"]}, Asked("list", "", "pods", "demo"), False),
        ({"resources": ["pods"], "verbs": ["*"]}, Asked("watch", "", "pods", "demo"), True),
        ({"resources": ["pods"]}, Asked("get", "", "pods", "demo", "p", "log"), False),
        ({"resources": ["pods/log"]}, Asked("get", "", "pods", "demo", "p", "log"), True),
        ({"resources": ["*/log"]}, Asked("get", "", "pods", "demo", "p", "log"), True),
        ({"resources": ["*"]}, Asked("get", "", "pods", "demo", "p", "log"), True),
        ({"resources": ["pods"]}, Asked("get", "apps", "pods", "demo", "p"), False),
        ({"resources": ["pods"], "apiGroups": ["*"]}, Asked("get", "apps", "pods", "demo", "p"), True),
        ({"resources": ["pods"], "resourceNames": ["p"]}, Asked("get", "", "pods", "demo", "p"), True),
        ({"resources": ["pods"], "resourceNames": ["p"]}, Asked("get", "", "pods", "demo", "q"), False),
        ({"resources": ["pods"], "resourceNames": ["p"]}, Asked("get", "", "pods", "demo"), False),
    ],
)
async def test_rules_say_what_is_allowed(rule: Obj, asked: Asked, may: bool) -> None:
    api = await new_api("demo")
    rights = Rights(api.core.store)
    await api.create(f"clusterroles.{GROUP}", role("r", **rule))
    assert not rights.allow(ROBOT, asked)
    await api.create(f"clusterrolebindings.{GROUP}", binding("r", "ClusterRole", ACCOUNT))
    assert rights.allow(ROBOT, asked) is may


async def test_a_binding_holds_in_its_namespace() -> None:
    api = await new_api("demo", "other")
    rights = Rights(api.core.store)
    await api.create(f"clusterroles.{GROUP}", role("r", resources=["pods"]))
    await api.create(f"rolebindings.{GROUP}", binding("r", "ClusterRole", ACCOUNT), "other")
    await api.create(f"rolebindings.{GROUP}", binding("absent", "Role", ACCOUNT), "demo")
    assert rights.allow(ROBOT, Asked("get", "", "pods", "other", "p"))
    assert not rights.allow(ROBOT, Asked("get", "", "pods", "demo", "p"))
    assert not rights.allow(ROBOT, Asked("get", "", "pods", "", "p"))


@pytest.mark.parametrize(
    ("subject", "may"),
    [
        ({"kind": "User", "name": "ada"}, True),
        ({"kind": "Group", "name": "engineers"}, True),
        ({"kind": "User", "name": "engineers"}, False),
        ({"kind": "ServiceAccount", "name": "ada", "namespace": "demo"}, False),
    ],
)
async def test_subjects_are_users_groups_and_accounts(subject: Obj, may: bool) -> None:
    api = await new_api("demo")
    await api.create(f"clusterroles.{GROUP}", role("r", resources=["pods"]))
    await api.create(f"clusterrolebindings.{GROUP}", binding("r", "ClusterRole", subject))
    asked = Asked("get", "", "pods", "demo", "p")
    assert Rights(api.core.store).allow(User("ada", ("engineers",)), asked) is may


async def test_the_masters_may_do_everything() -> None:
    api = await new_api("demo")
    assert Rights(api.core.store).allow(ADMIN, Asked("delete", "apps", "deployments", "demo", "d"))


@pytest.fixture
def strict(served: Served) -> Iterator[Served]:
    """The served API with RBAC in force, and the roles of every cluster."""
    for resource, item in roles():
        with suppress(AlreadyExists):
            served.run(served.api.create(resource, item))
    served.api.core.rights = Rights(served.api.core.store)
    yield served
    served.api.core.rights = None


def test_requests_without_a_right_are_forbidden(strict: Served) -> None:
    namespace = strict.namespace()
    token = strict.api.mint_token(namespace, "default")
    strict.run(strict.api.create("configmaps", config_map("c", a="b"), namespace))
    strict.run(strict.api.create(f"roles.{GROUP}", role("reader", resources=["configmaps"]), namespace))
    subject = {"kind": "ServiceAccount", "name": "default"}
    strict.run(strict.api.create(f"rolebindings.{GROUP}", binding("reader", "Role", subject), namespace))
    path = f"{strict.url}/api/v1/namespaces/{namespace}/configmaps"
    with requests.Session() as session:
        session.verify, session.trust_env = str(strict.ca), False
        session.headers["Authorization"] = f"Bearer {token}"
        assert session.get(f"{path}/c").json()["data"] == {"a": "b"}
        refused = session.get(path)
        assert refused.status_code == 403
        assert refused.json()["message"] == (
            f'configmaps is forbidden: User "system:serviceaccount:{namespace}:default" cannot list resource '
            f'"configmaps" in API group "" in the namespace "{namespace}"'
        )
        assert session.delete(f"{path}/c").status_code == 403
        assert session.delete(path).json()["message"].startswith("configmaps is forbidden")
        assert session.get(path, params={"watch": "1"}).status_code == 403


def test_a_rule_that_names_an_object_holds_for_lists_of_it_alone(strict: Served) -> None:
    namespace = strict.namespace()
    one = role("one", resources=["configmaps"], resourceNames=["c"], verbs=["list", "watch"])
    strict.run(strict.api.create(f"roles.{GROUP}", one, namespace))
    subject = {"kind": "ServiceAccount", "name": "default"}
    strict.run(strict.api.create(f"rolebindings.{GROUP}", binding("one", "Role", subject), namespace))
    strict.run(strict.api.create("configmaps", config_map("c", a="b"), namespace))
    path = f"{strict.url}/api/v1/namespaces/{namespace}/configmaps"
    with requests.Session() as session:
        session.verify, session.trust_env = str(strict.ca), False
        session.headers["Authorization"] = f"Bearer {strict.api.mint_token(namespace, 'default')}"
        found = session.get(path, params={"fieldSelector": "metadata.name=c"})
        assert [item["metadata"]["name"] for item in found.json()["items"]] == ["c"]
        assert session.get(path).status_code == 403
        assert session.get(path, params={"fieldSelector": "metadata.name!=c"}).status_code == 403


def test_can_i_tells_the_same(strict: Served) -> None:
    namespace = strict.namespace()
    question = ("auth", "can-i", "list", "pods", "-n", namespace)
    assert strict.kubectl(*question).stdout.strip() == "yes"
    account = f"--as=system:serviceaccount:{namespace}:default"
    assert strict.kubectl(*question, account, check=False).stdout.strip() == "no"
