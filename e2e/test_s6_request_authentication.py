"""S6: users' tokens: a good one is taken, a wrong one is 401, a missing one passes until a policy asks."""

import json
from typing import Any

import pytest

from e2e.conftest import Outside
from e2e.security import authorize, security, sources
from pytest_mesh import all_ok, body_has, eventually, status
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj
from pytest_mesh.pods import Pod
from pytest_mesh.tokens import Issuer, bearer

pytestmark = pytest.mark.behaviour("S6")
URL = "http://echo/"


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


def rule(issuer: Issuer, **more: Any) -> Obj:
    """What an issuer's tokens have to be; keys inline unless there is a jwksUri."""
    keys = {} if "jwksUri" in more else {"jwks": issuer.jwks}
    return {"issuer": issuer.name, **keys, **more}


def authentication(*rules: Obj) -> Obj:
    selector = {"matchLabels": {"app": "echo"}}
    return security("RequestAuthentication", "echo", selector=selector, jwtRules=list(rules))


def test_good_wrong_and_missing_tokens(weather: Weather, echo: Pod, issuer: Issuer) -> None:
    weather.mesh.apply(authentication(rule(issuer)))
    client = weather.client
    client.get(URL, headers=bearer(issuer.token())).check(status(200))
    client.get(URL).check(status(200))
    wrong = {
        "expired": issuer.token(expires_in=-600),
        "not yet": issuer.token(nbf=4_000_000_000),
        "another issuer": issuer.token(iss="somebody"),
        "another key": Issuer(issuer.name).token(),
        "garbage": "not.a.token",
        "unsigned": issuer.token().rpartition(".")[0] + ".",
    }
    for why, token in wrong.items():
        (response,) = client.get(URL, headers=bearer(token))
        assert response.status == 401, why
        assert response.body, "Envoy says why"


def test_a_policy_may_demand_a_token_and_look_into_it(weather: Weather, echo: Pod, issuer: Issuer) -> None:
    weather.mesh.apply(authentication(rule(issuer)))
    someone = sources(requestPrincipals=["*"])
    admins = {**someone, "when": [{"key": "request.auth.claims[groups]", "values": ["admins"]}]}
    weather.mesh.apply(authorize("token", "ALLOW", admins, app="echo"))
    client = weather.client
    client.get(URL).check(status(403))
    client.get(URL, headers=bearer(issuer.token())).check(status(403))
    client.get(URL, headers=bearer(issuer.token(groups=["users", "admins"]))).check(status(200))
    client.get(URL, headers=bearer(issuer.token(groups="admins"))).check(status(200))
    client.get(URL, headers=bearer("wrong")).check(status(401))


def test_audiences_are_checked(weather: Weather, echo: Pod, issuer: Issuer) -> None:
    weather.mesh.apply(authentication(rule(issuer, audiences=["weather", "climate"])))
    client = weather.client
    for audience, wanted in (("weather", 200), (["x", "climate"], 200), ("other", 403), (None, 403)):
        (response,) = client.get(URL, headers=bearer(issuer.token(aud=audience)))
        assert response.status == wanted, (audience, response)


def test_a_token_is_found_where_the_rule_says(weather: Weather, echo: Pod, issuer: Issuer) -> None:
    header = {"name": "x-token", "prefix": "Token "}
    weather.mesh.apply(
        authentication(rule(issuer, fromHeaders=[header], fromParams=["token"], fromCookies=["session"]))
    )
    weather.mesh.apply(authorize("token", "ALLOW", sources(requestPrincipals=["*"]), app="echo"))
    client, token = weather.client, issuer.token()
    client.get(URL, headers={"x-token": f"Token {token}"}).check(status(200))
    client.get(f"{URL}?token={token}").check(status(200))
    client.get(URL, headers={"cookie": f"a=b; session={token}"}).check(status(200))
    client.get(URL, headers=bearer(token)).check(status(403))
    client.get(URL, headers={"x-token": "Token wrong"}).check(status(401))


def test_what_is_handed_on(weather: Weather, echo: Pod, issuer: Issuer) -> None:
    claims = [{"header": "x-user", "claim": "sub"}, {"header": "x-group", "claim": "team.name"}]
    client, token = weather.client, issuer.token(sub="ann", team={"name": "storm"})
    weather.mesh.apply(
        authentication(rule(issuer, outputPayloadToHeader="x-payload", outputClaimToHeaders=claims))
    )
    (response,) = client.get(URL, headers={**bearer(token), "x-user": "forged"}).check(all_ok())
    seen = response.json["headers"]
    assert (seen["x-user"], seen["x-group"]) == ("ann", "storm")
    assert seen["x-payload"]
    assert "authorization" not in seen
    weather.mesh.apply(authentication(rule(issuer, forwardOriginalToken=True)))
    (response,) = client.get(URL, headers=bearer(token)).check(all_ok())
    assert response.json["headers"]["authorization"] == f"Bearer {token}"


def test_two_issuers_may_stand_side_by_side(weather: Weather, echo: Pod, issuer: Issuer) -> None:
    other = Issuer("other@meshwright.dev")
    weather.mesh.apply(authentication(rule(issuer), rule(other)))
    principals = sources(requestPrincipals=[f"{other.name}/{other.name}"])
    weather.mesh.apply(authorize("token", "ALLOW", principals, app="echo"))
    weather.client.get(URL, headers=bearer(other.token())).check(status(200))
    weather.client.get(URL, headers=bearer(issuer.token())).check(status(403))


def test_keys_are_fetched_and_the_last_good_ones_kept(
    weather: Weather, echo: Pod, outside_servers: Outside, issuer: Issuer
) -> None:
    url = outside_servers.put("/jwks.json", json.loads(issuer.jwks))
    weather.mesh.apply(authentication(rule(issuer, jwksUri=url)))
    client = weather.client
    eventually(lambda: client.get(URL, headers=bearer(issuer.token())).check(status(200)), 20)
    client.get(URL, headers=bearer(Issuer(issuer.name).token())).check(status(401))
    outside_servers.put("/jwks.json", {"oops": 1}, status=503)
    client.get(URL, headers=bearer(issuer.token())).check(status(200), body_has("service", "echo"))
