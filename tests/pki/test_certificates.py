"""S2: identities, keys and chains are read strictly; what is wrong is said in words."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from mesh.model.trust import TrustBundle
from mesh.pki import csr as csrs
from mesh.pki.bundle import Bundle, Revocations, load_lists
from mesh.pki.certificates import chain_pem, chain_problem, identity_of, load_chain, seconds_left, uris_of
from mesh.pki.keypair import KeyPair
from mesh.pki.keys import ALGORITHMS, Algorithm, key_pem, load_key, new_key
from mesh.pki.peers import PeerCheck
from mesh.pki.spiffe import Identity
from mesh.pki.trust import Trust, renewal_reason
from tests.pki.authorities import ME, NOW, authority, leaf, pair_of

pytestmark = pytest.mark.behaviour("S2")


def test_an_identity_is_written_and_read() -> None:
    assert Identity.parse(ME.uri) == ME
    assert ME.uri == "spiffe://cluster.local/ns/weather/sa/forecast"


@pytest.mark.parametrize(
    "text",
    [
        "", "spiffe://", "spiffe://d/ns/a/sa", "spiffe://d/ns/a/sa/b/", "spiffe://d/ns/a/sa/b?x", "http://d/ns/a/sa/b",
        "spiffe://D/ns/a/sa/b", "spiffe://d:1/ns/a/sa/b", "spiffe://u@d/ns/a/sa/b", "spiffe:///ns/a/sa/b",
        "spiffe://d/ns//sa/b", "spiffe://d/ns/../sa/b", "spiffe://d/ns/a/sa/%2e", "spiffe://d/xx/a/sa/b",
        "spiffe://d/ns/a/sa/b\n", "spiffe://d/ns/a/sa/b" + "x" * 300,
    ],
)  # fmt: skip
def test_what_is_no_identity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no (identity|trust domain|namespace|service account)"):
        Identity.parse(text)


@pytest.mark.parametrize("algorithm", ALGORITHMS[:2])
def test_keys_and_requests(algorithm: Algorithm) -> None:
    key = new_key(algorithm)
    assert key_pem(load_key(key_pem(key))) == key_pem(key)
    csr = x509.load_pem_x509_csr(csrs.request(ME, key))
    assert csr.is_signature_valid
    assert uris_of(csr) == [ME.uri]
    assert csr.public_key() == key.public_key()


def test_an_unknown_algorithm_and_a_key_that_is_none() -> None:
    with pytest.raises(ValueError, match="use one of ecdsa-p256"):
        new_key("dsa")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not a private key"):
        load_key(b"rubbish")
    with pytest.raises(ValueError, match="no certificates can be read"):
        load_chain(b"rubbish")


def test_a_key_is_not_shown_by_accident() -> None:
    pair = pair_of(authority())
    assert "PRIVATE" not in repr(pair)
    assert pair.problem() is None
    assert KeyPair(key_pem(new_key()), pair.chain).problem() == "the key does not fit the certificate"


def test_a_chain_and_everything_that_breaks_it() -> None:
    mesh, stranger = authority(), authority()
    certificate = leaf(mesh)
    roots = [mesh.certificate]
    assert chain_problem([certificate], roots, NOW) is None
    assert chain_problem([certificate, mesh.certificate], roots, NOW) is None
    late, early = NOW + timedelta(hours=2), NOW - timedelta(hours=1)
    cases = [
        ([], roots, NOW, "there is no certificate"),
        ([certificate], [stranger.certificate], NOW, "which is not trusted"),
        ([certificate], [], NOW, "which is not trusted"),
        ([certificate], roots, late, "expired at"),
        ([certificate], roots, early, "is not valid before"),
        ([leaf(mesh, days=20 * 365), mesh.certificate], roots, NOW + timedelta(days=3651), "expired"),
        ([leaf(stranger), mesh.certificate], roots, NOW, "which is not trusted"),
    ]
    for chain, trusted, now, words in cases:
        assert words in (chain_problem(chain, trusted, now) or "nothing"), words


def test_a_leaf_issues_nothing() -> None:
    """A workload's certificate is no authority, although its key could sign."""
    mesh = authority()
    pair = pair_of(mesh)
    fake = authority(key=load_key(pair.key), name=pair.leaf.subject)
    forged = leaf(fake)
    assert "not trusted" in (chain_problem([forged, pair.leaf], [mesh.certificate], NOW) or "")


def test_a_year_and_ten_pass_in_a_moment() -> None:
    mesh = authority()
    year = leaf(mesh, days=365)
    assert seconds_left(year, NOW) == pytest.approx(365 * 86_400, abs=1)
    assert chain_problem([year], [mesh.certificate], NOW + timedelta(days=364)) is None
    assert "expired" in (chain_problem([year], [mesh.certificate], NOW + timedelta(days=366)) or "")
    assert leaf(mesh, days=9999).not_valid_after_utc == mesh.certificate.not_valid_after_utc


def test_revocations_are_of_one_issuer() -> None:
    mesh, other = authority(), authority()
    certificate = leaf(mesh)
    lists = mesh_list(mesh, certificate.serial_number), mesh_list(other, certificate.serial_number)
    assert "revoked (keyCompromise)" in (Revocations(lists[0]).reason(certificate) or "")
    assert Revocations(lists[1]).reason(certificate) is None
    assert len(load_lists(lists[0] + b"\nwords\n" + lists[1])) == 2
    assert len(Revocations(b"")) == 0


def mesh_list(mesh: object, serial: int) -> bytes:
    from tests.pki.authorities import revocation_list

    return revocation_list(mesh, serial)  # type: ignore[arg-type]


def test_a_peer_is_checked_against_what_is_trusted_now() -> None:
    mesh, other = authority(), authority()
    certificate = leaf(mesh)
    trust = Trust(TrustBundle(chain_pem([mesh.certificate]).decode()))
    check = PeerCheck(lambda: trust.bundle, clock=lambda: NOW)
    assert check.problem([certificate]) is None
    assert "there is no certificate" in (check.problem([]) or "")
    crl = mesh_list(mesh, certificate.serial_number).decode()
    trust.replace(TrustBundle(chain_pem([mesh.certificate]).decode(), crl))
    assert "was revoked" in (check.problem([certificate]) or "")
    trust.replace(TrustBundle(chain_pem([other.certificate]).decode()))
    assert "not trusted" in (check.problem([certificate]) or "")


def test_what_makes_a_certificate_be_renewed() -> None:
    old, new = authority(), authority()
    pair = pair_of(old)
    both = chain_pem([old.certificate, new.certificate])
    assert renewal_reason(pair, Bundle(both)) is None
    turned = chain_pem([new.certificate, old.certificate])
    assert renewal_reason(pair, Bundle(turned)) == "another root issues now"
    assert "revoked" in (renewal_reason(pair, Bundle(both, mesh_list(old, pair.leaf.serial_number))) or "")


def test_a_bundle_that_cannot_be_read_changes_nothing() -> None:
    mesh = authority()
    good = TrustBundle(chain_pem([mesh.certificate]).decode())
    trust, told = Trust(good), list[TrustBundle]()
    trust.subscribe(told.append)
    with pytest.raises(ValueError, match="no certificates"):
        trust.replace(TrustBundle("rubbish"))
    trust.replace(good)
    assert (trust.current, told) == (good, [])
    assert datetime.now(UTC) > NOW - timedelta(days=1)
    assert identity_of(leaf(mesh)) == ME
