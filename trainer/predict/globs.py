"""Patterns of names as a shell has them: *, ?, [abc] within one part of a path, ** over any number of parts. Pure."""

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

_MAGIC = re.compile(r"[*?[]")
Part = Callable[[str], bool]
"""Whether one part of a path is as one part of the pattern says."""


def is_pattern(name: str) -> bool:
    """Whether a name has a character that stands for others."""
    return _MAGIC.search(name) is not None


def literal_start(pattern: str) -> str:
    """What every name that matches begins with: the pattern up to its first character that stands for others."""
    found = _MAGIC.search(pattern)
    return pattern if found is None else pattern[: found.start()]


def matching(pattern: str, names: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """The names that match, or lie in a folder that does: (name, whether it is itself what matches)."""
    parts: list[Part | None] = [None if part == "**" else _part(part) for part in pattern.strip("/").split("/")]
    for name in names:
        pieces = name.split("/")
        if _matches(parts, pieces):
            yield name, True
        elif any(_matches(parts, pieces[:count]) for count in range(1, len(pieces))):
            yield name, False


def _matches(parts: Sequence[Part | None], pieces: Sequence[str]) -> bool:
    if not parts or not pieces:
        return not parts and not pieces
    first, rest = parts[0], parts[1:]
    if first is not None:
        return first(pieces[0]) and _matches(rest, pieces[1:])
    if _matches(rest, pieces):
        return True
    at_end = len(pieces) == 1 and all(part is None for part in rest)
    return not pieces[0].startswith(".") and (at_end or _matches(parts, pieces[1:]))


def _part(text: str) -> Part:
    """A hidden name has to be asked for by its dot."""
    pattern = re.compile(fnmatch.translate(text))
    return lambda piece: (text[:1] == "." or piece[:1] != ".") and pattern.match(piece) is not None
