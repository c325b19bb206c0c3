"""Which fonts of this machine have the characters of names in other scripts; escapes where none has them."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.font_manager import FontEntry
from matplotlib.ft2font import FT2Font

from trainer.words import in_a_line

DEFAULT = "DejaVu Sans"
"""Matplotlib brings it along; it has Latin, Greek and Cyrillic."""


def families(text: str) -> list[str]:
    """The fonts to draw a text with: the default one, then those that have what it lacks."""
    chosen, missing = [DEFAULT], _characters(text) - _glyphs(_default())
    for entry in _others() if missing else ():
        found = missing & _glyphs(entry.fname)
        if found:
            chosen.append(entry.name)
            missing -= found
        if not missing:
            break
    return chosen


def legible(text: str) -> str:
    """The text on one line, with an escape for every character that no font of this machine has."""
    line = in_a_line(text)
    missing = _characters(line) - _glyphs(_default())
    for entry in _others() if missing else ():
        missing -= _glyphs(entry.fname)
    return "".join(_escape(one) if ord(one) in missing else one for one in line)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _characters(text: str) -> set[int]:
    return {ord(one) for one in text if not one.isspace()}


def _default() -> str:
    return font_manager.findfont(DEFAULT)


@cache
def _glyphs(file: str) -> frozenset[int]:
    """Code points that a font has glyphs for; none where it cannot be read."""
    try:
        return frozenset(FT2Font(file).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


@cache
def _others() -> tuple[FontEntry, ...]:
    """Fonts of the machine, upright and plain ones first. Those that matplotlib brings are for formulas."""
    own = Path(matplotlib.get_data_path())
    return tuple(sorted(_outside(own, font_manager.fontManager.ttflist), key=_rank))


def _outside(folder: Path, entries: Iterable[FontEntry]) -> list[FontEntry]:
    return [entry for entry in entries if not Path(entry.fname).is_relative_to(folder)]


def _rank(entry: FontEntry) -> tuple[bool, bool, bool, str, str]:
    return (
        entry.style != "normal",
        entry.weight not in (400, "normal"),
        "Sans" not in entry.name,
        entry.name,
        entry.fname,
    )
