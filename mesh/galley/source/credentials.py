"""The trust bundle and gateways' credentials from the platform, checked as they come.

Pilot may have them only if Envoy can use them: PEM that can be read, a key that fits its certificate. What is
wrong is refused with its reason, and the last good version stays. Sources of the names: Kubernetes
(`kubernetes.io/tls`), Istio ("Secure Gateways": `cert`, `key`, `cacert`, `crl`; `ca.crt`, `ca.crl`).
"""

import asyncio
import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from mesh.api.errors import ConfigError, Problem
from mesh.galley.source.stored import StoredSource
from mesh.galley.store import ConfigStore, key_of
from mesh.model import ConfigObject, ObjectKey
from mesh.model.trust import TRUST_NAME, Credential, TrustBundle
from mesh.pki.bundle import load_lists
from mesh.pki.certificates import load_chain
from mesh.pki.keypair import KeyPair
from mesh.pki.keys import load_key
from mesh.platform.reflector import Obj, Reflector

KINDS = frozenset({"ConfigMap", "Secret"})
"""Kinds of object that this source brings."""

CERT, KEY = ("cert", "tls.crt"), ("key", "tls.key")
CA, CRL = ("cacert", "ca.crt"), ("crl", "ca.crl")
TYPES = frozenset({"kubernetes.io/tls", "Opaque", "generic", ""})
ELSEWHERE = (
    "istio.io/key-and-cert",
    "istio.io/ca-root",
    "kubernetes.io/service-account-token",
    "kubernetes.io/dockerconfigjson",
    "helm.sh/release.v1",
    "bootstrap.kubernetes.io/token",
)
"""Types of Secret that are never a gateway's, so that they need not even be sent."""

WEAK = 2048  # bits of an RSA key below which Envoy refuses it


class CredentialSource(StoredSource):
    """A `ConfigSource` of `TrustBundle` (the ConfigMap istio-trust) and `Credential` (Secrets)."""

    def __init__(self, client: Any, namespace: str = "istio-system") -> None:
        super().__init__(ConfigStore(parse))
        self._client = client
        self._namespace = namespace

    async def run(self) -> None:
        """List and watch until cancelled."""
        name, others = f"metadata.name={TRUST_NAME}", ",".join(f"type!={each}" for each in ELSEWHERE)
        reflectors = [
            self._reflector("ConfigMap", f"/api/v1/namespaces/{self._namespace}/configmaps", name),
            self._reflector("Secret", "/api/v1/secrets", others),
        ]
        async with asyncio.TaskGroup() as group:
            for reflector in reflectors:
                group.create_task(reflector.run())
            for reflector in reflectors:
                await reflector.synced.wait()
            self.synced.set()

    def _reflector(self, kind: str, path: str, fields: str) -> Reflector:
        def replace(objects: list[Obj]) -> None:
            self._store.replace(kind, objects)

        selector = f"fieldSelector={fields}"
        return Reflector(self._client, path, replace=replace, change=self._change, selector=selector)

    def _change(self, event: str, obj: Obj) -> None:
        if event == "DELETED":
            self._store.remove(key_of(obj))
        else:
            self._store.put(obj)


def parse(obj: Mapping[str, Any]) -> ConfigObject:
    """A ConfigMap or Secret as trust bundle or credential; `ConfigError` with all that is wrong.

    A Secret of another kind of content is a credential without parts. Labels and annotations are left out:
    they mean nothing here, and Pilot writes one itself.
    """
    key, data = key_of(obj), obj.get("data") or {}
    problems: list[Problem] = []
    spec: TrustBundle | Credential
    if key.kind == "ConfigMap":
        denied = tuple(str(data.get("denied") or "").split())
        spec = TrustBundle(data.get("root-cert.pem") or "", data.get("crl.pem") or "", denied)
        problems.extend(of_trust(key, spec))
    else:
        spec = credential(key, data if obj.get("type", "") in TYPES else {}, problems)
        problems.extend([] if problems else of_credential(key, spec, data))
    if problems:
        raise ConfigError(problems)
    metadata = obj["metadata"]
    return ConfigObject(
        key, "", "v1", spec, resource_version=metadata.get("resourceVersion", ""), uid=metadata.get("uid", "")
    )


def credential(key: ObjectKey, data: Mapping[str, Any], problems: list[Problem]) -> Credential:
    """The parts of a Secret; what is no text is added to `problems`."""

    def part(names: tuple[str, ...]) -> str:
        name = next((each for each in names if data.get(each)), "")
        try:
            return base64.b64decode(data[name], validate=True).decode() if name else ""
        except (binascii.Error, UnicodeDecodeError, ValueError):
            problems.append(Problem(key, f"data[{name}]", "is no PEM text", "write PEM, base64-encoded"))
            return ""

    return Credential(part(CERT), part(KEY), part(CA), part(CRL))


def of_trust(key: ObjectKey, bundle: TrustBundle) -> Iterator[Problem]:
    """What is wrong with the trust bundle."""
    remedy = "Citadel writes this object; delete it, and it is made anew"
    yield from unreadable(key, "data[root-cert.pem]", bundle.root_cert, load_chain, remedy)
    if bundle.crl:
        yield from unreadable(key, "data[crl.pem]", bundle.crl, lists, remedy)


def of_credential(key: ObjectKey, spec: Credential, data: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with a Secret for a gateway."""

    usual = not {CERT[1], KEY[1]}.isdisjoint(data)  # as kubernetes.io/tls names them

    def path(names: tuple[str, ...]) -> str:
        return f"data[{next((each for each in names if data.get(each)), names[usual])}]"

    if spec.cert or spec.key:
        broken = [
            *unreadable(key, path(CERT), spec.cert, load_chain, "write the certificate chain, leaf first"),
            *unreadable(key, path(KEY), spec.key, load_key, "write its private key, not encrypted"),
        ]
        yield from broken or unfitting(key, path(KEY), spec)
    if spec.ca_cert:
        yield from unreadable(key, path(CA), spec.ca_cert, load_chain, "write the authorities' certificates")
    if spec.crl:
        yield from unreadable(key, path(CRL), spec.crl, lists, "write the revocation lists")
        if not spec.ca_cert:
            yield Problem(key, path(CRL), "is without authorities", f"add {CA[0]} or {CA[1]} beside it")


def unfitting(key: ObjectKey, path: str, spec: Credential) -> Iterator[Problem]:
    """A key that is another certificate's, or one that Envoy refuses."""
    problem = KeyPair(spec.key.encode(), spec.cert.encode()).problem()
    if problem:
        yield Problem(key, path, problem, "write the key that the certificate was made for")
    private = load_key(spec.key.encode())
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size < WEAK:
        yield Problem(
            key,
            path,
            f"an RSA key of {private.key_size} bits is too weak",
            f"make one of {WEAK} bits or more",
        )


def unreadable(
    key: ObjectKey, path: str, pem: str, load: Callable[[bytes], Any], remedy: str
) -> Iterator[Problem]:
    """A PEM text that is missing or cannot be read."""
    try:
        load(pem.encode())
    except ValueError as error:
        yield Problem(key, path, str(error) if pem else "is missing", remedy)


def lists(pem: bytes) -> None:
    """Read revocation lists; `ValueError` if there is none."""
    if not load_lists(pem):
        raise ValueError("no revocation list can be read")
