"""Entry point of `pilot-agent`: `istio-iptables` in the init container, `proxy` beside the application."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb and exit with its code: 0 done, 1 refused with a message, else Envoy's own."""
    options = parser().parse_args(arguments)
    action: Callable[[argparse.Namespace], int] = options.action
    try:
        sys.exit(action(options))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if type(error).__module__.startswith("mesh.") or isinstance(error, OSError):
            sys.exit(f"pilot-agent {options.verb}: {error}")
        raise


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        "pilot-agent", description="The agent beside Envoy in every Pod of the mesh."
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    one = verbs.add_parser("proxy", help="write the bootstrap, run and supervise Envoy")
    one.add_argument("kind", choices=("sidecar", "router"))
    one.add_argument("--proxyLogLevel", dest="log_level", default="warning", metavar="LEVEL")
    one.add_argument(
        "--proxyComponentLogLevel", dest="component_log_level", default="", metavar="COMPONENT:LEVEL,..."
    )
    one.add_argument("--configPath", dest="folder", default="/etc/istio/proxy", metavar="FOLDER",
                     help="where the bootstrap is written")  # fmt: skip
    one.set_defaults(action=proxy)
    one = verbs.add_parser("istio-iptables", help="put the interception rules in force and print them")
    for flags, name, default, text in INTERCEPTION:
        one.add_argument(*flags, dest=name, default=default, metavar="LIST", help=text)
    one.add_argument("-u", "--proxy-uid", dest="proxy_uid", type=int, default=1337, metavar="UID")
    one.add_argument("-g", "--proxy-gid", dest="proxy_gid", type=int, default=1337, metavar="GID")
    one.add_argument("--dry-run", action="store_true", help="print the rules and change nothing")
    one.set_defaults(action=istio_iptables)
    one = verbs.add_parser("request", help="ask Envoy's admin interface")
    one.add_argument("method", choices=("GET", "POST"))
    one.add_argument("path")
    one.set_defaults(action=request)
    one = verbs.add_parser("wait", help="return when the proxy is ready")
    one.add_argument("--timeoutSeconds", dest="timeout", type=float, default=60.0, metavar="SECONDS")
    one.set_defaults(action=wait)
    return top


INTERCEPTION = (
    (("-b", "--inbound-ports"), "include_inbound_ports", "*", "inbound ports to intercept, or *"),
    (("-d", "--exclude-inbound-ports"), "exclude_inbound_ports", "", "inbound ports to leave alone"),
    (("-q", "--include-outbound-ports"), "include_outbound_ports", "", "outbound ports to intercept"),
    (("-o", "--exclude-outbound-ports"), "exclude_outbound_ports", "", "outbound ports to leave alone"),
    (("-i", "--include-ip-ranges"), "include_ip_ranges", "*", "destinations to intercept, as CIDRs, or *"),
    (("-x", "--exclude-ip-ranges"), "exclude_ip_ranges", "", "destinations to leave alone, as CIDRs"),
)


def proxy(options: argparse.Namespace) -> int:
    """Run Envoy until the container ends."""
    # The first process of a container gets no signal without a handler, and what follows takes its time.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    import asyncio
    from pathlib import Path

    from mesh.agent.environment import Pod, ProxySettings
    from mesh.agent.log import configure
    from mesh.agent.proxy import Proxy

    configure()
    pod = Pod.read()
    settings = ProxySettings.parse(os.environ.get("PROXY_CONFIG", ""), os.environ)

    async def run() -> int:
        proxy = Proxy(
            options.kind,
            pod,
            settings,
            log_level=options.log_level,
            component_log_level=options.component_log_level,
            folder=Path(options.folder),
        )
        return await proxy.run()

    return asyncio.run(run())


def istio_iptables(options: argparse.Namespace) -> int:
    """Put the rules in force."""
    from mesh.agent import iptables

    wanted = iptables.Interception(
        proxy_uid=options.proxy_uid,
        proxy_gid=options.proxy_gid,
        include_inbound_ports=iptables.parse_list(options.include_inbound_ports),
        exclude_inbound_ports=iptables.parse_list(options.exclude_inbound_ports),
        include_outbound_ports=iptables.parse_list(options.include_outbound_ports),
        exclude_outbound_ports=iptables.parse_list(options.exclude_outbound_ports),
        include_ip_ranges=iptables.parse_list(options.include_ip_ranges),
        exclude_ip_ranges=iptables.parse_list(options.exclude_ip_ranges),
    )
    print(iptables.rules(wanted) if options.dry_run else iptables.apply(wanted), end="")
    return 0


def request(options: argparse.Namespace) -> int:
    """Print the answer of Envoy's admin interface; 1 if it is not a success."""
    from http.client import HTTPConnection, HTTPException

    port = admin_port()
    try:
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request(options.method, "/" + options.path.lstrip("/"))
        answer = connection.getresponse()
        sys.stdout.buffer.write(answer.read())
    except (OSError, HTTPException) as error:
        sys.exit(f"pilot-agent request: Envoy's admin interface on 127.0.0.1:{port} does not answer: {error}")
    return 0 if answer.status < 400 else 1


def wait(options: argparse.Namespace) -> int:
    """Ask the agent until it says ready; 1 when the time is over."""
    from http.client import HTTPConnection, HTTPException

    deadline = time.monotonic() + options.timeout
    while time.monotonic() < deadline:
        try:
            connection = HTTPConnection("127.0.0.1", status_port(), timeout=2)
            connection.request("GET", "/healthz/ready")
            if connection.getresponse().status == 200:
                return 0
        except (OSError, HTTPException):
            pass
        time.sleep(0.05)
    print(f"the proxy is not ready after {options.timeout:g} s", file=sys.stderr)
    return 1


def admin_port() -> int:
    """The port of Envoy's admin interface in this Pod."""
    from mesh.agent.environment import ProxySettings

    return ProxySettings.parse(os.environ.get("PROXY_CONFIG", ""), os.environ).admin_port


def status_port() -> int:
    """The agent's port in this Pod."""
    from mesh.agent.environment import ProxySettings

    return ProxySettings.parse(os.environ.get("PROXY_CONFIG", ""), os.environ).status_port


if __name__ == "__main__":
    main()
