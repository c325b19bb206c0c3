"""The report of a run folder: made from what the folder holds, whatever state the run is in, and written into it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from trainer.contract import CONFIG, FIGURES, PROFILE, REJECTED, REPORT, STATE, SUMMARY
from trainer.exits import Exit, ExitError
from trainer.folder import files
from trainer.recipes import RECIPES
from trainer.storage.base import Storage
from trainer.storage.errors import StorageMissing
from trainer.telemetry.figures.curves import curves_png
from trainer.telemetry.report import ReportInput, render

MOST_WEIGHTS = 12
"""Classes whose weights are told one by one."""


def write_report(run: Storage, ended: str | None = None) -> str:
    """(Re)write figures/curves.png and report.html from what the run folder holds; return where the report is.

    `ended` is the final state of a run that is about to end.

    Raises:
        StorageMissing: this is not a run folder.
    """
    config = files.read_object(run, CONFIG)
    if config is None:
        raise StorageMissing(f"{run.uri}/{CONFIG} does not exist: this is not a run folder")
    if not isinstance(config.get("config"), Mapping):
        raise ExitError(Exit.RUN_REFUSED, f"{run.uri}/{CONFIG} is damaged (no config)")
    history = files.read_metrics(run)
    state = files.read_object(run, STATE)
    if ended is not None:
        state = {**(state or {}), "state": ended}
    if history:
        write_figure(run, "curves", curves_png(history))
    page = render(
        ReportInput(
            config=_for_people(config),
            state=state,
            history=history,
            summary=files.read_object(run, SUMMARY),
            figures=_read_figures(run),
            rejected=files.read_json(run, REJECTED) or [],
            defaults=_defaults(config["config"].get("recipe", "")),
            profile=files.read_json(run, PROFILE),
        )
    )
    run.write(REPORT, page.encode())
    return f"{run.uri}/{REPORT}"


def write_figure(run: Storage, name: str, png: bytes) -> None:
    """Write one of FIGURES into the run folder."""
    run.write(FIGURES[name], png)


def _for_people(document: Mapping[str, Any]) -> dict[str, Any]:
    facts = {
        name: document[name]
        for name in ("fingerprint", "data_fingerprint", "revision", "threads", "versions", "command")
        if name in document
    }
    weights = document.get("class_weights")
    told = {} if weights is None else {"class_weights": _weights_in_words(weights)}
    return {**document["config"], **facts, **told}


def _weights_in_words(weights: Mapping[str, float]) -> str:
    """The weights that were trained with; of many classes the range alone."""
    if len(weights) <= MOST_WEIGHTS:
        return ", ".join(f"{name} {weight:.4g}" for name, weight in weights.items())
    return f"{min(weights.values()):.4g} to {max(weights.values()):.4g}, by class in {CONFIG}"


def _defaults(recipe: str) -> dict[str, Any] | None:
    return dataclasses.asdict(RECIPES[recipe]()) if recipe in RECIPES else None


def _read_figures(run: Storage) -> dict[str, bytes]:
    found = {}
    for name, file in FIGURES.items():
        try:
            found[name] = run.read(file)
        except StorageMissing:
            continue
    return found
