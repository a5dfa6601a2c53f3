"""The images that the mesh runs from (entry-point group `pocketkube.images`)."""

from mesh.version import __version__

MESH_IMAGE = f"meshwright/mesh:{__version__}"
IMAGES = {MESH_IMAGE: {"cmd": ["meshctl", "version"]}}
