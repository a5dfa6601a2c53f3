"""Runs in a Pod: asks Pilot for one type of configuration and prints what came of it, as JSON.

Its argument is JSON: `address`, `root` (PEM), `node` (id and metadata), `type`, `names`, `plain`,
`certificate`, `key`, and `stay` (seconds to keep the stream open after the answer; how long it lived is
told).
"""

import json
import queue
import sys
import time
from typing import Any

import grpc  # type: ignore[import-untyped]
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import json_format

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
wish = json.loads(sys.argv[1])
root = wish["root"].encode()
shown = [wish[name].encode() for name in ("key", "certificate") if wish.get(name)]
request = discovery_pb2.DiscoveryRequest(type_url=wish["type"], resource_names=wish.get("names", ()))
request.node.id = wish["node"]["id"]
json_format.ParseDict(wish["node"].get("metadata", {}), request.node.metadata)
if wish.get("plain"):
    channel = grpc.insecure_channel(wish["address"])
else:
    channel = grpc.secure_channel(wish["address"], grpc.ssl_channel_credentials(root, *shown))
requests: queue.SimpleQueue[discovery_pb2.DiscoveryRequest | None] = queue.SimpleQueue()
requests.put(request)
told: dict[str, Any] = {"code": "OK", "details": "", "resources": 0, "seconds": 0.0}
with channel:
    call = channel.stream_stream(
        METHOD,
        request_serializer=discovery_pb2.DiscoveryRequest.SerializeToString,
        response_deserializer=discovery_pb2.DiscoveryResponse.FromString,
    )(iter(requests.get, None), timeout=wish.get("stay", 0) + 10)
    try:
        told["resources"] = len(next(call).resources)
        begin = time.monotonic()
        print("open", file=sys.stderr, flush=True)
        if wish.get("stay"):
            for _ in call:
                pass
    except grpc.RpcError as error:
        told["code"], told["details"] = error.code().name, error.details() or ""
        told["seconds"] = time.monotonic() - begin if told["resources"] else 0.0
    finally:
        requests.put(None)
        call.cancel()
print(json.dumps(told))
