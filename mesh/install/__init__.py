"""The Kubernetes objects of the mesh: one template a component, and how they get into a cluster."""
