"""The older kinds: one for each adapter and template; newer are handler and instance."""

ADAPTERS = {
    "denier": "deniers", "fluentd": "fluentds", "kubernetesenv": "kubernetesenvs",
    "listchecker": "listcheckers", "memquota": "memquotas", "noop": "noops", "prometheus": "prometheuses",
    "rbac": "rbacs", "redisquota": "redisquotas", "statsd": "statsds", "stdio": "stdios", "zipkin": "zipkins",
}  # fmt: skip
"""Kinds of handlers, with their plurals."""

TEMPLATES = {
    "apikey": "apikeys", "authorization": "authorizations", "checknothing": "checknothings",
    "edge": "edges", "kubernetes": "kuberneteses", "listentry": "listentries", "logentry": "logentries",
    "metric": "metrics", "quota": "quotas", "reportnothing": "reportnothings", "tracespan": "tracespans",
}  # fmt: skip
"""Kinds of instances, with their plurals."""

UNSERVED = frozenset({"kubernetesenv", "statsd", "edge", "kubernetes"})
"""Older kinds without an adapter or template here: their attributes come from the registry anyway."""
