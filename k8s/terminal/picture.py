"""The live view of a run: what `catdog status` knows of it, as a person watching wants to see it. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from k8s.explain.cause import as_text, of_facts
from k8s.explain.phase import ENDED, Phase
from k8s.terminal import show
from trainer.words import ago, in_a_line

LABEL_WIDTH = 10
MOST_WORKERS = 4
_LEVELS = "▁▂▃▄▅▆▇█"
_STYLES = {
    Phase.RUNNING: "bold green",
    Phase.SUCCEEDED: "bold green",
    Phase.FAILED: "bold red",
    Phase.LOST: "bold red",
    None: "bold red",
}

Facts = Mapping[str, Any]


def picture(facts: Facts, width: int, *, ascii_only: bool = False, trouble: str = "") -> RenderableType:
    """The view of a run, of these facts (`show.status`), for a terminal of this width.

    `ascii_only`: it shows no other characters. `trouble`: why what is shown may be old.
    """
    table = Table.grid(padding=0, expand=True)
    table.add_column(width=LABEL_WIDTH, no_wrap=True, style="dim")
    table.add_column(ratio=1, overflow="fold")
    for name, value in _rows(facts, width - LABEL_WIDTH, ascii_only):
        table.add_row(Text(name), value)
    if trouble:
        table.add_row(Text("trouble"), Text(in_a_line(trouble), style="yellow"))
    return Group(_title(facts), table)


def _title(facts: Facts) -> Text:
    phase = facts["phase"]
    said = Text(in_a_line(facts["name"] or facts["run"]), style="bold")
    said.append(f"  {phase or 'not found'}", style=_STYLES.get(phase, "bold yellow"))
    for doing in show.doing(facts):
        said.append(f", {in_a_line(doing)}", style="not bold")
    return said


def _rows(facts: Facts, width: int, ascii_only: bool) -> Iterator[tuple[str, RenderableType]]:
    """Names and values; a name is empty where the value goes on."""
    if facts["progress"]:
        yield "progress", _text(facts["progress"])
        share = min(1.0, (facts["step"] or 0) / (facts["total_steps"] or 1))
        yield "", _bar(share)
    if facts["loss"] is not None or facts["losses"]:
        yield "loss", _text(_loss(facts, width, ascii_only))
    if speed := show.speed(facts):
        yield "speed", _text(speed)
    if (parts := _own_parts(facts["step_seconds"])) and facts["phase"] == Phase.RUNNING:
        yield "step", _text(f"own part of it: {parts}")
    for name, words in show.going(facts):
        yield name, _text(words)
    if workers := _workers(facts):
        yield "workers", _text(workers)
    if facts["heartbeat"] is not None and facts["phase"] == Phase.RUNNING:
        yield "heartbeat", _text(ago(facts["heartbeat"]))
    if measured := show.measured_in_words(facts["result"]):
        yield "result", _text(f"{measured}, best epoch {facts['result']['best_epoch']}")
    if (event := facts["last_event"]) is not None:
        when = "" if event["seconds_ago"] is None else f" ({ago(event['seconds_ago'])})"
        yield "event", _text(f"{event['about']}{when} {event['words']}")
    if facts["causes"] and facts["causes"][0]["kind"] != Phase.RUNNING:
        name = "why"
        for words in as_text(of_facts(facts["causes"])).splitlines():
            yield name, _text(words)
            name = ""
    for note in facts["notes"]:
        yield "note", _text(note)


def _text(words: str) -> Text:
    return Text(in_a_line(words))


def _bar(share: float) -> RenderableType:
    grid = Table.grid(expand=True, padding=(0, 1, 0, 0))
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True)
    grid.add_row(
        ProgressBar(total=1.0, completed=share, complete_style="green", finished_style="green"), Text(f"{share:.1%}")
    )
    return grid


def _loss(facts: Facts, width: int, ascii_only: bool) -> str:
    now = "" if facts["loss"] is None else f"{facts['loss']:.4f}"
    before = facts["losses"]
    if not before:
        return now
    if ascii_only:
        return f"{now} (was {before[0]:.4f})".strip()
    return f"{now}  {sparkline(before[-max(1, width - len(now) - 2) :])}".strip()


def sparkline(values: Sequence[float]) -> str:
    """One character for each value, from the lowest to the highest."""
    low, high = min(values), max(values)
    scale = (len(_LEVELS) - 1) / (high - low) if high > low else 0.0
    return "".join(_LEVELS[round((value - low) * scale)] for value in values)


def _own_parts(step_seconds: Mapping[str, float]) -> str:
    """What each worker takes for its own part of a step; of many, the slowest."""
    if len(step_seconds) < 2:
        return ""
    if len(step_seconds) <= MOST_WORKERS:
        shown = ", ".join(f"rank {rank} {_short(seconds)}" for rank, seconds in step_seconds.items())
        return shown
    slowest = sorted(step_seconds.items(), key=lambda one: -one[1])[: MOST_WORKERS - 1]
    shown = ", ".join(f"rank {rank} {_short(seconds)}" for rank, seconds in slowest)
    return f"median {_short(median(step_seconds.values()))}, slowest {shown}"


def _short(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _workers(facts: Facts) -> str:
    """How many of the workers run, and what becomes of those that do not."""
    pods = facts["pods"]
    if not pods or facts["phase"] in ENDED:
        return ""
    others = [pod for pod in pods if pod["phase"] != "Running" or pod["reason"]]
    shown = [f"rank {pod['rank']} {pod['reason'] or pod['phase']}" for pod in others[:MOST_WORKERS]]
    if len(others) > MOST_WORKERS:
        shown.append(f"and {len(others) - MOST_WORKERS} more")
    run = f"{len(pods) - len(others)} of {facts['workers'] or len(pods)} run"
    return "; ".join(filter(None, [run, ", ".join(shown)]))
