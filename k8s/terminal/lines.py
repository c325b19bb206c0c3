"""Lines for people: answers on standard output, remarks on standard error."""

import os
import sys

from trainer.words import in_a_line


def say(lines: str) -> None:
    """Print lines of the answer, unbuffered; JSON stays what it is."""
    print(_shown(lines), flush=True)


def note(lines: str) -> None:
    """Print a remark to standard error, unbuffered."""
    print(f"catdog: {_shown(lines)}", file=sys.stderr, flush=True)


def can_redraw() -> bool:
    """Whether standard output is a terminal that can draw over what it shows."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")


def _shown(lines: str) -> str:
    """Without what a terminal would obey: names in the answer are other people's."""
    return "\n".join(in_a_line(line) for line in lines.split("\n"))
