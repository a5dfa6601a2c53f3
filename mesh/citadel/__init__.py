"""Citadel: the mesh's certificate authority. Issues identities, rotates and revokes them, distributes trust.

`authority` makes certificates; `issuing` decides who gets which; `service` is how they ask; `state` is what
must not be lost; `core` keeps the mesh's trust as it should be; the rest brings it where it is needed.
"""
