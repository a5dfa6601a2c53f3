"""Which HTTP a cluster speaks to its hosts.

A port that is HTTP/2 by name is spoken to in HTTP/2, one of unknown protocol in what the caller spoke, and
every other in HTTP/1.1, unless a DestinationRule says otherwise.
"""

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import protocol_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2

from mesh.api.networking.connections import ConnectionPoolSettings, HTTPSettings
from mesh.model import Protocol
from mesh.pilot.compile.limits import common_options
from mesh.pilot.compile.messages import number, packed

OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
Options = http_protocol_options_pb2.HttpProtocolOptions


def speak(cluster: cluster_pb2.Cluster, protocol: Protocol, pool: ConnectionPoolSettings | None) -> None:
    """Set the options of a cluster's HTTP connections, where they are not Envoy's defaults."""
    http = (pool.http if pool else None) or HTTPSettings()
    http2 = protocol_pb2.Http2ProtocolOptions(max_concurrent_streams=number(http.max_concurrent_streams))
    options = Options()
    if http.use_client_protocol or protocol is Protocol.AUTO:
        options.use_downstream_protocol_config.http_protocol_options.SetInParent()
        options.use_downstream_protocol_config.http2_protocol_options.CopyFrom(http2)
    elif protocol.is_http2 or (protocol.is_http and http.h2_upgrade_policy == "UPGRADE"):
        options.explicit_http_config.http2_protocol_options.CopyFrom(http2)
    common = common_options(pool)
    if common is not None:
        options.common_http_protocol_options.CopyFrom(common)
        if options.WhichOneof("upstream_protocol_options") is None:
            options.explicit_http_config.http_protocol_options.SetInParent()
    if options.ByteSize():
        cluster.typed_extension_protocol_options[OPTIONS].CopyFrom(packed(options))
