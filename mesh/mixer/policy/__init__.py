"""istio-policy: answers Envoy's checks (ext_authz), over HTTP rules and for TCP connections."""
