"""Runs on the user's machine: the command line, and what it asks of Kubernetes."""
