"""Where configuration comes from: the Kubernetes API, or files."""
