"""Lessons that run: Markdown with commands, and a check for each step."""
