"""What a benchmark measures, as figures: one table for people, one JSON file that the documents' figures come from.

A benchmark makes a Result and hands it to `publish`. `python -m benchmarks` runs all of them and shows one table.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.machine import describe

ROUNDS = 5
FOLDER = Path("build/bench")
"""Where the JSON goes unless --out says otherwise; what the documents tell is committed in benchmarks/."""


@dataclass(frozen=True)
class Figure:
    """One measured number, and what it is compared with.

    Attributes:
        what: what was measured, in words.
        unit: of `ours` and `theirs`, such as "s a step".
        ours: the median; None if it could not be measured here.
        theirs: the median of what it is compared with; None if there is nothing.
        against: what `theirs` is, in words.
        target: of the ratio ours / theirs, or of `ours` where there are no `theirs`; None: no target.
        at_least: the target is the least allowed, not the most.
    """

    what: str
    unit: str
    ours: float | None
    theirs: float | None = None
    against: str = ""
    target: float | None = None
    at_least: bool = True

    @property
    def ratio(self) -> float | None:
        """Ours / theirs."""
        return None if self.ours is None or not self.theirs else self.ours / self.theirs

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one, or unmeasured."""
        value = self.ratio if self.against else self.ours
        if self.target is None or value is None:
            return None
        return value >= self.target if self.at_least else value <= self.target


@dataclass(frozen=True)
class Result:
    """What one run of a benchmark found: figures by key, what else is worth keeping, and where it was measured."""

    benchmark: str
    figures: Mapping[str, Figure]
    details: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=describe)

    def as_json(self) -> dict[str, Any]:
        """The JSON document; `of_json` reads it back."""
        told = {
            key: {name: _short(value) for name, value in {**asdict(one), "ratio": one.ratio, "met": one.met}.items()}
            for key, one in self.figures.items()
        }
        return {"benchmark": self.benchmark, "figures": told, **self.details, "machine": dict(self.machine)}


def of_json(document: Mapping[str, Any]) -> Result:
    """A Result as `Result.as_json` wrote it."""
    known = Figure.__dataclass_fields__
    figures = {
        key: Figure(**{name: value for name, value in one.items() if name in known})
        for key, one in document["figures"].items()
    }
    details = {name: value for name, value in document.items() if name not in ("benchmark", "figures", "machine")}
    return Result(document["benchmark"], figures, details, document["machine"])


def interleaved(variants: Mapping[str, Callable[[], float]], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """What each variant returns in each round. Every round begins with another one, so that none is always first."""
    names = list(variants)
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            found[name].append(variants[name]())
    return found


def medians(samples: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The median of each variant's rounds."""
    return {name: statistics.median(values) for name, values in samples.items()}


def render(results: Sequence[Result]) -> Table:
    """One table of all figures."""
    table = Table("figure", title=_title(results), title_justify="left", caption_justify="left")
    for name in ("ours", "theirs", "ratio", "target"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("met")
    for result in results:
        table.add_section()
        for one in result.figures.values():
            compared = f", against {one.against}" if one.against else ""
            table.add_row(
                escape(f"{one.what}{compared} [{one.unit}]"),
                "unmeasured" if one.ours is None else number(one.ours),
                "" if one.theirs is None else number(one.theirs),
                "" if one.ratio is None else f"{one.ratio:.3g}",
                "" if one.target is None else f"{'≥' if one.at_least else '≤'} {one.target:g}",
                {True: "yes", False: "NO", None: ""}[one.met],
            )
    return table


def number(value: float) -> str:
    """Three significant digits, or all of what is before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def options(text: str | None) -> argparse.ArgumentParser:
    """A parser with what every benchmark takes; `text` is its docstring."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder for the JSON (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of which medians are taken (default: %(default)s)")
    return parser


def publish(result: Result, folder: Path) -> None:
    """Write FOLDER/BENCHMARK.json, and print the table."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.benchmark}.json"
    path.write_text(json.dumps(result.as_json(), indent=1) + "\n")
    show([result])
    print(f"{path} has every round", file=sys.stderr)


def show(results: Sequence[Result]) -> None:
    """Print the table, as wide as it has to be where no terminal limits it."""
    console = Console()
    Console(width=console.width if console.is_terminal else 160).print(render(results))


def _title(results: Sequence[Result]) -> str:
    machine = results[0].machine if results else describe()
    versions = machine.get("versions", {})
    told = [f"{machine.get('processor')}, {machine.get('cores')} cores", f"{machine.get('memory_gib')} GiB"]
    told += [f"{name} {versions[name]}" for name in ("tensorflow", "keras") if name in versions]
    return ", ".join(told)


def _short(value: Any) -> Any:
    """Six significant digits are more than any of this is worth."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
