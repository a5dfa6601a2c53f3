"""Pilot's window: what it knows, what it sent, what the proxies said, and whether a change is in force."""
