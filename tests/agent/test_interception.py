"""The interception rules in a real network namespace, judged by where real connections arrive."""

import sys
from collections.abc import Iterator

import pytest

from tests.agent.spaces import FURTHER, OUTSIDE, POD, Spaces, spaces

pytestmark = pytest.mark.behaviour("W2")

PROXY = 1337


@pytest.fixture
def made() -> Iterator[Spaces]:
    with spaces() as both:
        yield both


def test_without_rules_connections_arrive_where_they_go(made: Spaces) -> None:
    assert made.pod.connect(OUTSIDE, 8080) == "server 8080 untouched"
    assert made.outside.connect(POD, 8080) == "app 8080 untouched"


def test_all_tcp_goes_through_the_proxy_which_learns_where_it_was_going(made: Spaces) -> None:
    made.intercept()
    assert made.pod.connect(OUTSIDE, 8080) == f"proxy 15001 {OUTSIDE}:8080"
    assert made.pod.connect(OUTSIDE, 8080, uid=0, gid=0) == f"proxy 15001 {OUTSIDE}:8080"
    assert made.pod.connect(FURTHER, 4444) == f"proxy 15001 {FURTHER}:4444"
    assert made.outside.connect(POD, 8080) == f"proxy 15006 {POD}:8080"
    assert made.outside.connect(POD, 4444) == f"proxy 15006 {POD}:4444"


def test_what_the_proxy_sends_goes_out_as_it_is(made: Spaces) -> None:
    made.intercept()
    assert made.pod.connect(OUTSIDE, 8080, uid=PROXY, gid=PROXY) == "server 8080 untouched"
    assert made.pod.connect(OUTSIDE, 8080, uid=PROXY, gid=0) == "server 8080 untouched"
    assert made.pod.connect(OUTSIDE, 8080, uid=0, gid=PROXY) == "server 8080 untouched"


def test_another_uid_of_the_proxy(made: Spaces) -> None:
    made.intercept("-u", "2000", "-g", "2000")
    assert made.pod.connect(OUTSIDE, 8080, uid=2000, gid=2000).startswith("server")
    assert made.pod.connect(OUTSIDE, 8080, uid=PROXY, gid=PROXY).startswith("proxy 15001")


def test_the_ports_of_agent_and_envoy_are_reached_directly(made: Spaces) -> None:
    made.intercept()
    for port in (15020, 15021, 15090):
        assert made.outside.connect(POD, port) == f"own {port} {POD}:{port}"


def test_the_application_speaks_to_itself_without_the_proxy(made: Spaces) -> None:
    made.intercept()
    assert made.pod.connect("127.0.0.1", 8080) == "app 8080 127.0.0.1:8080"
    assert made.pod.connect(POD, 8080) == f"app 8080 {POD}:8080"


def test_a_call_that_the_proxy_sends_back_to_its_own_pod_comes_in_like_any_other(made: Spaces) -> None:
    made.intercept()
    assert made.pod.connect(POD, 8080, uid=PROXY, gid=PROXY) == f"proxy 15006 {POD}:8080"


def test_what_the_proxy_hands_over_is_not_caught_again(made: Spaces) -> None:
    made.intercept()
    for target in (POD, "127.0.0.1"):
        answer = made.pod.connect(target, 8080, uid=PROXY, gid=PROXY, source="127.0.0.6")
        assert answer == f"app 8080 {target}:8080"


def test_udp_is_left_alone(made: Spaces) -> None:
    made.intercept()
    assert made.pod("ask_udp", OUTSIDE, 9090) == "server 9090 udp"
    assert made.outside("ask_udp", POD, 9090) == "app 9090 udp"


def test_excluded_ports(made: Spaces) -> None:
    made.intercept("-o", "9090,4444", "-d", "9090")
    assert made.pod.connect(OUTSIDE, 9090) == "server 9090 untouched"
    assert made.pod.connect(OUTSIDE, 8080).startswith("proxy 15001")
    assert made.outside.connect(POD, 9090) == f"app 9090 {POD}:9090"
    assert made.outside.connect(POD, 8080).startswith("proxy 15006")


def test_excluded_ranges(made: Spaces) -> None:
    made.intercept("-x", f"{FURTHER}/32, 10.0.0.0/8")
    assert made.pod.connect(FURTHER, 8080) == "server 8080 untouched"
    assert made.pod.connect(OUTSIDE, 8080).startswith("proxy 15001")


def test_only_included_ranges(made: Spaces) -> None:
    made.intercept("-i", "198.18.8.0/24")
    assert made.pod.connect(FURTHER, 8080).startswith("proxy 15001")
    assert made.pod.connect(OUTSIDE, 8080) == "server 8080 untouched"


def test_a_port_is_included_wherever_it_is(made: Spaces) -> None:
    made.intercept("-i", "198.18.8.0/24", "-q", "9090")
    assert made.pod.connect(OUTSIDE, 9090).startswith("proxy 15001")
    assert made.pod.connect(OUTSIDE, 8080).startswith("server")


def test_no_outbound_range_means_no_outbound_interception(made: Spaces) -> None:
    made.intercept("-i", "")
    assert made.pod.connect(OUTSIDE, 8080).startswith("server")
    assert made.outside.connect(POD, 8080).startswith("proxy 15006")


def test_only_included_inbound_ports(made: Spaces) -> None:
    made.intercept("-b", "8080")
    assert made.outside.connect(POD, 8080).startswith("proxy 15006")
    assert made.outside.connect(POD, 9090).startswith("app")


def test_no_inbound_port_means_no_inbound_interception(made: Spaces) -> None:
    made.intercept("-b", "")
    assert made.outside.connect(POD, 8080).startswith("app")
    assert made.pod.connect(OUTSIDE, 8080).startswith("proxy 15001")


def test_done_twice_changes_nothing(made: Spaces) -> None:
    made.intercept()
    once = made.pod.run("iptables", "-t", "nat", "-S")
    made.intercept()
    assert made.pod.run("iptables", "-t", "nat", "-S") == once


def test_without_net_admin_it_says_what_is_missing(made: Spaces) -> None:
    argv = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"]
    code, _out, err = made.pod("run", [*argv, sys.executable, "-m", "mesh.agent.main", "istio-iptables"])
    assert code == 1
    assert "Permission denied" in err and "NET_ADMIN" in err and "Traceback" not in err
