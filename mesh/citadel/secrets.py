"""The classic way: a Secret `istio.<account>` with key and certificate for every service account.

Made in namespaces with the injection label; looked after, wherever they are, as long as their account exists.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import structlog
from cryptography import x509

from mesh.citadel.errors import Refused
from mesh.citadel.issuing import Issuer
from mesh.citadel.kube import Conflict, Kube, KubeError, Obj, decoded, encoded
from mesh.citadel.metrics import Metrics
from mesh.citadel.settings import CitadelSettings
from mesh.citadel.watched import Key, Watched
from mesh.model.trust import TrustBundle
from mesh.pki.clock import Clock
from mesh.pki.csr import request
from mesh.pki.keypair import KeyPair
from mesh.pki.keys import key_pem, new_key
from mesh.pki.spiffe import Identity
from mesh.pki.trust import Trust, renewal_reason

PREFIX = "istio."
TYPE = "istio.io/key-and-cert"
CHAIN, KEY, ROOT = "cert-chain.pem", "key.pem", "root-cert.pem"
ACCOUNT = "istio.io/service-account.name"
AT_ONCE = 8  # Secrets written together
RENEW = (0.75, 0.85)  # of the life; where in between follows from the name, so that they do not come together

log = structlog.get_logger(component="citadel")


@dataclass(frozen=True, slots=True)
class Good:
    """A Secret that was looked at: in which version, under which bundle, and how long that stays true."""

    version: str
    bundle: TrustBundle
    until: datetime


class Secrets:
    """Makes, repairs, renews and removes the Secrets."""

    def __init__(
        self,
        kube: Kube,
        settings: CitadelSettings,
        issuer: Issuer,
        trust: Trust,
        metrics: Metrics,
        clock: Clock,
        *,
        namespaces: Watched,
        accounts: Watched,
        secrets: Watched,
    ) -> None:
        self._kube = kube
        self._settings = settings
        self._issuer = issuer
        self._trust = trust
        self._metrics = metrics
        self._clock = clock
        self._namespaces = namespaces
        self._accounts = accounts
        self._secrets = secrets
        self._room = asyncio.Semaphore(AT_ONCE)
        self._refused: set[Key] = set()
        self._good: dict[Key, Good] = {}

    async def step(self) -> None:
        """Put right every Secret that is not; raises a `KubeError` if some could not be written."""
        if not self._trust.current.root_cert:
            return
        work = [self._put_right(key) for key in tuple(self._wanted())]
        work += [self._remove(key) for key in tuple(self._orphans())]
        for result in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    def waiting(self, bundle: TrustBundle) -> Iterator[str]:
        """What a rotation waits for: Secrets that do not follow the bundle, but none that are denied."""
        for namespace, account in self._wanted():
            if (namespace, account) not in self._refused:
                problem = self._problem((namespace, account), bundle)
                if problem:
                    yield f"Secret {namespace}/{PREFIX}{account} ({problem})"

    def _wanted(self) -> Iterator[Key]:
        """The accounts that have a Secret, or shall have one."""
        for namespace, account in tuple(self._accounts.objects):
            if self._labelled(namespace) or self._secrets.get(namespace, PREFIX + account) is not None:
                yield namespace, account

    def _labelled(self, namespace: str) -> bool:
        metadata = (self._namespaces.get("", namespace) or {"metadata": {}})["metadata"]
        label, value = self._settings.injection_label
        return (metadata.get("labels") or {}).get(label) == value and not metadata.get("deletionTimestamp")

    def _orphans(self) -> Iterator[Key]:
        """Secrets whose account is gone."""
        for namespace, name in self._secrets.objects:
            account = name.removeprefix(PREFIX)
            if name.startswith(PREFIX) and self._accounts.get(namespace, account) is None:
                yield namespace, name

    def _problem(self, key: Key, bundle: TrustBundle) -> str | None:
        """Why the Secret of an account must be written, or None. What was found good is not read again."""
        namespace, account = key
        secret = self._secrets.get(namespace, PREFIX + account)
        if secret is None:
            return "missing"
        version = str(secret["metadata"]["resourceVersion"])
        known = self._good.get(key)
        if known and known.version == version and known.bundle == bundle and self._clock() < known.until:
            return None
        data = decoded(secret)
        identity = Identity(self._settings.trust_domain, namespace, account)
        problem = self._worn(data, identity)
        if problem is None and data.get(ROOT) != bundle.root_cert.encode():
            problem = "another root"
        if problem is None:
            self._good[key] = Good(version, bundle, due(_pair(data).leaf, identity))
        return problem

    def _worn(self, data: dict[str, bytes], identity: Identity) -> str | None:
        """Why its key and certificate must be made anew, or None."""
        pair = _pair(data)
        try:
            damage = pair.problem() or (None if pair.identity == identity else f"of {pair.identity}")
            if damage:
                return damage
            if self._clock() >= due(pair.leaf, identity):
                return "its end is near"
            return renewal_reason(pair, self._trust.bundle)
        except ValueError as error:
            return str(error)

    async def _put_right(self, key: Key) -> None:
        bundle = self._trust.current
        problem = self._problem(key, bundle)
        if problem is None:
            return
        async with self._room:
            try:
                await self._write(key, bundle, problem)
                self._refused.discard(key)
            except Refused as error:
                self._note_refusal(key, error)
            except KubeError as error:
                if error.status == 422:  # its name is too long for a Secret
                    self._note_refusal(key, Refused("denied", "", str(error)))
                    return
                if error.status not in {403, 404} or self._labelled(key[0]):
                    raise

    def _note_refusal(self, key: Key, error: Refused) -> None:
        if error.reason != "denied":
            raise KubeError(str(error))
        if key not in self._refused:
            log.warning("no Secret", namespace=key[0], account=key[1], error=str(error))
        self._refused.add(key)

    async def _write(self, key: Key, bundle: TrustBundle, problem: str) -> None:
        namespace, account = key
        data = await self._data(key, bundle)
        path = f"/api/v1/namespaces/{namespace}/secrets"
        present = self._secrets.get(namespace, PREFIX + account)
        if present is not None:
            made = await self._kube.merge(f"{path}/{PREFIX}{account}", {"data": encoded(data)})
        else:
            made = await self._create(path, self._secret(key, data))
        self._secrets.put(made)
        self._metrics.secrets.inc()
        log.info("Secret written", namespace=namespace, name=PREFIX + account, reason=problem)

    async def _create(self, path: str, secret: Obj) -> Obj:
        try:
            return await self._kube.create(path, secret)
        except Conflict:
            name = f"{path}/{secret['metadata']['name']}"
            present = await self._kube.get(name)
            if present is not None and present.get("type") == TYPE:  # another Citadel was faster
                raise
            await self._kube.delete(name)  # one of another type has its name
            return await self._kube.create(path, secret)

    async def _data(self, key: Key, bundle: TrustBundle) -> dict[str, bytes]:
        """The contents: a new key and certificate, unless only the root differs."""
        identity = Identity(self._settings.trust_domain, *key)
        present = decoded(self._secrets.get(key[0], PREFIX + key[1]) or {})
        root = {ROOT: bundle.root_cert.encode()}
        if self._worn(present, identity) is None:
            return root
        made = new_key(self._settings.workload_algorithm)
        seconds = int(self._settings.secret_lifetime.total_seconds())
        chain = await self._issuer.issue(identity, request(identity, made), seconds)
        return {KEY: key_pem(made), CHAIN: chain, **root}

    def _secret(self, key: Key, data: dict[str, bytes]) -> Obj:
        namespace, account = key
        owner = (self._accounts.get(namespace, account) or {}).get("metadata", {})
        reference = {"apiVersion": "v1", "kind": "ServiceAccount", "name": account, "uid": owner.get("uid")}
        metadata = {
            "name": PREFIX + account,
            "namespace": namespace,
            "annotations": {ACCOUNT: account},
            "ownerReferences": [reference],
        }
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": TYPE,
            "metadata": metadata,
            "data": encoded(data),
        }

    async def _remove(self, key: Key) -> None:
        self._good.pop((key[0], key[1].removeprefix(PREFIX)), None)
        await self._kube.delete(f"/api/v1/namespaces/{key[0]}/secrets/{key[1]}")
        log.info("Secret removed", namespace=key[0], name=key[1], reason="its service account is gone")


def _pair(data: dict[str, bytes]) -> KeyPair:
    return KeyPair(data.get(KEY, b""), data.get(CHAIN, b""))


def due(certificate: x509.Certificate, identity: Identity) -> datetime:
    """When it is renewed: a part of its life after it began, between the bounds of `RENEW`."""
    share = int.from_bytes(sha256(identity.uri.encode()).digest()[:4]) / 2**32
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begins + (ends - begins) * (RENEW[0] + (RENEW[1] - RENEW[0]) * share)
