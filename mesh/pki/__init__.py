"""Keys, certificates and trust, for every component that proves who it is or checks who another is.

Nothing here decides what is issued: that is `mesh.citadel`. Modules that need gRPC import it themselves, so
that a program which only reads a certificate does not pay for it.
"""
