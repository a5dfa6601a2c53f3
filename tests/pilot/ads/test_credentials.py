"""Whose secrets a gateway gets, and which Secrets are taken from the platform at all."""

import base64
import textwrap
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2

from mesh.api.errors import ConfigError
from mesh.api.meshconfig import MeshConfig
from mesh.galley.source.credentials import CredentialSource, parse
from mesh.galley.store import ConfigStore
from mesh.model import ConfigObject, Labels, ObjectKey, Proxy, ProxyKind
from mesh.model.trust import ROOTCA, Credential, TrustBundle
from mesh.pilot.compile import Compiler
from mesh.pilot.snapshot import Snapshot
from mesh.pilot.types import SDS, Resource
from mesh.pki.keypair import KeyPair
from mesh.pki.keys import key_pem, new_key
from tests.live import client_of, running, until
from tests.pilot.ads.authority import Authority
from tests.pilot.compile.world import World
from tests.pocketkube.api.rig import Served

pytestmark = pytest.mark.behaviour("S3")
GATEWAY = """
kind: Gateway
metadata: {name: web, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
"""
SERVICES = """
- name: istio-ingressgateway
  namespace: istio-system
  addresses: [10.1.0.9]
  ports: [{number: 80, name: http2}]
  instances: [{address: 10.0.0.9, ports: {80: 8080}, labels: {istio: ingressgateway},
               service_account: istio-ingressgateway}]
- name: frontend
  namespace: istio-system
  addresses: [10.1.0.1]
  ports: [{number: 3000, name: http}]
  instances: [{address: 10.0.0.1, labels: {app: frontend}, service_account: frontend}]
"""
AUTHORITY = Authority()
PAIR = AUTHORITY.certify(names=("shop.example",))
SHOP, SHOP_CA = "kubernetes://shop", "kubernetes://shop-cacert"


class Secrets:
    """A world with Secrets, and what proxies get of them."""

    def __init__(self) -> None:
        self.world = World(textwrap.dedent(SERVICES), GATEWAY)
        self.objects = {
            key: ConfigObject(key, "", "v1", spec)
            for key, spec in {
                ObjectKey("ConfigMap", "istio-system", "istio-trust"): AUTHORITY.bundle(),
                ObjectKey("Secret", "istio-system", "shop"): Credential(
                    PAIR.chain.decode(), PAIR.key.decode(), AUTHORITY.pem, AUTHORITY.crl()
                ),
                ObjectKey("Secret", "bank", "vault"): Credential(PAIR.chain.decode(), PAIR.key.decode()),
                ObjectKey("Secret", "istio-system", "partner-cacert"): Credential(ca_cert=AUTHORITY.pem),
            }.items()
        }

    def of(self, proxy: Proxy, *names: str) -> dict[str, secret_pb2.Secret]:
        every = {**self.world.store.objects(), **self.objects}

        class Objects:
            def objects(self) -> Any:
                return every

        snapshot = Snapshot.build(None, self.world.table, Objects(), MeshConfig())
        found: Any = Compiler().named(snapshot, proxy, SDS, names)
        resources: dict[str, Resource] = found
        return {name: secret_pb2.Secret.FromString(each.payload) for name, each in resources.items()}


def router(
    *, account: str = "istio-ingressgateway", address: str = "10.0.0.9", namespace: str = "istio-system"
) -> Proxy:
    labels = Labels({"istio": "ingressgateway"})
    return Proxy(ProxyKind.ROUTER, address, "gateway-1", namespace, labels=labels, service_account=account)


SIDECAR = Proxy(ProxyKind.SIDECAR, "10.0.0.9", "x", "istio-system", service_account="istio-ingressgateway")


def test_a_gateway_gets_the_certificate_and_the_authorities_of_its_secret() -> None:
    found = Secrets().of(router(), SHOP, SHOP_CA, ROOTCA)
    assert found[SHOP].tls_certificate.private_key.inline_bytes == PAIR.key
    assert found[SHOP].tls_certificate.certificate_chain.inline_bytes == PAIR.chain
    context = found[SHOP_CA].validation_context
    assert context.trusted_ca.inline_bytes.decode() == AUTHORITY.pem
    assert context.crl.inline_bytes
    assert context.only_verify_leaf_cert_crl
    assert found[ROOTCA].validation_context.trusted_ca.inline_bytes.decode() == AUTHORITY.pem


def test_authorities_may_be_in_a_secret_of_their_own() -> None:
    found = Secrets().of(router(), "kubernetes://partner-cacert")
    assert not found["kubernetes://partner-cacert"].validation_context.HasField("crl")


def test_a_gateway_gets_nothing_of_another_namespace() -> None:
    asked = ("kubernetes://vault", "kubernetes://bank/vault", "kubernetes://../bank/vault")
    assert Secrets().of(router(), *asked) == {}
    assert Secrets().of(router(namespace="bank"), SHOP, "kubernetes://vault") == {}


def test_a_sidecar_gets_the_bundle_only() -> None:
    assert Secrets().of(SIDECAR, ROOTCA, SHOP, SHOP_CA).keys() == {ROOTCA}


def test_a_sidecar_that_says_it_is_a_gateway_gets_no_certificate() -> None:
    """Its account is known by its certificate, what it runs by the platform: no Gateway selects it."""
    assert Secrets().of(router(account="frontend", address="10.0.0.1"), SHOP) == {}
    assert Secrets().of(router(account="frontend", address="10.0.0.9"), SHOP) == {}  # another's address
    assert Secrets().of(router(address="10.0.0.77"), SHOP) == {}  # nobody's


def test_a_secret_that_is_missing_is_absent() -> None:
    secrets = Secrets()
    secrets.objects.clear()
    assert secrets.of(router(), SHOP, SHOP_CA, ROOTCA, "default", "nonsense") == {}


