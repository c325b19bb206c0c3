"""The result of an import, or its failure, as lines of text and as JSON. Pure."""

import dataclasses
import math
import shlex
from collections.abc import Mapping
from typing import Any

from trainer.data.data_set import SPLITS, describe
from trainer.data.importing import Imported, LeftOut, NotImported
from trainer.fields import flag, options
from trainer.requests import DataImportRequest

SHOWN = 20
"""Pictures listed by name when an import succeeds; the rest are only counted."""


def lines_of(done: Imported, left_over: int, odd: int) -> list[str]:
    """The result as lines of text."""
    told = left_out_lines(done.left_out, SHOWN) + describe(done.data)
    if done.converted:
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in done.converted.items())
        told.append(f"converted to PNG: {kinds}")
    return [
        *told,
        f"{done.data.uri}: {done.stored:,} pictures stored, {done.already_there:,} already there; "
        f"{left_over:,} of the source not used, {odd:,} files are not pictures",
        f"fingerprint {done.data.fingerprint}",
    ]


def left_out_lines(left_out: LeftOut, shown: int | None = None) -> list[str]:
    """A line for each picture that is left out; at most `shown` duplicates and as many unusable ones."""
    same = [f"left out: {path}: the same picture as {other}" for path, other in left_out.dropped]
    unusable = [f"left out: {one.name}: {one.reason}" for one in left_out.rejected]
    return _some(same, "equal pictures", shown) + _some(unusable, "pictures that cannot be used", shown)


def _some(lines: list[str], what: str, shown: int | None) -> list[str]:
    if shown is None or len(lines) <= shown:
        return lines
    return [*lines[:shown], f"… and {len(lines) - shown:,} more {what}; -o json lists all"]


def as_json(done: Imported, left_over: int, odd: int, warnings: list[str]) -> dict[str, Any]:
    """The result as JSON."""
    return {
        "uri": done.data.uri,
        "fingerprint": done.data.fingerprint,
        "classes": list(done.data.classes),
        "splits": {split: len(done.data.splits[split]) for split in SPLITS},
        "stored": done.stored,
        "already_there": done.already_there,
        "converted": dict(done.converted),
        "left_over": left_over,
        "odd": odd,
        **_left_out(done.left_out),
        "warnings": warnings,
        "problems": [],
    }


def failure_as_json(uri: str, error: NotImported, warnings: list[str]) -> dict[str, Any]:
    """A failure as JSON: all pictures that are left out, and the reason."""
    return {"uri": uri, **_left_out(error.left_out), "warnings": warnings, "problems": [error.message]}


def _left_out(left_out: LeftOut) -> dict[str, Any]:
    return {
        "dropped": [{"path": path, "same_as": other} for path, other in left_out.dropped],
        "rejected": [dataclasses.asdict(one) for one in left_out.rejected],
    }


def explained(error: NotImported, request: DataImportRequest) -> str:
    """The message of the failure, with the next command to run where there is one."""
    if not error.rejected_share:
        return error.message
    enough = math.ceil(100 * error.rejected_share) / 100
    return f"{error.message}; to import the others: {command_of(request, {'max_rejected': enough})}"


def command_of(request: DataImportRequest, changed: Mapping[str, Any]) -> str:
    """The command line of this request, with some options changed."""
    asked = dataclasses.replace(request, **changed)
    default = DataImportRequest("", "")
    words = ["catdog", "data", "import", asked.source, asked.target]
    for name in options(DataImportRequest):
        value = getattr(asked, name)
        if value != getattr(default, name):
            words += [flag(name), f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join(words)
