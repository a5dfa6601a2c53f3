"""Spans that proxies report: taken in as Zipkin v2 JSON, completed by `tracespan` rules, kept for queries."""
