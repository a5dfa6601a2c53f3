"""S4: whatever is sent as a CSR is granted or refused with a reason, in bounded time; nothing crashes.

Budget: BUDGET examples of each kind in a run (about ten seconds in all), a second at most for each, and
everything in `corpus/`, where inputs are kept that were once worth a look.
"""

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.citadel import requests
from mesh.citadel.authority import Authority, Subject
from mesh.citadel.errors import Refused
from mesh.citadel.kube import Kube
from mesh.citadel.ledger import Ledger, lines_of
from mesh.citadel.revocations import REASONS as REASONS_OF_LISTS
from mesh.citadel.revocations import Revocations
from mesh.pki import csr as csrs
from mesh.pki import wire
from mesh.pki.keys import ALGORITHMS, new_key
from mesh.pki.spiffe import Identity

pytestmark = pytest.mark.behaviour("S4")

BUDGET = 1000
FEWER = 250  # of what only the mesh's own can write, and what is logged
CORPUS = Path(__file__).parent / "corpus"
ME = Subject(Identity("cluster.local", "weather", "forecast"))
REASONS = {"malformed", "weak_key", "bad_signature", "foreign_identity"}
KEY = new_key()
HASH = hashes.SHA256()
NOW = datetime.now(UTC)
AUTHORITY = Authority.self_signed(
    "cluster.local", now=NOW, lifetime=timedelta(days=1), skew=timedelta(0), algorithm="ecdsa-p256"
)
fuzzing = settings(
    max_examples=BUDGET,
    deadline=timedelta(seconds=1),
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)


def outcome(pem: bytes) -> str:
    """`granted`, or the reason why not; anything else is raised."""
    try:
        requests.check(requests.parse(pem), ME)
    except Refused as error:
        assert error.reason in REASONS
        assert "\n" not in str(error)
        assert len(str(error)) < 1000
        return error.reason
    return "granted"


def armoured(der: bytes) -> bytes:
    text = base64.encodebytes(der)
    return b"-----BEGIN CERTIFICATE REQUEST-----\n" + text + b"-----END CERTIFICATE REQUEST-----\n"


@cache
def seeds() -> list[bytes]:
    """Valid requests of every kind of key, as DER."""
    good = [csrs.request(ME.identity, new_key(algorithm)) for algorithm in ALGORITHMS[:2]]
    return [x509.load_pem_x509_csr(pem).public_bytes(serialization.Encoding.DER) for pem in good]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid request with a few bytes changed, cut out, doubled or put in."""
    der = bytearray(draw(st.sampled_from(seeds())))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(der) - 1, 0)))
        length = draw(st.integers(0, 8))
        piece = draw(
            st.one_of(
                st.just(b""), st.binary(max_size=8), st.just(bytes(der[at : at + 40])),
                st.sampled_from([b"\x00", b"\x80", b"\xff" * 4, b"\x84\xff\xff\xff\xff", b"\x30\x80"]),
            )
        )  # fmt: skip
        der[at : at + length] = piece
    return bytes(der)


@fuzzing
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    assert outcome(data) == "malformed"


@fuzzing
@given(mutated())
def test_damaged_requests(der: bytes) -> None:
    outcome(armoured(der))


@fuzzing
@given(st.text(max_size=80))
def test_any_names(name: str) -> None:
    """A signed request for any text as its URI is never granted, unless it is the caller's own."""
    try:
        uri = x509.UniformResourceIdentifier(name)
    except ValueError:
        return
    built = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    signed = built.add_extension(x509.SubjectAlternativeName([uri]), critical=False).sign(KEY, HASH)
    assert outcome(signed.public_bytes(serialization.Encoding.PEM)) == "foreign_identity"


@fuzzing
@given(st.binary(max_size=300))
def test_any_message(raw: bytes) -> None:
    """The message round the request is read or refused by protobuf alone."""
    from google.protobuf.message import DecodeError

    try:
        message = wire.IstioCertificateRequest.FromString(raw)
    except (DecodeError, UnicodeDecodeError):
        return
    outcome(message.csr.encode())


@fuzzing
@given(st.text(max_size=200))
def test_any_identity(text: str) -> None:
    try:
        identity = Identity.parse(text)
    except ValueError:
        return
    assert identity.uri == text


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
TIMES = st.datetimes(timezones=st.none() | st.just(UTC)).map(datetime.isoformat) | NESTED
ENTRIES = st.fixed_dictionaries(
    {"time": TIMES},
    optional={
        "identity": st.just(ME.identity.uri) | NESTED,
        "serials": st.lists(st.integers().map(lambda number: f"{number:x}") | NESTED, max_size=4) | NESTED,
        "reason": st.sampled_from(REASONS_OF_LISTS) | NESTED,
        "deny": NESTED,
    },
)


@settings(fuzzing, max_examples=FEWER)
@given(st.text(max_size=60) | ENTRIES.map(json.dumps) | NESTED.map(json.dumps))
def test_any_revocation(text: str) -> None:
    """What anybody wrote into istio-revocations becomes a list, or is left out."""
    ledger = Ledger(Kube(None), "istio-system")
    revocations = Revocations(ledger, timedelta(days=90))
    revocations.read({"entry": text})
    revocations.complete(revocations.completed())
    live = revocations.live(NOW)
    reasons = {serial: revocations.serials()[serial] for serial in live}
    assert len(AUTHORITY.revocation_list(live, reasons, now=NOW, skew=timedelta(0))) == len(live)


@settings(fuzzing, max_examples=FEWER)
@given(st.text(max_size=45), st.text(max_size=60) | NESTED.map(json.dumps))
def test_any_line_of_the_ledger(serial: str, text: str) -> None:
    for line in lines_of({"metadata": {"name": "x"}, "data": {serial: text}}):
        assert int(line.serial, 16) >= 0


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_the_corpus(path: Path) -> None:
    """Each file's name begins with the outcome that it must have."""
    began = time.perf_counter()
    assert outcome(path.read_bytes()) == path.name.partition("-")[0]
    assert time.perf_counter() - began < 1
