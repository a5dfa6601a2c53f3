"""Pilot: services and configuration in, xDS out (`snapshot`, `compile`, `ads`), and a window (`debug`)."""
