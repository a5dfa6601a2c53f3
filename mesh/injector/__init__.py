"""The sidecar injector: decides whether a Pod gets a sidecar, adds it, and serves that as a mutating webhook.

It reads its settings from files that are mounted into it and never asks the API server.
"""
