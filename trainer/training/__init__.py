"""The step, the loop, and what it saves."""
