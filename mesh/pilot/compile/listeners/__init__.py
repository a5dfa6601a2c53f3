"""Listeners: what a proxy intercepts or serves, and the chains of filters that handle it."""
