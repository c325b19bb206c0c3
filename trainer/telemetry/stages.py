"""What the last attempt of a run did, for the report: seconds and memory of each stage. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer.ledger import LONGEST
from trainer.process.activity import BEFORE, BEFORE_JOINING, Doing
from trainer.telemetry.documents import first_number, mapping

UNTIL_FIRST_STEP = (BEFORE, *BEFORE_JOINING, Doing.JOINING, Doing.READING, Doing.BUILDING, Doing.COMPILING)
AFTER_LAST_STEP = (Doing.SAVING, Doing.FINISHING, Doing.TESTING, Doing.EXPORTING, Doing.DRAWING, Doing.REPORTING)
"""What is left when these are written down, the report itself, is not in them."""


@dataclass(frozen=True)
class Stage:
    """Something that the process did, its seconds, the most bytes that it held meanwhile (None: unknown), and the
    length of that bar, the longest being 1."""

    title: str
    seconds: float
    peak_bytes: float | None
    length: float


@dataclass(frozen=True)
class Stages:
    """In the order in which they were first done with, and what follows from them. `pixel_bytes` are the decoded
    pictures' part of `peak_bytes`."""

    rows: tuple[Stage, ...]
    until_first_step: float
    after_last_step: float
    peak_bytes: float | None
    pixel_bytes: float | None


def of_summary(summary: Mapping[str, Any]) -> Stages | None:
    """From summary.json; None where it does not tell, as of older versions, or tells nothing that is known."""
    told = summary.get("stages")
    read = [_read(mapping(one)) for one in (told if isinstance(told, list) else ())]
    rows = [one for one in read if one is not None]
    if not rows:
        return None
    memory = mapping(summary.get("memory"))
    longest = max((row[2] or 0.0 for row in rows), default=0.0) or 1.0
    return Stages(
        tuple(Stage(title, seconds, peak, (peak or 0.0) / longest) for title, seconds, peak in rows),
        sum(seconds for title, seconds, _ in rows if title in UNTIL_FIRST_STEP),
        sum(seconds for title, seconds, _ in rows if title in AFTER_LAST_STEP),
        first_number(memory.get("peak_bytes")),
        first_number(memory.get("pixel_bytes")),
    )


def _read(row: Mapping[str, Any]) -> tuple[str, float, float | None] | None:
    title, seconds, peak = row.get("doing"), first_number(row.get("seconds")), first_number(row.get("peak_bytes"))
    if not isinstance(title, str) or seconds is None or not 0 <= seconds < LONGEST:
        return None
    return title, seconds, None if peak is None or peak < 0 else peak
