"""S3: a certificate is got, renewed before its end with jitter, and kept while Citadel is away."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from mesh.citadel.authority import Authority, Subject
from mesh.model.trust import TrustBundle
from mesh.pki.certificates import chain_pem
from mesh.pki.following import renewing
from mesh.pki.holder import Holder
from mesh.pki.keypair import KeyPair
from mesh.pki.signer import CitadelAway, SigningFailed
from mesh.pki.spiffe import Identity
from mesh.pki.trust import Trust
from tests import loops
from tests.citadel.rig import eventually
from tests.pki.authorities import ME, SKEW, authority

pytestmark = pytest.mark.behaviour("S3")
START = datetime.now(UTC).replace(microsecond=0)
LIFE = timedelta(days=365)


class Time:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = START
        self.slept: list[float] = []

    def __call__(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)
        await asyncio.sleep(0)


class Office:
    """Signs as Citadel does, unless it is closed; remembers who showed which certificate."""

    def __init__(self, time: Time, by: Authority | None = None) -> None:
        self.time = time
        self.by = by or authority()
        self.closed = False
        self.shown: list[KeyPair | None] = []
        self.tried = 0

    async def sign(self, csr: bytes, *, seconds: int, present: KeyPair | None) -> bytes:
        self.tried += 1
        if self.closed:
            raise CitadelAway("closed")
        self.shown.append(present)
        key = x509.load_pem_x509_csr(csr).public_key()
        made = self.by.sign(
            Subject(ME), key, now=self.time(), lifetime=timedelta(seconds=seconds), skew=SKEW  # type: ignore[arg-type]
        )  # fmt: skip
        return self.by.chain(made)


def holder(time: Time, office: Office, chance: float = 0.5) -> Holder:
    return Holder(ME, office, clock=time, lifetime=LIFE, sleep=time.sleep, chance=lambda: chance)


def test_a_year_of_renewals_in_a_second() -> None:
    async def test() -> None:
        time = Time()
        office = Office(time)
        it = holder(time, office)
        told: list[KeyPair] = []
        it.subscribe(told.append)
        task = asyncio.create_task(it.run())
        await eventually(lambda: len(told) >= 4, "renewals")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert office.shown == [None, *told[: len(office.shown) - 1]]
        assert len({pair.key for pair in told}) == len(told)
        gap = told[1].leaf.not_valid_before_utc - told[0].leaf.not_valid_before_utc
        assert 0.75 * LIFE < gap < 0.85 * LIFE

    loops.run(test())


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_renewals_are_spread(chance: float) -> None:
    async def test() -> None:
        time = Time()
        it = holder(time, Office(time), chance)
        await it.first()
        share = (it.due - START) / LIFE
        assert share == pytest.approx(0.75 + 0.1 * chance, abs=0.001)
        assert it.seconds_left() == pytest.approx(LIFE.total_seconds(), abs=1)

    loops.run(test())


def test_while_citadel_is_away_the_certificate_stays_and_is_asked_for_again_and_again() -> None:
    async def test() -> None:
        time = Time()
        office = Office(time)
        it = holder(time, office)
        first = await it.first()
        office.closed = True
        with pytest.raises(SigningFailed):
            await it.renew("a reason")
        assert it.current is first
        time.slept.clear()
        task = asyncio.create_task(it.run())
        await eventually(lambda: office.tried >= 12, "attempts")
        assert it.current is first
        pauses = [each for each in time.slept if each <= 30]
        assert pauses[:4] == [pytest.approx(0.75 * 0.5 * 2**n) for n in range(4)]
        office.closed = False
        await eventually(lambda: it.current is not first, "the next certificate")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert it.statistics.failed >= 11

    loops.run(test())


def test_an_expired_certificate_is_not_shown() -> None:
    async def test() -> None:
        time = Time()
        office = Office(time)
        it = holder(time, office)
        await it.first()
        time.now += timedelta(days=366)
        assert it.seconds_left() < 0
        await it.renew("it expired")
        assert office.shown == [None, None]

    loops.run(test())


def test_a_certificate_of_somebody_else_is_not_taken() -> None:
    async def test() -> None:
        time = Time()
        it = Holder(Identity("cluster.local", "weather", "other"), Office(time), clock=time)
        with pytest.raises(SigningFailed, match=f"it is of {re.escape(ME.uri)}, not of"):
            await it.renew("the first")
        assert it.current is None

    loops.run(test())


def test_a_process_follows_the_root_and_its_own_revocation() -> None:
    async def test() -> None:
        time = Time()
        time.now = datetime.now(UTC)
        old, new = authority(), authority()
        office = Office(time, old)
        trust = Trust(TrustBundle(chain_pem([old.certificate]).decode()))
        it = Holder(ME, office, clock=time, lifetime=LIFE)
        async with renewing(it, trust):
            first = it.pair
            trust.replace(TrustBundle(chain_pem([old.certificate, new.certificate]).decode()))
            office.by = new
            trust.replace(TrustBundle(chain_pem([new.certificate, old.certificate]).decode()))
            await eventually(lambda: it.pair is not first, "a certificate of the new root")
            assert it.pair.leaf.issuer == new.certificate.subject

    loops.run(test())
