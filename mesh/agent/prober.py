"""Carries out the kubelet's probes inside the Pod."""

import asyncio
import ssl
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

from mesh.agent.http import Place, Request, Response, ask
from mesh.agent.probes import Action, Grpc, HttpGet, Probe, TcpSocket

INBOUND_SOURCE = "127.0.0.6"  # the rules of interception let pass what comes from there
REDIRECTS = 10  # as many as the kubelet follows
LONGEST = 10 * 1024  # bytes of an answer that the kubelet reads
OWN_HEADERS = ("host", "content-length", "connection", "transfer-encoding")


class Prober:
    """Asks the application at the Pod's address on the kubelet's behalf."""

    def __init__(self, probes: Mapping[str, Probe], host: str) -> None:
        self._probes = probes
        self._host = host
        self._source = "" if ":" in host else INBOUND_SOURCE
        self._tls: ssl.SSLContext | None = None

    def __contains__(self, path: object) -> bool:
        return path in self._probes

    async def answer(self, request: Request) -> Response:
        """The application's own status if it speaks HTTP; else 200, or 500 with the reason."""
        probe = self._probes[request.path.partition("?")[0]]
        try:
            async with asyncio.timeout(probe.timeout):
                return await self._do(probe.action, request)
        except TimeoutError:
            return Response(500, f"no answer within {probe.timeout:g} s\n".encode())
        except OSError as error:
            return Response(500, f"{probe.action}: {error}\n".encode())

    async def _do(self, action: Action, request: Request) -> Response:
        if isinstance(action, HttpGet):
            return await self._get(action, request)
        if isinstance(action, TcpSocket):
            return await self._connect(action)
        if isinstance(action, Grpc):
            return await self._check(action)
        return Response(500, f"{action.reason}\n".encode())

    async def _get(self, action: HttpGet, request: Request) -> Response:
        place = Place(self._host, action.port, self._source, self._unverified() if action.tls else None)
        headers, path = merged(request, action.headers), action.path
        for _ in range(REDIRECTS):
            answer = await ask(place, "GET", path, headers, most=LONGEST)
            elsewhere = self._elsewhere(answer, action, path)
            if elsewhere is None:
                return Response(answer.status, answer.body, answer.content_type)
            path = elsewhere
        return Response(500, f"more than {REDIRECTS} redirects\n".encode())

    def _elsewhere(self, answer: Response, action: HttpGet, path: str) -> str | None:
        """The path that the application redirects to, if it is its own; others count as a success."""
        if not 300 <= answer.status < 400 or not answer.location:
            return None
        here = f"{'https' if action.tls else 'http'}://{self._host}:{action.port}"
        target = urlsplit(urljoin(here + path, answer.location))
        if f"{target.scheme}://{target.netloc}" != here:
            return None
        return (target.path or "/") + (f"?{target.query}" if target.query else "")

    async def _connect(self, action: TcpSocket) -> Response:
        local = (self._source, 0) if self._source else None
        _, writer = await asyncio.open_connection(self._host, action.port, local_addr=local)
        writer.close()
        return Response(200, b"connected\n")

    async def _check(self, action: Grpc) -> Response:
        from mesh.agent.grpc_health import check

        problem = await check(Place(self._host, action.port, self._source), action.service)
        return Response(500, f"{action}: {problem}\n".encode()) if problem else Response(200, b"serving\n")

    def _unverified(self) -> ssl.SSLContext:
        """The kubelet verifies no certificate of a probe either."""
        if self._tls is None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._tls.check_hostname = False
            self._tls.verify_mode = ssl.CERT_NONE
        return self._tls


def merged(request: Request, own: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    """The kubelet's headers (`Host` too), those of the probe in place of equal names."""
    named = {name.lower() for name, _ in own}
    given = [each for each in request.headers if each[0] not in named and each[0] not in OWN_HEADERS[1:]]
    return [*given, *own]
