"""docs/faults.md, made from the table and the results. Pure but for `write`."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.faults.results import AS_EXPECTED, Outcome, read
from tests.faults.table import (
    AWAY,
    CELLS,
    CHECKPOINT_EVERY,
    FAULTS,
    MOMENTS,
    SHAPES,
    STORAGE_TIMEOUT,
    Cell,
    expected,
    omitted,
    possible,
)

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"

HERE = Path(__file__).parent


def rendered(outcomes: Mapping[str, Outcome]) -> str:
    """The whole page."""
    return "\n".join(
        [_head(), *_legend(), *_counts(outcomes), *_findings(outcomes), *_soaks(outcomes), *_cells(outcomes)]
    )


def _head() -> str:
    text = (HERE / "head.md").read_text("utf-8")
    minute, minutes = AWAY["away 60 s"], AWAY["away 5 min"]
    return text.format(every=CHECKPOINT_EVERY, patience=STORAGE_TIMEOUT, minute=minute, minutes=minutes).rstrip("\n")


def write() -> None:
    """Write the page into the documentation."""
    PAGE.write_text(rendered(read()), "utf-8")


def _legend() -> Iterator[str]:
    for title, meanings in (("Fault", FAULTS), ("Moment", MOMENTS)):
        yield from ("", f"| {title} | |", "|---|---|")
        yield from (f"| {name} | {_cell(meaning)} |" for name, meaning in meanings.items())


def _counts(outcomes: Mapping[str, Outcome]) -> Iterator[str]:
    yield from ("", "| | cells | not run, or cannot be | tried | as expected |", "|---|---|---|---|---|")
    for shape, words in SHAPES.items():
        cells = [cell for cell in CELLS if cell.shape == shape]
        tried = [outcomes[cell.name] for cell in cells if cell.name in outcomes]
        fine = sum(one.verdict == AS_EXPECTED for one in tried)
        yield f"| {words} | {len(cells)} | {sum(bool(omitted(cell)) for cell in cells)} | {len(tried)} | {fine} |"


def _findings(outcomes: Mapping[str, Outcome]) -> Iterator[str]:
    yield from ("", "## Not as expected", "")
    odd = [cell.name for cell in possible() if cell.name in outcomes and outcomes[cell.name].verdict != AS_EXPECTED]
    yield from (f"- `{name}`: {outcomes[name].verdict.removeprefix('finding: ')}" for name in odd)
    if not odd:
        yield "Nothing."
    missing = [cell.name for cell in possible() if cell.name not in outcomes]
    if missing:
        yield from ("", f"Not tried yet: {len(missing)} cells (`make faults`).")


def _soaks(outcomes: Mapping[str, Outcome]) -> Iterator[str]:
    yield (HERE / "soak.md").read_text("utf-8").rstrip("\n")
    for name, one in outcomes.items():
        if one.soak is not None:
            told, (_, shape, _, seed) = one.soak, name.split("/")
            faults = ", ".join(f"{count} {kind}" for kind, count in sorted(told["faults"].items()))
            codes = ", ".join(f"{count} × {code}" for code, count in told["codes"].items())
            goodput = "" if told["goodput"] is None else f"{told['goodput']:.0%}"
            times = f"{told['minutes']:.0f} | {goodput} | {told['longest_wait_seconds']:.0f} s"
            head = f"{SHAPES[shape]} | {seed.removeprefix('seed-')}"
            yield f"| {head} | {faults} | {codes} | {told['steps']} | {times} | {one.verdict} |"


def _cells(outcomes: Mapping[str, Outcome]) -> Iterator[str]:
    for shape, words in SHAPES.items():
        yield from ("", f"## {words[0].upper()}{words[1:]}", "")
        columns = ("fault", "moment", "code, expected", "seconds to detect", "to resume", "steps lost")
        columns += ("what was said", "`catdog why` at the worst moment")
        yield from (f"| {' | '.join(columns)} |", "|---" * len(columns) + "|")
        cells = [cell for cell in CELLS if cell.shape == shape]
        yield from (_row(cell, outcomes.get(cell.name)) for cell in cells if not omitted(cell))
        yield ""
        whys: dict[str, list[str]] = {}
        for cell in cells:
            if omitted(cell):
                whys.setdefault(omitted(cell), []).append(f"{cell.fault} at {cell.moment}")
        yield from (f"- {why[0].upper()}{why[1:]}: {', '.join(names)}." for why, names in whys.items())


def _row(cell: Cell, outcome: Outcome | None) -> str:
    wanted = " or ".join(map(str, expected(cell).codes))
    if outcome is None:
        return f"| {cell.fault} | {cell.moment} | , {wanted} | | | | not tried yet | |"
    mark = "" if outcome.verdict == AS_EXPECTED else " **!**"
    detect, resume = (_seconds(value) for value in (outcome.detect_seconds, outcome.resume_seconds))
    numbers = f"{outcome.code}, {wanted}{mark} | {detect} | {resume} | {outcome.steps_lost}"
    return f"| {cell.fault} | {cell.moment} | {numbers} | {_cell(outcome.happened)} | {_cell(outcome.why)} |"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
