"""Mixer's checks at a proxy: what Envoy decides itself, and the filters that ask istio-policy."""

from mesh.pilot.compile.mixer.checked import Checked
from mesh.pilot.compile.mixer.filters import http_filters, tcp_filters
from mesh.pilot.compile.mixer.origins import origins
from mesh.pilot.compile.mixer.place import Place

__all__ = ["Checked", "Place", "http_filters", "origins", "tcp_filters"]
