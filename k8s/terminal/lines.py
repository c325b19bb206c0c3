"""Lines for people: answers on standard output, remarks on standard error."""

import sys


def say(line: str) -> None:
    """A line of the answer, at once."""
    print(line, flush=True)


def note(line: str) -> None:
    """A remark beside the answer, at once."""
    print(f"catdog: {line}", file=sys.stderr, flush=True)
