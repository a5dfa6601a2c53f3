"""The attributes that rules may speak of, with their types.

Source: Istio 1.6, "Attribute Vocabulary"; `request.auth.raw_claims` from Mixer's own manifest of that
release; `destination.service`, `source.service`, `source.user`, `destination.user`, `context.timestamp` and
`source.cluster.id` from older ones, which rules still use.
"""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from mesh.api.mixer import AttributeManifest
from mesh.rules.types import ValueType

_WORDS = {
    "": ValueType.STRING,
    "int": ValueType.INT64,
    "bool": ValueType.BOOL,
    "ip": ValueType.IP_ADDRESS,
    "map": ValueType.STRING_MAP,
    "time": ValueType.TIMESTAMP,
    "duration": ValueType.DURATION,
}
_PEER = """uid ip:ip labels:map name namespace principal owner workload.uid workload.name workload.namespace
    user service cluster.id"""
_NAMES = {
    "source": _PEER + " port:int",
    "destination": _PEER
    + """ port:int container.name container.image service.host service.uid service.name
    service.namespace""",
    "origin": "ip:ip uid user",
    "request": """headers:map id path url_path query_params:map host method reason referer scheme size:int
    total_size:int time:time useragent api_key auth.principal auth.audiences auth.presenter auth.claims:map
    auth.raw_claims""",
    "response": """headers:map size:int total_size:int time:time duration:duration code:int grpc_status
    grpc_message""",
    "connection": """id event received.bytes:int received.bytes_total:int sent.bytes:int sent.bytes_total:int
    duration:duration mtls:bool requested_server_name""",
    "context": """protocol time:time timestamp:time reporter.kind reporter.uid reporter.local:bool
    proxy_error_code proxy_version""",
    "api": "service version operation protocol",
    "check": "error_code:int error_message cache_hit:bool",
    "quota": "cache_hit:bool",
    "rbac": "permissive.response_code permissive.effective_policy_id",
}


def _made() -> Mapping[str, ValueType]:
    pairs = (
        (f"{head}.{name}", _WORDS[word])
        for head, names in _NAMES.items()
        for name, _, word in (each.partition(":") for each in names.split())
    )
    return MappingProxyType(dict(pairs))


ATTRIBUTES: Mapping[str, ValueType] = _made()
"""Every attribute of the standard vocabulary by its name."""


def vocabulary(manifests: Iterable[AttributeManifest] = ()) -> Mapping[str, ValueType]:
    """The standard vocabulary and what manifests add; the standard types cannot be changed by a manifest."""
    added = {
        name: ValueType(info.value_type)
        for manifest in manifests
        for name, info in manifest.attributes.items()
        if info.value_type != "VALUE_TYPE_UNSPECIFIED" and name not in ATTRIBUTES
    }
    return MappingProxyType({**added, **ATTRIBUTES}) if added else ATTRIBUTES


class Outputs(Mapping[str, ValueType]):
    """A vocabulary and what the named actions of a rule give: `<action>.output.<anything>`, a STRING."""

    def __init__(self, inner: Mapping[str, ValueType], actions: Iterable[str]) -> None:
        self._inner, self._actions = inner, frozenset(actions)

    def __getitem__(self, name: str) -> ValueType:
        action, between, key = name.partition(".output.")
        if between and key and action in self._actions:
            return ValueType.STRING
        return self._inner[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._inner)

    def __len__(self) -> int:
        return len(self._inner)
