"""The one place that holds the version of the project."""

__version__ = "0.1.0"
