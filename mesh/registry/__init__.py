"""Platforms to model: which services there are, where their instances run, and what runs there."""
