"""What runs in a load test's own Pod. A ConfigMap hands `run.py` to it: it may import nothing of ours."""