# From the platform


def secret(data: Mapping[str, str | bytes], kind: str = "kubernetes.io/tls") -> dict[str, Any]:
    coded = {
        name: base64.b64encode(part.encode() if isinstance(part, str) else part).decode()
        for name, part in data.items()
    }
    metadata = {"name": "shop", "namespace": "weather", "resourceVersion": "1"}
    return {"kind": "Secret", "metadata": metadata, "type": kind, "data": coded}


TLS: dict[str, str | bytes] = {"tls.crt": PAIR.chain, "tls.key": PAIR.key}
GENERIC: dict[str, str | bytes] = {
    "cert": PAIR.chain,
    "key": PAIR.key,
    "cacert": AUTHORITY.pem,
    "crl": AUTHORITY.crl(),
}


def test_secrets_of_both_forms_are_read() -> None:
    whole = Credential(PAIR.chain.decode(), PAIR.key.decode(), AUTHORITY.pem, AUTHORITY.crl())
    assert parse(secret(GENERIC, "Opaque")).spec.ca_cert == whole.ca_cert
    tls = parse(secret({**TLS, "ca.crt": AUTHORITY.pem})).spec
    assert (tls.cert, tls.key, tls.ca_cert) == (whole.cert, whole.key, whole.ca_cert)


@pytest.mark.parametrize("data", [{"password": "x"}, {"ca-cert.pem": AUTHORITY.pem}, {}])
def test_a_secret_of_another_kind_is_a_credential_without_parts(data: dict[str, str]) -> None:
    assert parse(secret(dict(data), "Opaque")).spec == Credential()


WEAK = """-----BEGIN PRIVATE KEY-----
no
-----END PRIVATE KEY-----
"""
WRONG: dict[str, tuple[dict[str, str | bytes], str]] = {
    "no certificate": ({"tls.crt": "hello", "tls.key": PAIR.key}, "data[tls.crt]: no certificates"),
    "no key": ({"tls.crt": PAIR.chain, "tls.key": WEAK}, "data[tls.key]: not a private key"),
    "key missing": ({"tls.crt": PAIR.chain}, "data[tls.key]: is missing"),
    "certificate missing": ({"key": PAIR.key}, "data[cert]: is missing"),
    "another's key": ({**TLS, "tls.key": key_pem(new_key())}, "the key does not fit the certificate"),
    "not text": ({**TLS, "tls.crt": b"\xff\xfe"}, "data[tls.crt]: is no PEM text"),
    "bad authorities": ({"cacert": "hello"}, "data[cacert]: no certificates"),
    "bad list": ({"cacert": AUTHORITY.pem, "crl": "hello"}, "data[crl]: no revocation list"),
    "list alone": ({"crl": AUTHORITY.crl()}, "is without authorities"),
}


@pytest.mark.parametrize(("data", "words"), WRONG.values(), ids=WRONG)
def test_a_secret_that_is_wrong_is_refused_with_its_reason(data: dict[str, str | bytes], words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(secret(data))
    assert words in str(raised.value)
    assert "Secret weather/shop" in str(raised.value)
    assert "PRIVATE KEY" not in str(raised.value)
    assert all(problem.remedy for problem in raised.value.problems)


def test_a_wrong_version_leaves_the_good_one() -> None:
    store = ConfigStore(parse)
    key = ObjectKey("Secret", "weather", "shop")
    store.put(secret(dict(TLS)))
    bad = secret({"tls.crt": "hello", "tls.key": PAIR.key})
    bad["metadata"]["resourceVersion"] = "2"
    store.put(bad)
    assert store.objects()[key].spec.cert == PAIR.chain.decode()
    assert store.seen(key) == "2"
    assert "no certificates" in str(store.rejected(key))


def test_keys_are_in_no_repr() -> None:
    assert "PRIVATE KEY" not in repr(parse(secret(dict(TLS))))
    assert isinstance(PAIR, KeyPair)


@asynccontextmanager
async def source(served: Served, namespace: str) -> AsyncIterator[CredentialSource]:
    async with client_of(served.kubeconfig) as client:
        made = CredentialSource(client, namespace)
        async with running(made):
            yield made


async def test_the_platforms_trust_and_secrets_are_followed(served: Served) -> None:
    namespace = served.namespace()
    trust, shop = ObjectKey("ConfigMap", namespace, "istio-trust"), ObjectKey("Secret", namespace, "shop")
    bundle = AUTHORITY.bundle()
    data = {"root-cert.pem": bundle.root_cert, "crl.pem": bundle.crl}
    config = {"metadata": {"name": "istio-trust"}, "data": data}
    made = {**secret(dict(TLS)), "metadata": {"name": "shop"}}
    other = {"metadata": {"name": "istio.x"}, "type": "istio.io/key-and-cert", "data": {}}
    served.run(served.api.create("configmaps", config, namespace))
    async with source(served, namespace) as found:
        assert found.objects()[trust].spec == TrustBundle(bundle.root_cert, bundle.crl)
        served.run(served.api.create("secrets", made, namespace))
        served.run(served.api.create("secrets", other, namespace))
        served.run(served.api.create("configmaps", {"metadata": {"name": "other"}}, namespace))
        await until(lambda: shop in found.objects(), "the Secret")
        served.run(served.api.patch("configmaps", "istio-trust", namespace, {"data": {"root-cert.pem": "x"}}))
        await until(lambda: found.rejected(trust), "the bundle to be refused")
        assert found.objects()[trust].spec.root_cert == bundle.root_cert
        served.run(served.api.delete("secrets", "shop", namespace))
        await until(lambda: shop not in found.objects(), "the Secret to go")
        assert {key for key in found.objects() if key.namespace == namespace} == {trust}
