"""A question that never arrived at a replica of istio-policy is asked again at another."""

import socket
from pathlib import Path

import pytest

from tests.pilot.authz.calls import Call
from tests.pilot.authz.gate import cluster
from tests.pilot.authz.rig import Callers, envoy
from tests.pilot.mixer.bothways import CLUSTER, FIRST, Rules, istio_policy, served
from tests.pilot.mixer.mixed import CALLING, deny

pytestmark = pytest.mark.behaviour("P4")


def test_a_replica_that_is_gone_costs_no_call(tmp_path: Path) -> None:
    rules = Rules(deny(match=CALLING), 1)
    with istio_policy(rules, tmp_path) as (running, _), socket.socket() as gone:
        gone.bind(("127.0.0.1", 0))  # nobody listens there
        replicas = cluster(CLUSTER, running.policy.grpc, http2=True)
        endpoints = replicas["load_assignment"]["endpoints"]
        endpoints += cluster(CLUSTER, gone.getsockname()[1])["load_assignment"]["endpoints"]
        with envoy([served("asked", rules.address, FIRST, rules.compiled(0))], tmp_path, [replicas]):
            callers = Callers(tmp_path)
            identity = "cluster.local/ns/weather/sa/frontend"
            found = [callers.call(Call(identity=identity), rules.address, (FIRST,)).status for _ in range(20)]
    assert found == [403] * 20
