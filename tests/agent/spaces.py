"""Two network namespaces joined by a veth pair: a Pod, and what is outside it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESIDENT = Path(__file__).with_name("resident.py")
POD, OUTSIDE, FURTHER = "198.18.7.2", "198.18.7.1", "198.18.8.1"


class Space:
    """A network namespace with a process in it that does what it is asked."""

    def __init__(self) -> None:
        argv = ["unshare", "--net", sys.executable, "-I", "-S", str(RESIDENT)]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __call__(self, verb: str, *positional: Any, **named: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps([verb, positional, named]), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def listen(self, name: str, *ports: int) -> None:
        self("listen", ports, name)

    def connect(self, address: str, port: int, **who: Any) -> str:
        return str(self("connect", address, port, **who))

    def run(self, *argv: str) -> str:
        code, out, err = self("run", argv)
        assert code == 0, err or out
        return str(out)


@dataclass(frozen=True)
class Spaces:
    pod: Space
    outside: Space

    def intercept(self, *flags: str) -> str:
        """Do what `istio-init` does, in the Pod."""
        return self.pod.run(sys.executable, "-m", "mesh.agent.main", "istio-iptables", *flags)


@contextmanager
def spaces() -> Iterator[Spaces]:
    """A Pod and the outside, each with listeners: the Pod's application, proxy and agent; a server."""
    with ExitStack() as stack:
        outside, pod = Space(), Space()
        for space in (outside, pod):
            stack.callback(space.close)
        join(outside, pod)
        pod.listen("app", 8080, 9090)
        pod.listen("proxy", 15001, 15006)
        pod.listen("own", 15020, 15021, 15090)
        outside.listen("server", 8080, 9090)
        yield Spaces(pod, outside)


def join(outside: Space, pod: Space) -> None:
    outside.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", str(pod.pid))
    for space, addresses in ((outside, (OUTSIDE, FURTHER)), (pod, (POD,))):
        for address in addresses:
            space.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
        for link in ("lo", "eth0"):
            space.run("ip", "link", "set", link, "up")
    pod.run("ip", "route", "add", "default", "via", OUTSIDE)
