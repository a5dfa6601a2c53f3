"""Runs in a Pod: sends one signing request to Citadel and prints what came of it, as JSON.

Its argument is JSON: `address`, `root` (PEM), `csr` (PEM), and what proves the caller: `token`,
`token_file`, or `certificate` and `key` (PEM).
"""

import json
import sys
from pathlib import Path

import grpc  # type: ignore[import-untyped]

from mesh.pki import wire

wish = json.loads(sys.argv[1])
root = wish["root"].encode()
shown = [wish[name].encode() for name in ("key", "certificate") if wish.get(name)]
token = Path(wish["token_file"]).read_text() if wish.get("token_file") else wish.get("token")
metadata = [("authorization", f"Bearer {token}")] if token else []
with grpc.secure_channel(wish["address"], grpc.ssl_channel_credentials(root, *shown)) as channel:
    message = wire.certificate_request(wish["csr"].encode(), wish.get("seconds", 3600))
    try:
        raw = channel.unary_unary(wire.PATH)(message, timeout=10, metadata=metadata)
        print(json.dumps({"code": "OK", "details": "", "chain": wire.chain_of(raw).decode()}))
    except grpc.RpcError as error:
        print(json.dumps({"code": error.code().name, "details": error.details() or "", "chain": ""}))
