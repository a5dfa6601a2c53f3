"""How a rule removes a header from a response: istio-policy names it in metadata, a script takes it out.

The answer of Envoy's external authorization can add and replace a response's headers; it has no word for
removing one. It can leave metadata with the request, which a Lua filter reads when the response comes.
Source: envoy/service/auth/v3/external_auth.proto (`CheckResponse.dynamic_metadata`), Envoy's Lua filter.
"""

from collections.abc import Iterable

from mesh.rules.parts import RuleConfig

KEY = "remove_response_headers"
"""Key of the metadata: a list of headers' names."""

SCRIPT = f"""
function envoy_on_response(handle)
  local metadata = handle:streamInfo():dynamicMetadata()
  for _, values in pairs(metadata) do
    for _, name in ipairs(values["{KEY}"] or {{}}) do
      handle:headers():remove(name)
    end
  end
end
"""
"""What the Lua filter runs; the key is istio-policy's alone, whatever filter's name it is kept by."""


def wanted(rules: Iterable[RuleConfig]) -> bool:
    """Whether any of the rules removes a header from responses."""
    return any(each.operation == "REMOVE" for rule in rules for each in rule.response_headers)
