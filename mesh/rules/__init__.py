"""Mixer's rules: attributes, expressions, templates, what an adapter is, and configuration put together.

Shared by Mixer, which follows the rules, by Pilot, which compiles what needs no call, and by Galley, which
lets nothing wrong in.
"""
