"""The interception rules of a Pod, as text for `iptables-restore`, and their application in one call.

Inbound TCP goes to Envoy's 15006, outbound TCP to 15001; what Envoy itself sends, known by its uid, goes out
as it is. Chains are named as Istio names them, so that its users can read `iptables -t nat -S`.
"""

import ipaddress
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ALL = "*"
OWN_INBOUND = (15020, 15021, 15090)  # the agent's and Envoy's own ports: never intercepted
LOOPBACK = "127.0.0.1/32"
INBOUND_SOURCE = "127.0.0.6/32"  # what Envoy's inbound passthrough binds to
LARGEST_PORT = 65535
PROGRAMS = ("iptables", "iptables-nft", "iptables-legacy")
"""What the image takes for iptables; then both ways into the kernel by name, as a node may know only one."""


class InterceptionError(Exception):
    """The rules asked for make no sense, or could not be put in force."""


@dataclass(frozen=True, slots=True)
class Interception:
    """What to intercept. Port lists hold numbers or `*`; ranges hold CIDRs or `*`.

    Source: Istio's annotations `traffic.sidecar.istio.io/*`. `include` decides first, `exclude` takes away.
    """

    inbound_port: int = 15006
    outbound_port: int = 15001
    proxy_uid: int = 1337
    proxy_gid: int = 1337
    include_inbound_ports: tuple[str, ...] = (ALL,)
    exclude_inbound_ports: tuple[str, ...] = ()
    include_outbound_ports: tuple[str, ...] = ()
    exclude_outbound_ports: tuple[str, ...] = ()
    include_ip_ranges: tuple[str, ...] = (ALL,)
    exclude_ip_ranges: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("include_inbound", "exclude_inbound", "include_outbound", "exclude_outbound"):
            check_ports(f"{name.replace('_', ' ')} ports", getattr(self, f"{name}_ports"))
        for name in ("include_ip_ranges", "exclude_ip_ranges"):
            check_ranges(name.replace("_", " "), getattr(self, name))


def parse_list(text: str) -> tuple[str, ...]:
    """A comma-separated list without its blanks."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def check_ports(field: str, ports: Iterable[str]) -> None:
    """Raise `InterceptionError` unless every entry is a port number or `*`."""
    for port in ports:
        if port != ALL and not (port.isdecimal() and 0 < int(port) <= LARGEST_PORT):
            raise InterceptionError(f"{field}: {port!r} is neither a port number (1-65535) nor '*'")


def check_ranges(field: str, ranges: Iterable[str]) -> None:
    """Raise `InterceptionError` unless every entry is an IPv4 CIDR or `*`."""
    for entry in ranges:
        try:
            if entry != ALL:
                ipaddress.IPv4Network(entry)
        except ValueError as error:
            raise InterceptionError(f"{field}: {entry!r} is neither an IPv4 CIDR nor '*': {error}") from None


def rules(wanted: Interception) -> str:
    """The nat table for `iptables-restore --noflush`."""
    lines = [
        "*nat",
        *(
            f":{chain} - [0:0]"
            for chain in ("ISTIO_INBOUND", "ISTIO_REDIRECT", "ISTIO_IN_REDIRECT", "ISTIO_OUTPUT")
        ),
        f"-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports {wanted.outbound_port}",
        f"-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports {wanted.inbound_port}",
        *inbound(wanted),
        *outbound(wanted),
        "COMMIT",
        "",
    ]
    return "\n".join(lines)


def inbound(wanted: Interception) -> list[str]:
    """What comes from outside the Pod."""
    if not wanted.include_inbound_ports:
        return []
    lines = ["-A PREROUTING -p tcp -j ISTIO_INBOUND"]
    left_alone = (*map(str, OWN_INBOUND), *wanted.exclude_inbound_ports)
    lines += [f"-A ISTIO_INBOUND -p tcp --dport {port} -j RETURN" for port in left_alone]
    if ALL in wanted.include_inbound_ports:
        return [*lines, "-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT"]
    return [
        *lines,
        *(f"-A ISTIO_INBOUND -p tcp --dport {p} -j ISTIO_IN_REDIRECT" for p in wanted.include_inbound_ports),
    ]


def outbound(wanted: Interception) -> list[str]:
    """What the Pod's own processes send."""
    lines = [
        "-A OUTPUT -p tcp -j ISTIO_OUTPUT",
        # Envoy hands over to the application: never caught again.
        f"-A ISTIO_OUTPUT -o lo -s {INBOUND_SOURCE} -j RETURN",
        *excluded(wanted),
    ]
    for owner in (f"--uid-owner {wanted.proxy_uid}", f"--gid-owner {wanted.proxy_gid}"):
        lines += [
            # The application called its own Service and Envoy chose this Pod: it comes in like any caller.
            f"-A ISTIO_OUTPUT -o lo ! -d {LOOPBACK} -p tcp -m owner {owner} -j ISTIO_IN_REDIRECT",
            # The application speaks to itself.
            f"-A ISTIO_OUTPUT -o lo -m owner ! {owner} -j RETURN",
            f"-A ISTIO_OUTPUT -m owner {owner} -j RETURN",
        ]
    return [*lines, f"-A ISTIO_OUTPUT -d {LOOPBACK} -j RETURN", *included(wanted)]


