"""The line of progress in rank 0's log (trainer.telemetry.spoken): read, and hidden from people. Pure."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from trainer.contract import SPOKEN

TAIL_LINES = 400
"""How far from its end a log is searched: there is a line every 30 s, and one for people every `log_every` steps."""


def visible(line: str) -> str | None:
    """A line of a log without what is for programs; None if nothing else is in it."""
    before, mark, rest = line.partition(f"{SPOKEN} ")
    if not mark:
        return line
    return (before + _after_json(rest)).strip() or None


def heard_in(lines: Iterable[str]) -> Mapping[str, Any] | None:
    """The last progress among the lines of a log, in the form of state.json; None if it says nothing."""
    found = None
    for line in lines:
        _, mark, rest = line.partition(f"{SPOKEN} ")
        if mark and (told := _json(rest)) is not None:
            found = told
    return found


def _json(text: str) -> Mapping[str, Any] | None:
    try:
        found, _ = json.JSONDecoder().raw_decode(text)
    except ValueError:  # a line that was cut off
        return None
    return found if isinstance(found, dict) else None


def _after_json(text: str) -> str:
    try:
        return text[json.JSONDecoder().raw_decode(text)[1] :]
    except ValueError:
        return ""
