"""Comparisons with what a user would pick instead; each module measures one. `make bench` runs them all."""
