"""Measured numbers in the documents are those of a JSON file in benchmarks/, and benchmarks' tables say what was met.

`<!-- figure: limit.json#float32_plain.ratio -->` marks the number after it: the file, and the path to the value in it.
Where that leads to a figure of benchmarks.table, its `ours` is meant.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.table import Figure, Result, interleaved, of_json, render

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = ["README.md", *sorted(str(p.relative_to(REPOSITORY)) for p in (REPOSITORY / "docs").rglob("*.md"))]
_MARK = re.compile(r"<!-- figure: ([\w-]+\.json)#(\S+) -->")
_NUMBER = re.compile(r"(-?\d[\d,]*(?:\.\d+)?)( ?%)?")


def value_of(document: Any, path: str) -> float:
    """The number at a path such as `float32_plain.ratio` or `runs.lite0.valid.0`."""
    names = path.split(".")
    found = document["figures"] if names[0] in document.get("figures", {}) else document
    for name in names:
        found = found[int(name)] if isinstance(found, list) else found[name]
    return float(found["ours"] if isinstance(found, dict) else found)


def faults(text: str, read: dict[str, Any]) -> Iterator[str]:
    """Marked numbers that are not what the JSON has, rounded as they are written."""
    for mark in _MARK.finditer(text):
        file, path = mark.groups()
        shown = _NUMBER.search(text, mark.end())
        if shown is None or "<!--" in text[mark.end() : shown.start()]:
            yield f"no number after {mark.group()}"
            continue
        digits, percent = shown.groups()
        value = value_of(read[file], path) * (100 if percent else 1)
        decimals = len(digits.partition(".")[2])
        if abs(value - float(digits.replace(",", ""))) > 0.5001 * 10**-decimals:
            yield f"{mark.group()}: {shown.group()}, measured {value:.6g}"


def measured() -> dict[str, Any]:
    return {path.name: json.loads(path.read_text()) for path in (REPOSITORY / "benchmarks").glob("*.json")}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_marked_figures_are_those_that_were_measured(document: str) -> None:
    assert list(faults((REPOSITORY / document).read_text(), measured())) == []


def test_some_figures_are_marked() -> None:
    marks = [mark for name in DOCUMENTS for mark in _MARK.finditer((REPOSITORY / name).read_text())]
    assert len(marks) > 10


@pytest.mark.parametrize("shown", ["0.941", "0.94", "94.1 %", "94%", "about 0.9"])
def test_a_figure_may_be_rounded(shown: str) -> None:
    assert list(faults(f"<!-- figure: a.json#k --> {shown}", {"a.json": {"figures": {"k": {"ours": 0.9411}}}})) == []


@pytest.mark.parametrize("shown", ["0.942", "0.95", "93 %", "2", "none <!-- figure: a.json#k --> 0.94"])
def test_another_number_is_found(shown: str) -> None:
    read = {"a.json": {"figures": {"k": {"ours": 0.9411}}}}
    assert len(list(faults(f"<!-- figure: a.json#k --> {shown}", read))) == 1


def test_a_target_is_of_the_ratio_or_of_what_has_no_other() -> None:
    assert Figure("", "", 9.0, 10.0, "theirs", 0.9).met is True
    assert Figure("", "", 8.9, 10.0, "theirs", 0.9).met is False
    assert Figure("", "", 8.9, 10.0, "theirs", 0.9, at_least=False).met is True
    assert Figure("", "", 8.9, target=8.0, at_least=False).met is False
    assert Figure("", "", None, 10.0, "theirs", 0.9).met is None
    assert Figure("", "", 1.0, 10.0, "theirs").met is None


def test_a_result_is_read_back_from_its_json_and_shown() -> None:
    figures = {"a": Figure("what [of it]", "s", 0.125, 2.0, "that", 0.1), "b": Figure("other", "GB", None)}
    result = Result("name", figures, {"rounds": [1.0, 2.0]}, {"processor": "P", "cores": 2, "memory_gib": 4})
    told = json.loads(json.dumps(result.as_json()))
    assert told["figures"]["a"]["ratio"] == 0.0625
    assert of_json(told).as_json() == told
    console = Console(width=120)
    with console.capture() as captured:
        console.print(render([of_json(told)]))
    text = captured.get()
    assert "what [of it], against that" in text
    assert "NO" in text
    assert "unmeasured" in text


def test_each_round_begins_with_another_variant() -> None:
    order: list[str] = []
    found = interleaved({n: lambda n=n: order.append(n) or 1.0 for n in "abc"}, 3)  # type: ignore[misc]
    assert "".join(order) == "abcbcacab"
    assert found == {"a": [1.0] * 3, "b": [1.0] * 3, "c": [1.0] * 3}
