"""ServiceAccount tokens: minted, verified, and no good once what they are bound to is gone."""

from datetime import UTC, datetime, timedelta

import pytest

from pocketkube.api.errors import NotFound, Unauthorized
from tests.pocketkube.api.rig import new_api, pod

pytestmark = pytest.mark.behaviour("H1")


async def test_a_token_names_its_account() -> None:
    api = await new_api()
    made = await api.create("pods", pod(), "demo")
    token = api.mint_token("demo", "default", seconds=600, pod=made)
    user, audiences = api.tokens.verify(token)
    assert user.name == "system:serviceaccount:demo:default"
    assert "system:serviceaccounts:demo" in user.groups
    assert user.extra["authentication.kubernetes.io/pod-name"] == ("p",)
    assert audiences == ["https://kubernetes.default.svc.cluster.local"]


async def test_audiences_are_checked() -> None:
    api = await new_api()
    token = api.mint_token("demo", "default", audiences=["istio-ca"])
    assert api.tokens.verify(token, ["other", "istio-ca"])[1] == ["istio-ca"]
    with pytest.raises(Unauthorized, match="audiences"):
        api.tokens.verify(token)


async def test_tokens_expire() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    api = await new_api(clock=lambda: now)
    token = api.mint_token("demo", "default", seconds=600)
    api.tokens.verify(token)
    now += timedelta(seconds=600)
    with pytest.raises(Unauthorized, match="expired"):
        api.tokens.verify(token)


async def test_tokens_die_with_their_pod() -> None:
    api = await new_api()
    made = await api.create("pods", pod(), "demo")
    token = api.mint_token("demo", "default", pod=made)
    await api.delete("pods", "p", "demo")
    with pytest.raises(Unauthorized, match="invalidated"):
        api.tokens.verify(token)
    await api.create("pods", pod(), "demo")
    with pytest.raises(Unauthorized, match="made anew"):
        api.tokens.verify(token)


@pytest.mark.parametrize(
    "spoil", [lambda t: t[:-4] + "AAAA", lambda t: "x." + t, lambda _t: "", lambda _t: "a.b.c"]
)
async def test_forgeries(spoil: "object") -> None:
    api = await new_api()
    assert callable(spoil)
    with pytest.raises(Unauthorized, match="not one that this server made"):
        api.tokens.verify(spoil(api.mint_token("demo", "default")))


async def test_tokens_need_an_account() -> None:
    api = await new_api()
    with pytest.raises(NotFound, match='serviceaccounts "ghost" not found'):
        api.mint_token("demo", "ghost")
