"""Lines for people: answers on standard output, remarks on standard error."""

import sys


def say(line: str) -> None:
    """Print a line of the answer, unbuffered."""
    print(line, flush=True)


def note(line: str) -> None:
    """Print a remark to standard error, unbuffered."""
    print(f"catdog: {line}", file=sys.stderr, flush=True)
