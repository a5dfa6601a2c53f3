"""What is accepted as Istio has it, but not acted on by this mesh: one table, so that a warning can say it.

When a field or kind comes into use, its line goes.
"""

from collections.abc import Mapping

NOT_YET = "is accepted, but this mesh does not act on it yet"

UNUSED_KINDS: Mapping[str, str] = {}
"""Kinds of which no part is used, with what people are told."""

UNUSED_FIELDS: Mapping[str, Mapping[str, str]] = {}
"""Fields by the name of their message and their attribute."""
