"""Runs in a Pod: asks Citadel for many certificates, some at a time; prints how long it took, as JSON."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]

from mesh.pki import wire

ADDRESS = "istio-citadel.istio-system.svc:8061"
ROOT = Path("/var/run/secrets/istio/root-cert.pem")


def main(wish: dict[str, Any]) -> None:
    """Let so many threads ask over one connection; the first request is not counted."""
    shown = [wish[name].encode() for name in ("key", "certificate")]
    message = wire.certificate_request(wish["csr"].encode(), 3600)
    with grpc.secure_channel(ADDRESS, grpc.ssl_channel_credentials(ROOT.read_bytes(), *shown)) as channel:
        call = channel.unary_unary(wire.PATH)

        def ask(_: int) -> bool:
            try:
                call(message, timeout=30)
            except grpc.RpcError:
                return False
            return True

        ask(0)
        begin = time.monotonic()
        with ThreadPoolExecutor(wish["threads"]) as pool:
            signed = sum(pool.map(ask, range(wish["requests"])))
        seconds = time.monotonic() - begin
    print(json.dumps({"signed": signed, "refused": wish["requests"] - signed, "seconds": seconds}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
