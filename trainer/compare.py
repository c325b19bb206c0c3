"""The verb `compare`: run folders side by side, as text, JSON and one HTML page. It needs no TensorFlow."""

import dataclasses
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainer import documents
from trainer.contract import CONFIG, METRICS, STATE, SUMMARY
from trainer.exits import Exit, ExitError
from trainer.process.output import say
from trainer.requests import CompareRequest
from trainer.storage.base import Storage
from trainer.storage.errors import StorageMissing
from trainer.storage.opening import open_storage
from trainer.telemetry import comparison, curves
from trainer.telemetry.comparison import CAUSE_TITLES, OUTCOME_TITLES, Comparison
from trainer.telemetry.curves import EpochRow
from trainer.telemetry.outcomes import Documents
from trainer.words import in_a_line

T = TypeVar("T")

LAST_EPOCH = 10**9
"""No run has more epochs; a larger number is damage."""

NARROWEST = 14
"""Characters of a column, an interval fits; runs for which there is no room are in another table below."""

_GAP = 2


def compare(request: CompareRequest) -> int:
    """Compare the runs; a damaged file is named on standard error, and what it says is left out.

    Raises:
        ExitError: 66 when one is not a run folder; 74 when the page cannot be written.
    """
    damaged: list[str] = []
    runs = [read(open_storage(uri), damaged.append) for uri in request.runs]
    for line in damaged:
        print(in_a_line(line), file=sys.stderr)
    names, compared = comparison.names_of(request.runs), comparison.compare(runs)
    if request.html:
        _write(request.html, _page(names, request.runs, runs, compared))
    if request.output == "json":
        print(json.dumps(as_json(names, request.runs, runs, compared, damaged)))
        return Exit.DONE
    show(names, compared if request.everything else comparison.brief(compared))
    if request.html:
        say(["", f"page: {request.html}"])
    return Exit.DONE


def read(run: Storage, damaged: Callable[[str], object]) -> Documents:
    """What a run folder holds; `damaged` is told of each file that cannot be read, in a line.

    Raises:
        ExitError: 66 when it is not a run folder.
    """
    if run.stat(CONFIG) is None:
        raise ExitError(Exit.INPUT_MISSING, f"{run.uri}: not a run folder (no {CONFIG})")

    def part(name: str, parse: Callable[[bytes], T], otherwise: T) -> T:
        try:
            return parse(run.read(name))
        except StorageMissing:
            return otherwise
        except (ValueError, OverflowError) as error:
            damaged(f"{run.uri}/{name} is damaged ({error}); it is left out")
            return otherwise

    return Documents(
        config=part(CONFIG, _object, {}),
        state=part(STATE, _object, {}),
        summary=part(SUMMARY, _object, {}),
        history=part(METRICS, _history, ()),
    )


def _object(data: bytes) -> dict[str, Any]:
    found = documents.parse(data)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def _history(data: bytes) -> tuple[EpochRow, ...]:
    lines = [_object(line) for line in data.splitlines()]
    by_epoch = {row.epoch: row for row in curves.rows(lines)}
    if not all(0 <= epoch <= LAST_EPOCH for epoch in by_epoch):
        raise ValueError("an epoch has an impossible number")
    return tuple(by_epoch[epoch] for epoch in sorted(by_epoch))


def _page(names: Sequence[str], addresses: Sequence[str], runs: Sequence[Documents], compared: Comparison) -> str:
    # imported here, so that text and JSON do not load jinja2 and matplotlib
    from trainer.telemetry.comparison_page import render
    from trainer.telemetry.figures.overlay import overlay_png

    histories = [run.history for run in runs]
    return render(names, addresses, compared, overlay_png(names, histories) if any(histories) else None)


def _write(file: str, page: str) -> None:
    try:
        Path(file).write_text(page, encoding="utf-8")
    except OSError as error:
        raise ExitError(Exit.STORAGE_FAILED, f"{file}: {error.strerror}") from error


def as_json(
    names: Sequence[str],
    addresses: Sequence[str],
    runs: Sequence[Documents],
    compared: Comparison,
    damaged: Sequence[str],
) -> dict[str, Any]:
    """All rows with their values, null where unknown, and the epochs of each run."""
    tables = {
        table: [
            {"name": row.name, "values": _finite(row.values), "differs": row.differs}
            for row in getattr(compared, table)
        ]
        for table in (*OUTCOME_TITLES, *CAUSE_TITLES)
    }
    return {
        "runs": [{"name": name, "uri": uri} for name, uri in zip(names, addresses, strict=True)],
        **tables,
        "curves": [[_finite(dataclasses.asdict(row)) for row in run.history] for run in runs],
        "remarks": list(compared.remarks),
        "damaged": list(damaged),
    }


def _finite(value: Any) -> Any:
    """The value with null for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def show(names: Sequence[str], compared: Comparison, console: Console | None = None) -> None:
    """Print the rows; of more runs than there is room for beside each other, as several tables."""
    console = console or Console()
    tables = {**OUTCOME_TITLES, **CAUSE_TITLES}
    widest = max((len(row.name) for field in tables for row in getattr(compared, field)), default=0)
    room = max(2, (console.width - widest) // (NARROWEST + _GAP))
    for first in range(0, len(names), room):
        if first:
            console.print()
        console.print(_table(names, compared, slice(first, first + room), tables))
    nothing = [] if any(getattr(compared, field) for field in CAUSE_TITLES) else ["Nothing recorded differs."]
    for line in (*nothing, *compared.remarks):
        console.print()
        console.print(_plain(line))


def _table(names: Sequence[str], compared: Comparison, some: slice, tables: Mapping[str, str]) -> Table:
    """All rows of some of the runs as one table, so that the columns of its parts are aligned."""
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    table.add_column("", overflow="fold")
    for name in names[some]:
        table.add_column(_plain(name), overflow="fold", min_width=NARROWEST)
    for field, title in tables.items():
        rows = getattr(compared, field)
        if rows:
            table.add_row()
            table.add_row(Text(title, style="bold"))
        for row in rows:
            table.add_row(_plain(row.name), *map(_plain, row.words[some]))
    return table


def _plain(text: str) -> Text:
    return Text(in_a_line(text))
