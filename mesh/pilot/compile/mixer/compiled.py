"""Refusals as Envoy's RBAC, which names the rule that matched, and the words for them by that name.

Envoy goes through the policies of one filter in order of their names, so they are numbered. The answer to a
refused call is its own (`local_reply_config`), chosen by the details of the refusal.
Source: Envoy's `extensions.filters.http.rbac.v3`, `LocalReplyConfig`, "Response Code Details".
"""

from collections.abc import Iterable, Iterator, Sequence

from envoy.config.core.v3 import base_pb2, substitution_format_string_pb2
from envoy.config.listener.v3 import listener_components_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.extensions.access_loggers.filters.cel.v3 import cel_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as tcp_rbac_pb2
from envoy.type.matcher.v3 import metadata_pb2, string_pb2, value_pb2

from mesh.model import authorization
from mesh.pilot.compile.messages import number, packed
from mesh.pilot.compile.mixer.decide import Step
from mesh.pilot.compile.mixer.formula import Formula
from mesh.pilot.compile.mixer.outcome import Reply

RBAC = rbac_pb2.RBAC
HttpFilter = http_connection_manager_pb2.HttpFilter
Filter = listener_components_pb2.Filter
ResponseMapper = http_connection_manager_pb2.ResponseMapper
HeaderValueOption = base_pb2.HeaderValueOption

RULES = "meshwright.mixer.rules"
GATE = "meshwright.mixer.gate"
SHADOW = "mixer_"
ASKED = "mixer-asks"
STATS = "mixer."

Numbered = Sequence[tuple[int, Step]]
"""Refusals with their places in the order of all decisions."""


def name_of(index: int, step: Step) -> str:
    """The name of a refusal, as Envoy reports it: `mixer[0002]-rule[deny.weather]`."""
    return f"mixer[{index:04}]-rule[{step.rule}]"


def rules(steps: Numbered) -> rbac_pb2.RBAC:
    """Refusals in order."""
    result = RBAC(action=RBAC.DENY)
    for index, step in steps:
        result.policies[name_of(index, step)].CopyFrom(policy(step.when))
    return result


def policy(when: Formula) -> rbac_pb2.Policy:
    """What holds under a condition."""
    return rbac_pb2.Policy(permissions=[rbac_pb2.Permission(any=True)], principals=[when.principal])


def http(steps: Numbered) -> Iterator[http_connection_manager_pb2.HttpFilter]:
    """The HTTP filter that refuses."""
    if steps:
        yield HttpFilter(name=RULES, typed_config=packed(http_rbac_pb2.RBAC(rules=rules(steps))))


def tcp(steps: Numbered) -> Iterator[listener_components_pb2.Filter]:
    """The network filter that refuses."""
    if steps:
        config = tcp_rbac_pb2.RBAC(rules=rules(steps), stat_prefix=STATS)
        yield Filter(name=RULES, typed_config=packed(config))


# Which calls istio-policy is asked about


def gate(asked: Formula) -> rbac_pb2.RBAC:
    """Notes of a call that istio-policy is to be asked about."""
    result = RBAC(action=RBAC.DENY)
    result.policies[ASKED].CopyFrom(policy(asked))
    return result


def http_gate(asked: Formula) -> http_connection_manager_pb2.HttpFilter:
    """The HTTP filter that notes."""
    config = http_rbac_pb2.RBAC(shadow_rules=gate(asked), shadow_rules_stat_prefix=SHADOW)
    return HttpFilter(name=GATE, typed_config=packed(config))


def tcp_gate(asked: Formula) -> listener_components_pb2.Filter:
    """The network filter that notes."""
    config = tcp_rbac_pb2.RBAC(shadow_rules=gate(asked), shadow_rules_stat_prefix=SHADOW, stat_prefix=STATS)
    return Filter(name=GATE, typed_config=packed(config))


def noted(source: str) -> metadata_pb2.MetadataMatcher:
    """What the gate has noted; `source` is the kind of filter that it is."""
    key = f"{SHADOW}{authorization.SHADOW_POLICY}"
    return metadata_pb2.MetadataMatcher(
        filter=source,
        path=[metadata_pb2.MetadataMatcher.PathSegment(key=key)],
        value=value_pb2.ValueMatcher(string_match=string_pb2.StringMatcher(exact=ASKED)),
    )


# What the refused are told


def replies(steps: Iterable[tuple[int, Step]]) -> Iterator[http_connection_manager_pb2.ResponseMapper]:
    """The words of each refusal."""
    for index, step in steps:
        if step.reply is not None:
            yield reply(f"rbac_access_denied_matched_policy[{name_of(index, step)}]", step.reply)


def reply(details: str, said: Reply) -> http_connection_manager_pb2.ResponseMapper:
    """The words of one refusal, known by its details."""
    result = ResponseMapper(status_code=number(said.status))
    chosen = cel_pb2.ExpressionFilter(expression=f"response.code_details == '{details}'")
    result.filter.extension_filter.name = "cel"
    result.filter.extension_filter.typed_config.CopyFrom(packed(chosen))
    if said.format:
        text = base_pb2.DataSource(inline_string=said.body)
        result.body_format_override.CopyFrom(
            substitution_format_string_pb2.SubstitutionFormatString(
                text_format_source=text, content_type="text/plain"
            )
        )
    else:
        result.body.inline_string = said.body
    for key, value in said.headers.items():
        action = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
        header = base_pb2.HeaderValue(key=key, value=value)
        result.headers_to_add.append(HeaderValueOption(header=header, append_action=action))
    return result
