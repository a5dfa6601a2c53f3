"""Runs in a Pod: many callers ask Citadel for certificates at once; prints how long it took, as JSON."""

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


def ask(caller: dict[str, str], times: int, root: bytes) -> int:
    """How many of so many requests of one caller were answered with a certificate."""
    credentials = grpc.ssl_channel_credentials(root, caller["key"].encode(), caller["certificate"].encode())
    message, good = wire.certificate_request(caller["csr"].encode(), 3600), 0
    with grpc.secure_channel(ADDRESS, credentials) as channel:
        for _ in range(times):
            try:
                channel.unary_unary(wire.PATH)(message, timeout=30)
                good += 1
            except grpc.RpcError:
                continue
    return good


def main(wish: dict[str, Any]) -> None:
    """Let all callers ask."""
    root, callers = ROOT.read_bytes(), wish["callers"]
    begin = time.monotonic()
    with ThreadPoolExecutor(wish["threads"]) as pool:
        signed = sum(pool.map(lambda caller: ask(caller, wish["each"], root), callers))
    seconds = time.monotonic() - begin
    print(json.dumps({"signed": signed, "refused": len(callers) * wish["each"] - signed, "seconds": seconds}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
