"""The comparison of runs as one self-contained HTML page, in the style of the report. Pure."""

from collections.abc import Sequence

from trainer.telemetry.comparison import CAUSE_TITLES, OUTCOME_TITLES, Comparison, Row, alike, brief
from trainer.telemetry.report import STATES, picture, template


def render(names: Sequence[str], addresses: Sequence[str], compared: Comparison, curves: bytes | None) -> str:
    """Return the page.

    Args:
        names: of the runs, as the columns are headed.
        addresses: of their folders.
        compared: all that is known; what is the same is folded away.
        curves: the figure of the curves as PNG; None if no run has an epoch yet.

    Raises:
        ValueError: `curves` is not a PNG.
    """
    shown = brief(compared)
    states = next((row.words for row in compared.results if row.name == "state"), ("",) * len(names))
    return template("comparison.html.j2").render(
        names=names,
        runs=list(zip(names, addresses, states, strict=True)),
        state_names=STATES,
        remarks=compared.remarks,
        curves=None if curves is None else picture(curves),
        results=shown.results,
        time=shown.time,
        epochs=compared.epochs,
        titles=OUTCOME_TITLES,
        differing=_tables(shown),
        same=alike(compared, is_partial=False),
        partial=alike(compared, is_partial=True),
    )


def _tables(comparison: Comparison) -> dict[str, tuple[Row, ...]]:
    return {title: rows for name, title in CAUSE_TITLES.items() if (rows := getattr(comparison, name))}
