"""`catdog list` again and again: on a terminal the table in its place, elsewhere a line for each run that changes."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from k8s.exits import CliError
from k8s.terminal import show
from trainer.words import in_a_line

POLL_SECONDS = 5.0

Rows = Sequence[Mapping[str, Any]]
Look = Callable[[], tuple[Rows, str]]
"""The rows, and why some run folders could not be read; empty if all could."""


def watch_lines(look: Look, say: Callable[[str], None], note: Callable[[str], None]) -> None:
    """Say the table, then each row that changes, for ever. An API server that goes away is waited for.

    Raises:
        CliError: the runs cannot be listed, and trying again would not help.
    """
    before: dict[str, tuple[str, ...]] | None = None
    said = ""
    while True:
        rows, trouble = _tried(look)
        if trouble and trouble != said:
            note(trouble)
        said = trouble
        if rows is not None:
            for line in changes(rows, before):
                say(line)
            before = _by_run(rows)
        time.sleep(POLL_SECONDS)


def _tried(look: Look) -> tuple[Rows | None, str]:
    """What can be listed now; no rows if trying again may help."""
    try:
        return look()
    except CliError as error:
        if not error.transient:
            raise
        return None, f"{error.message}; retrying"


def changes(rows: Rows, before: Mapping[str, tuple[str, ...]] | None) -> Iterable[str]:
    """The lines of the table that say something new; all of it where nothing was said before."""
    heading, *lines = show.table(rows).split("\n")
    if before is None:
        yield heading
    now = _by_run(rows)
    for run, line in zip(now, lines, strict=False):
        if (before or {}).get(run) != now[run]:
            yield line
    for run in before or {}:
        if run not in now:
            yield f"{in_a_line(run)} is gone"


def _by_run(rows: Rows) -> dict[str, tuple[str, ...]]:
    """What is said of each run, but for its age, which always changes."""
    said = [name for name in show.COLUMNS if name != "age"]
    return {f"{one['name']} ({one['run']})": show.shown(one, said) for one in rows}


def watch_drawn(look: Look) -> None:
    """Draw the table in place, for ever, until it cannot be read and trying again would not help (CliError)."""
    # Here, for --help need not spend the CPU.
    from rich.console import Group
    from rich.text import Text

    from k8s.terminal.screen import Screen

    rows: Rows | None = None
    with Screen(leave=True) as screen:
        while True:
            found, trouble = _tried(look)
            rows = rows if found is None else found
            table = [] if rows is None else [Text(show.table(rows), no_wrap=True, overflow="crop")]
            screen.show(Group(*table, *([Text(in_a_line(trouble), style="yellow")] if trouble else [])))
            time.sleep(POLL_SECONDS)
