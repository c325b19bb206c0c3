"""Runs inside the container: trains one image classifier, on one device or many."""
