"""DNS answers as Kubernetes' DNS specification has them."""

from __future__ import annotations

from typing import Any

import pytest
from dnslib import QTYPE, RCODE, DNSRecord

from pocketkube.network import records
from pocketkube.network.dns import DnsServer, answer

pytestmark = pytest.mark.behaviour("H1")

PORTS = [{"name": "http", "port": 80, "protocol": "TCP"}]


def index(**outside: str) -> records.Index:
    services: dict[tuple[str, str], dict[str, Any]] = {
        ("weather", "web"): {"spec": {"clusterIP": "198.19.0.7", "ports": PORTS}},
        ("weather", "peers"): {"spec": {"clusterIP": "None", "ports": PORTS}},
        ("weather", "far"): {"spec": {"type": "ExternalName", "externalName": "bank.example.com"}},
    }
    slices = [
        {
            "metadata": {"namespace": "weather", "labels": {"kubernetes.io/service-name": "peers"}},
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": [
                {"addresses": ["198.18.1.2"], "hostname": "first", "conditions": {"ready": True}},
                {"addresses": ["198.18.2.2"], "conditions": {"ready": True}},
                {"addresses": ["198.18.2.3"], "conditions": {"ready": False}},
            ],
        }
    ]
    hosts = {"bank.example.com": "198.18.250.1"}
    return records.build(services, slices, hosts)


def ask(name: str, kind: str = "A") -> tuple[str, list[str]]:
    reply = answer(DNSRecord.question(name, kind).pack(), index(), shuffle=lambda found: None)
    return RCODE[reply.header.rcode], [f"{QTYPE[record.rtype]} {record.rdata}" for record in reply.rr]


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("web.weather.svc.cluster.local", "A", ["A 198.19.0.7"]),
        ("WEB.weather.svc.cluster.local", "A", ["A 198.19.0.7"]),
        ("peers.weather.svc.cluster.local", "A", ["A 198.18.1.2", "A 198.18.2.2"]),
        ("first.peers.weather.svc.cluster.local", "A", ["A 198.18.1.2"]),
        ("198-18-2-2.peers.weather.svc.cluster.local", "A", ["A 198.18.2.2"]),
        ("_http._tcp.web.weather.svc.cluster.local", "SRV", ["SRV 0 100 80 web.weather.svc.cluster.local."]),
        ("7.0.19.198.in-addr.arpa", "PTR", ["PTR web.weather.svc.cluster.local."]),
        ("1-2-3-4.weather.pod.cluster.local", "A", ["A 1.2.3.4"]),
        ("far.weather.svc.cluster.local", "A", ["CNAME bank.example.com.", "A 198.18.250.1"]),
        ("bank.example.com", "A", ["A 198.18.250.1"]),
    ],
)
def test_names_that_exist(name: str, kind: str, expected: list[str]) -> None:
    assert ask(name, kind) == ("NOERROR", expected)


@pytest.mark.parametrize(
    "name", ["web.weather.svc.cluster.local", "weather.svc.cluster.local", "example.com"]
)
def test_a_name_without_such_records_exists_all_the_same(name: str) -> None:
    assert ask(name, "AAAA") == ("NOERROR", [])


@pytest.mark.parametrize(
    "name",
    ["no.weather.svc.cluster.local", "web.weather.svc.cluster.local.cluster.local", "example.org", "x"],
)
def test_names_that_do_not_exist(name: str) -> None:
    assert ask(name) == ("NXDOMAIN", [])


def test_what_is_no_query_gets_no_answer() -> None:
    assert DnsServer(index).reply(b"nonsense", 512) is None


def test_a_long_answer_is_cut_for_a_client_that_takes_little() -> None:
    many = records.Index()
    many.at("many.example").a.extend(f"198.18.1.{number}" for number in range(2, 100))
    query = DNSRecord.question("many.example")
    server = DnsServer(lambda: many)
    short = DNSRecord.parse(server.reply(query.pack(), 512) or b"")
    assert (short.header.tc, short.rr) == (1, [])
    assert len(DNSRecord.parse(server.reply(query.pack(), 65535) or b"").rr) == 98
