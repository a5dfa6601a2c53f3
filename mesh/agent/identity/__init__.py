"""Who the Pod is: its key and certificate, what it trusts, and how Envoy gets both over a Unix socket.

Imported only where a proxy runs with mutual TLS, because gRPC and `cryptography` cost every start.
"""
