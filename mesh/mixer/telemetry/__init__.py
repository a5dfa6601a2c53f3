"""istio-telemetry: takes proxies' reports (Envoy's access log service) and hands them on by rules."""
