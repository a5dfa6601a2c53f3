"""S4: who may have which certificate: by its token, or by its present certificate; anybody else is refused.

The requests come from a sidecar's container, so that nothing stands between them and Citadel.
"""

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from e2e.security import CITADEL, foreign, identity, nothing_crashes, run_inside
from pytest_mesh import eventually
from pytest_mesh.authority import Authority, Pair, identity_of, signed_by
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj
from pytest_mesh.traffic import PodClient

pytestmark = [pytest.mark.behaviour("S4"), pytest.mark.usefixtures("steady")]
TOKEN = "/var/run/secrets/tokens/istio-token"
ANOTHER_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"
BY_TOKEN, BY_CERTIFICATE = f"{CITADEL}:8060", f"{CITADEL}:8061"
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def csr(name: str, key: Key | None = None) -> str:
    """A signing request for a name."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    made = builder.add_extension(names, critical=True).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


def with_a_wrong_signature(text: str) -> str:
    """The same request, with the last byte of its signature changed."""
    der = bytearray(base64.b64decode("".join(text.splitlines()[1:-1])))
    der[-1] ^= 1
    body = base64.encodebytes(bytes(der)).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"


@pytest.fixture(scope="module")
def authority(weather: Weather) -> Authority:
    return Authority.of(weather.mesh.api)


def ask(weather: Weather, request: str, *, pair: Pair | None = None, **proof: Any) -> Obj:
    """Ask from the client's Pod: by certificate if there is one, else by token."""
    shown = {"certificate": pair.certificate, "key": pair.key} if pair else {}
    address = BY_CERTIFICATE if pair else BY_TOKEN
    return run_inside(weather.client.pod, "csr", **{"address": address, "csr": request, **shown, **proof})


def minted(weather: Weather, account: str, *audiences: str, seconds: int = 600) -> str:
    """A token of an account, as the API server gives it to whoever may ask."""
    path = f"/api/v1/namespaces/weather/serviceaccounts/{account}/token"
    wish = {"spec": {"audiences": list(audiences), "expirationSeconds": seconds}}
    made = weather.mesh.api.request(
        "POST", path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", **wish}
    )
    return str(made["status"]["token"])


def test_a_workload_gets_its_certificate_by_token_and_renews_by_certificate(
    weather: Weather, authority: Authority
) -> None:
    name, key = identity("client"), ec.generate_private_key(ec.SECP256R1())
    first = ask(weather, csr(name, key), token_file=TOKEN)
    assert first["code"] == "OK", first["details"]
    assert identity_of(first["chain"]) == name
    assert signed_by(first["chain"], authority.pem)
    form = serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
    second = ask(weather, csr(name), pair=Pair(first["chain"], pem))
    assert second["code"] == "OK", second["details"]
    assert identity_of(second["chain"]) == name
    read = x509.load_pem_x509_certificate(second["chain"].encode())
    assert read.not_valid_after_utc <= authority.certificate.not_valid_after_utc
    assert read.not_valid_after_utc - read.not_valid_before_utc <= timedelta(hours=1, minutes=10)


def test_a_name_that_is_not_the_callers_is_refused(weather: Weather, authority: Authority) -> None:
    stolen = (
        identity("frontend"),
        identity("client", "neighbour"),
        identity("client", domain="other.domain"),
    )
    for name in (*stolen, "spiffe://cluster.local/ns/istio-system/sa/istio-pilot"):
        by_token = ask(weather, csr(name), token_file=TOKEN)
        assert by_token["code"] == "PERMISSION_DENIED", (name, by_token)
        assert name in by_token["details"] or "client" in by_token["details"]
    by_certificate = ask(weather, csr(stolen[0]), pair=authority.issue(identity("client")))
    assert by_certificate["code"] == "PERMISSION_DENIED", by_certificate


@pytest.mark.parametrize("proof", ["none", "audience", "garbage", "forged", "password"])
def test_who_cannot_prove_itself_by_a_token_is_refused(weather: Weather, proof: str) -> None:
    part = base64.urlsafe_b64encode(json.dumps({"sub": "system:serviceaccount:weather:client"}).encode())
    proofs: dict[str, dict[str, Any]] = {
        "none": {},
        "audience": {"token_file": ANOTHER_TOKEN},
        "garbage": {"token": "x" * 2000},
        "forged": {"token": f"e30.{part.decode().rstrip('=')}.AAAA"},
        "password": {"token": "Basic YTpi"},
    }
    told = ask(weather, csr(identity("client")), **proofs[proof])
    assert told["code"] in ("UNAUTHENTICATED", "RESOURCE_EXHAUSTED"), told
    assert not told["chain"]


