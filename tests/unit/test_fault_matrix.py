"""The table of faults is the one that was agreed, and docs/faults.md is what its results say."""

import asyncio
import re
import threading
from typing import Any

import pytest

from tests.faults import page, results
from tests.faults.gate import Gate, uploaded
from tests.faults.table import (
    CELLS,
    CLUSTER,
    FAULTS,
    LOCAL,
    MOMENTS,
    NAMED,
    QUICK,
    SHAPES,
    Expected,
    expected,
    odd,
    omitted,
    possible,
)

MOST_CELLS = 140


def test_the_page_is_what_the_results_say() -> None:
    assert page.PAGE.read_text("utf-8") == page.rendered(results.read()), "python -m tests.faults page"


def test_every_cell_is_tried_or_named_with_why_not() -> None:
    text, outcomes = page.PAGE.read_text("utf-8"), results.read()
    assert len(CELLS) == len(SHAPES) * len(FAULTS) * len(MOMENTS) == len({cell.name for cell in CELLS})
    for words, shape in ((words, shape) for shape, words in SHAPES.items()):
        section = text.partition(f"## {words[0].upper()}{words[1:]}\n")[2].partition("\n## ")[0]
        for cell in (cell for cell in CELLS if cell.shape == shape):
            if why := omitted(cell):
                assert f"{cell.fault} at {cell.moment}" in section, cell
                assert why[1:] in section
            else:
                row = next(
                    line for line in section.splitlines() if line.startswith(f"| {cell.fault} | {cell.moment} |")
                )
                assert ("not tried yet" in row) == (cell.name not in outcomes)


def test_results_are_of_cells_that_can_be_and_tell_whether_they_came_to_what_was_expected() -> None:
    cells = {cell.name: cell for cell in possible()}
    for name, outcome in results.read().items():
        if outcome.soak is not None:
            assert re.fullmatch(r"soak/(two|jobset)/\d+-faults/seed-\d+", name)
            continue
        wanted = expected(cells[name])
        if outcome.verdict == results.AS_EXPECTED:
            assert outcome.code in wanted.codes
            assert wanted.lost is None or outcome.steps_lost <= wanted.lost
        else:
            assert outcome.verdict.startswith("finding: ")


def test_here_every_fault_that_can_be_meets_every_moment() -> None:
    for shape in LOCAL:
        run = {cell.fault for cell in possible() if cell.shape == shape}
        for fault in run:
            assert [cell.moment for cell in possible() if (cell.shape, cell.fault) == (shape, fault)] == list(MOMENTS)
        for cell in (cell for cell in CELLS if cell.shape == shape and cell.fault not in run):
            assert omitted(cell).startswith("cannot be: ")


def test_in_a_cluster_every_fault_is_tried_at_step_and_six_at_start_and_save_too() -> None:
    assert len(NAMED) == 6
    for shape in CLUSTER:
        run = [(cell.fault, cell.moment) for cell in possible() if cell.shape == shape]
        odd = [fault for fault in FAULTS if (fault, "step") not in run]
        assert odd == ["clock jump"], "the only one that cannot be"
        assert sorted(one for one in run if one[1] != "step") == sorted(
            (f, m) for f in NAMED for m in ("start", "save")
        )


KILLED = Expected((137,), None)


@pytest.mark.parametrize(
    ("wanted", "seen", "words"),
    [
        (KILLED, {}, ""),
        (KILLED, {"restored": None}, ""),
        (KILLED, {"code": 0}, "exit code 0, expected 137"),
        (KILLED, {"restored": 9}, "resumed from step 9, though 10 was complete"),
        (Expected((137,)), {}, "3 steps lost, expected at most 0"),
        (KILLED, {"difference": "2 tensors"}, "2 tensors"),
    ],
)
def test_a_cell_has_to_end_resume_and_compute_as_expected(wanted: Expected, seen: dict[str, Any], words: str) -> None:
    told = odd(wanted, **{"code": 137, "lost": 3, "restored": 10, "durable": 10, "difference": "", **seen})
    assert told.startswith(words)
    assert bool(told) == bool(words)


def test_the_matrix_stays_within_its_limit() -> None:
    assert len(possible()) <= MOST_CELLS
    assert {cell.name for cell in possible()} >= set(QUICK)


@pytest.mark.parametrize(
    ("request_line", "body", "name"),
    [
        (
            "POST /upload/storage/v1/b/b/o?uploadType=multipart HTTP/1.1",
            b'--x\r\n\r\n{"name": "run/lease.json"}',
            "run/lease.json",
        ),
        ("POST /upload/storage/v1/b/b/o?uploadType=media&name=run%2Flease.json HTTP/1.1", b"{}", "run/lease.json"),
        ("GET /storage/v1/b/b/o/run%2Flease.json HTTP/1.1", b"", ""),
    ],
)
def test_the_gate_knows_what_is_uploaded(request_line: str, body: bytes, name: str) -> None:
    assert uploaded(request_line, body) == name


@pytest.mark.parametrize("dropped", [False, True])
def test_the_gate_holds_the_first_upload_that_is_wanted_and_no_other(dropped: bool) -> None:
    gate = Gate(lambda name: name == "a")

    def upload(name: str) -> None:
        asyncio.run(gate(f"POST /upload/storage/v1/b/b/o?name={name} HTTP/1.1", b""))

    upload("b")
    assert not gate.reached.is_set()
    ends: list[str] = []

    def held() -> None:
        try:
            upload("a")
            ends.append("stored")
        except ConnectionError:
            ends.append("dropped")

    thread = threading.Thread(target=held)
    thread.start()
    assert gate.reached.wait(5)
    upload("a")  # the same once more, as a client that has lost patience sends it
    assert ends == []
    gate.open(dropped)
    thread.join(5)
    assert ends == ["dropped" if dropped else "stored"]
