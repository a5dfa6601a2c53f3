"""The adapters that come with the mesh, one file each."""