def excluded(wanted: Interception) -> list[str]:
    """Destinations that stay outside the mesh."""
    ports = [
        f"-A ISTIO_OUTPUT -p tcp --dport {port} -j RETURN"
        for port in wanted.exclude_outbound_ports
        if port != ALL
    ]
    return ports + [
        f"-A ISTIO_OUTPUT -d {cidr} -j RETURN" for cidr in wanted.exclude_ip_ranges if cidr != ALL
    ]


def included(wanted: Interception) -> list[str]:
    """Destinations that go through Envoy: ports by number wherever they are, addresses by range."""
    if ALL in wanted.include_ip_ranges or ALL in wanted.include_outbound_ports:
        return ["-A ISTIO_OUTPUT -p tcp -j ISTIO_REDIRECT"]
    ports = [
        f"-A ISTIO_OUTPUT -p tcp --dport {port} -j ISTIO_REDIRECT" for port in wanted.include_outbound_ports
    ]
    return ports + [
        f"-A ISTIO_OUTPUT -p tcp -d {cidr} -j ISTIO_REDIRECT" for cidr in wanted.include_ip_ranges
    ]


def apply(wanted: Interception) -> str:
    """Put the rules in force in this network namespace, and give them back. Done twice, it changes nothing.

    Raises `InterceptionError` with iptables' own words, for instance when NET_ADMIN is missing.
    """
    text, failures = rules(wanted), []
    for program in available():
        try:
            put(program, text)
        except InterceptionError as error:
            failures.append(str(error))
        else:
            return text
    raise InterceptionError(f"{'; '.join(failures)} (does the container have NET_ADMIN?)")


def available() -> list[str]:
    """The programs that this image has to write rules with, the usual one first; at least one."""
    found = [program for program in PROGRAMS if located(program)]
    if not found:
        raise InterceptionError(f"{PROGRAMS[0]} is not in this image; install Debian's package iptables")
    return found


def put(program: str, text: str) -> None:
    """Put rules in force by one of the programs, all or none, unless they are there."""
    if "ISTIO_OUTPUT" not in run([program, "-w", "-t", "nat", "-S"]):
        run([f"{program}-restore", "-w", "--noflush"], text)


def run(command: Sequence[str], text: str = "") -> str:
    """Run a program of iptables with `text` as its input; its output."""
    program = located(command[0])
    if program is None:
        raise InterceptionError(f"{command[0]} is not in this image")
    done = subprocess.run([program, *command[1:]], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InterceptionError(f"{command[0]}: {' / '.join(done.stderr.strip().splitlines())}")
    return done.stdout


def located(program: str) -> str | None:
    """The path of a program of iptables; it may be where only root looks."""
    return shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
