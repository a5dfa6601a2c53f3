"""S3, S4: certificates for those who prove who they are, over both ports; everybody else is refused."""

import pytest

from mesh.pki import csr as csrs
from mesh.pki.certificates import chain_problem, identity_of, load_chain
from mesh.pki.keys import new_key
from tests import loops
from tests.citadel.rig import certificate, mesh
from tests.pocketkube.api.rig import Served

pytestmark = pytest.mark.behaviour("S3", "S4")


def test_a_token_gives_a_certificate_and_the_certificate_the_next_one(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            identity = await it.account(it.namespace, "forecast")
            first = await certificate(it, identity)
            assert identity_of(first.leaf) == identity
            roots = it.citadel.trust.bundle.certificates
            assert chain_problem(load_chain(first.chain), roots, it.clock()) is None
            client = await it.client(identity, token="not used")
            chain = await client.sign(csrs.request(identity, new_key()), seconds=60, present=first)
            (second,) = load_chain(chain)
            assert identity_of(second) == identity
            assert second.serial_number != first.leaf.serial_number

    loops.run(test())
