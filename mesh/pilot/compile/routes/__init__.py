"""Routes: VirtualServices as Envoy's routes, virtual hosts and route configurations."""
