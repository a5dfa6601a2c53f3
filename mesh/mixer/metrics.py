"""What both Mixer programs count of themselves, in a registry that the caller gives."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class HandlerMetrics:
    """Configuration, handlers and what is dispatched to them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.running = Gauge("mixer_handlers", "Handlers that run", registry=registry)
        self.broken = Gauge("mixer_handlers_broken", "Handlers that cannot start", registry=registry)
        self.problems = Gauge("mixer_config_problems", "Rules and parts left out", registry=registry)
        self.rules = Gauge("mixer_config_rules", "Rules in force", registry=registry)
        self.changes = Counter("mixer_config_changes", "Changes of configuration taken", registry=registry)
        self.failures = Counter(
            "mixer_handler_start_failures", "Starts that failed", ["handler"], registry=registry
        )
        self.dispatches = Counter(
            "mixer_dispatches", "Instances handed to a handler", ["handler", "adapter"], registry=registry
        )
        self.errors = Counter(
            "mixer_dispatch_errors", "Errors of a handler", ["handler", "adapter"], registry=registry
        )
        self.unmatched = Counter(
            "mixer_match_errors", "Calls that a rule's match could not decide", ["rule"], registry=registry
        )
        self.unmade = Counter(
            "mixer_instance_errors", "Instances that could not be made", ["instance"], registry=registry
        )
