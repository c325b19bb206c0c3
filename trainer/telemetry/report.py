"""One self-contained HTML page about a run, from the values in its run folder.

`render` is pure: values in, text out. It reads no file except its template, and the page needs no script, font or
network, so it can be mailed, printed and opened years later. What a run does not have yet is omitted or marked missing.
"""

import base64
import shlex
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from trainer.contract import State
from trainer.telemetry import confidence, confusion, facts, profiled, stages, time_spent
from trainer.telemetry.configuration import options
from trainer.telemetry.curves import best_epoch, curves_in_words, rows
from trainer.telemetry.documents import first_number, mapping
from trainer.training import scores
from trainer.words import decimal, duration, in_a_line, mebibytes, percent

MOST_REJECTED_SHOWN = 200
MOST_ROWS_OPEN = 15

STATES: dict[str, str] = {
    State.RUNNING: "Running",
    State.SUCCEEDED: "Succeeded",
    State.FAILED: "Failed",
    State.PREEMPTED: "Preempted",
    State.CANCELLED: "Cancelled",
}


@dataclass(frozen=True)
class ReportInput:
    """What a report is made from; everything except the configuration may be missing or empty.

    Attributes:
        config: config.json. Nested objects are shown with dotted names; two keys get sections of their own:
            `versions` (package to version) and `command` (a string or a list of words: how to run this again).
        state: state.json.
        history: the objects of metrics.jsonl, ascending by epoch.
        summary: summary.json; present once the run has succeeded.
        figures: PNG bytes by name: curves, augmentation, confusion, mistakes.
        rejected: pictures left out of the data set, each {"path", "reason"}.
        defaults: what the recipe sets, by option; options that differ are flagged.
        profile: profile.json.
    """

    config: Mapping[str, Any]
    state: Mapping[str, Any] | None = None
    history: Sequence[Mapping[str, Any]] = ()
    summary: Mapping[str, Any] | None = None
    figures: Mapping[str, bytes] | None = None
    rejected: Sequence[Mapping[str, Any]] = ()
    defaults: Mapping[str, Any] | None = None
    profile: Any = None


@dataclass(frozen=True)
class Picture:
    """A figure as data URI, with its width and height in pixels."""

    address: str
    width: int
    height: int


def render(report: ReportInput) -> str:
    """Return the report as one HTML document.

    Raises:
        ValueError: a row of the history is malformed, a figure is not a PNG, or the confusion matrix does
            not fit the labels.
    """
    epochs = rows(report.history)
    summary, state = report.summary or {}, report.state or {}
    labels, matrix = confusion.of_summary(summary)
    pairs = scores.confused_pairs(matrix, labels) if matrix is not None else ()
    recipe = str(summary.get("recipe") or report.config.get("recipe") or "run")
    name = str(report.config.get("name") or recipe)
    data = mapping(summary.get("data"))
    return template("report.html.j2").render(
        title=name,
        recipe=recipe,
        state=STATES.get(str(state.get("state")), "State unknown"),
        state_kind=str(state.get("state")) if state.get("state") in STATES else "unknown",
        reason=str(state.get("reason") or ""),
        state_facts=facts.state(state),
        is_augmented=any(report.config.get(name) for name in ("flip", "rotation", "zoom")),
        is_demo=bool(data.get("demo")),
        is_finished=report.summary is not None,
        has_no_test="test" in summary and summary["test"] is None,
        headline=facts.headline(report.config, summary, epochs),
        pictures={key: picture(png) for key, png in (report.figures or {}).items()},
        curves_text=curves_in_words(epochs, summary.get("best_epoch")),
        epochs=epochs,
        on_features=facts.on_features(report.config),
        best=best_epoch(epochs),
        class_rows=scores.class_rows(matrix, labels) if matrix is not None else (),
        pairs=pairs,
        confusion_text=confusion.in_words(matrix, pairs) if matrix is not None else "",
        confidence=confidence.of_summary(summary),
        rejected=report.rejected[:MOST_REJECTED_SHOWN],
        rejected_total=max(len(report.rejected), int(first_number(data.get("rejected"), summary.get("rejected")) or 0)),
        throughput=facts.throughput(report.config, summary, epochs),
        time_spent=time_spent.of_run(summary, state),
        time_sorts=time_spent.IN_WORDS,
        profiled=profiled.of_run(report.profile),
        stages=stages.of_summary(summary),
        data_facts=facts.data_set(data, labels),
        options=options(report.config, report.defaults),
        knows_defaults=report.defaults is not None,
        versions=facts.versions(report.config),
        command=_command(report.config.get("command")),
        most_rows_open=MOST_ROWS_OPEN,
        percent=percent,
        number=decimal,
        duration=duration,
        mebibytes=mebibytes,
    )


@cache
def template(name: str) -> Template:
    """Return a template of this folder, in which every value is escaped."""
    # autoescape: class names, paths and reasons come from other people's folders
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _shown(value: Any) -> Any:
    """What an expression of the template gives, without what would turn or hide text around a name."""
    return in_a_line(value) if type(value) is str else value


def picture(png: bytes) -> Picture:
    """Return a figure for a page.

    Raises:
        ValueError: it is not a PNG.
    """
    # The IHDR chunk comes first (PNG specification, 5.6): width and height are bytes 16 to 23, big-endian.
    if png[:8] != b"\x89PNG\r\n\x1a\n" or len(png) < 24:
        raise ValueError("a figure is not a PNG file")
    width, height = struct.unpack(">II", png[16:24])
    return Picture("data:image/png;base64," + base64.b64encode(png).decode("ascii"), width, height)


def _command(command: Any) -> str:
    if isinstance(command, str):
        return command
    return shlex.join(str(word) for word in command or ())