def test_the_audience_decides_not_the_account(weather: Weather) -> None:
    name = identity("client")
    assert ask(weather, csr(name), token=minted(weather, "client", "istio-ca"))["code"] == "OK"
    assert ask(weather, csr(name), token=minted(weather, "client", "vault"))["code"] == "UNAUTHENTICATED"
    assert (
        ask(weather, csr(name), token=minted(weather, "frontend", "istio-ca"))["code"] == "PERMISSION_DENIED"
    )


@pytest.mark.parametrize("who", ["expired", "another trust domain", "a self-made authority"])
def test_who_cannot_prove_itself_by_a_certificate_is_refused(
    weather: Weather, authority: Authority, who: str
) -> None:
    name = identity("client")
    pair = {
        "expired": authority.issue(name, start=-timedelta(days=2)),
        "another trust domain": foreign(),
        "a self-made authority": Authority.new().issue(name),
    }[who]
    told = ask(weather, csr(name), pair=pair)
    assert told["code"] in ("UNAVAILABLE", "UNAUTHENTICATED"), told
    assert not told["chain"]


@pytest.mark.parametrize("wrong", ["signature", "weak key", "two names", "no request", "empty"])
def test_a_request_that_is_wrong_is_refused_and_says_why(weather: Weather, wrong: str) -> None:
    name = identity("client")
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    key = ec.generate_private_key(ec.SECP256R1())
    both = x509.SubjectAlternativeName(
        [x509.UniformResourceIdentifier(n) for n in (name, identity("frontend"))]
    )
    requests = {
        "signature": with_a_wrong_signature(csr(name)),
        "weak key": csr(name, rsa.generate_private_key(public_exponent=65537, key_size=1024)),
        "two names": _pem(builder.add_extension(both, critical=True).sign(key, hashes.SHA256())),
        "no request": "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        "empty": "",
    }
    told = ask(weather, requests[wrong], token_file=TOKEN)
    assert told["code"] in ("INVALID_ARGUMENT", "PERMISSION_DENIED"), told
    assert told["details"]


def _pem(made: x509.CertificateSigningRequest) -> str:
    return made.public_bytes(serialization.Encoding.PEM).decode()


def test_a_request_without_a_name_gets_the_callers(weather: Weather) -> None:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = _pem(builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()))
    told = ask(weather, request, token_file=TOKEN)
    assert told["code"] == "OK", told
    assert identity_of(told["chain"]) == identity("client")


def test_refusals_are_counted(weather: Weather) -> None:
    before = refusals(weather)
    ask(weather, csr(identity("frontend")), token_file=TOKEN)
    eventually(lambda: refusals(weather) > before)


def refusals(weather: Weather) -> float:
    """Of Citadel's own metrics, wherever it runs."""
    for app in ("istio-citadel", "istio-pilot"):
        for pod in weather.mesh.pods("istio-system", app=app):
            text = str(pod.request("GET", 15014, "/metrics"))
            if "citadel_server_csr_count" in text:
                lines = [
                    line
                    for line in text.splitlines()
                    if line.startswith("citadel_server_refused_count_total")
                ]
                return sum(float(line.rsplit(" ", 1)[1]) for line in lines)
    raise AssertionError("nobody counts citadel_server_csr_count")


def test_a_caller_that_asks_without_end_is_limited_and_others_are_not(
    weather: Weather, plain: PodClient
) -> None:
    """Plain bytes and half handshakes at Citadel's ports change nothing for those who ask rightly."""
    with nothing_crashes(weather.mesh):
        for port in (8060, 8061):
            heard = plain.talk(f"{CITADEL}:{port}", send="GET / HTTP/1.1\r\n\r\n", count=20, timeout=3)
            assert all(not each.received.startswith("HTTP/1.1 200") for each in heard)
    assert ask(weather, csr(identity("client")), token_file=TOKEN)["code"] == "OK"
