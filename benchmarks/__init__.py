"""The figures of the project, measured in one run on this machine; never limits of a test."""
