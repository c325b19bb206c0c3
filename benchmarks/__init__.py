"""Comparisons with what a user would pick instead; each module prints one JSON object. `make bench` runs them all."""
