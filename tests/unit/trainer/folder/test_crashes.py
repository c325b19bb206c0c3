"""Which attempts in a row count, and when a run is given up."""

import dataclasses
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.exits import Exit
from trainer.folder.crashes import (
    MOST,
    SOON_SECONDS,
    Begun,
    End,
    Reached,
    Row,
    end_of,
    in_words,
    row_before,
    seconds_to_wait,
)
from trainer.folder.files import RunState

HERE, ELSEWHERE = "machine 1", "machine 2"
KILLED = "it ended without a word: killed, perhaps for its memory"
BEGUN = Begun("uid", 4, "writer", HERE, 1000.0, Reached(20))


def failed(code: int, reason: str = "", **more: object) -> RunState:
    return dataclasses.replace(RunState("failed", reason, code, writer="writer"), **more)  # type: ignore[arg-type]


def running(**more: object) -> RunState:
    return dataclasses.replace(RunState("running", writer="writer"), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("told", "machine", "end"),
    [
        (failed(70), ELSEWHERE, End.FAILED),
        (failed(74), ELSEWHERE, End.FAILED),
        (failed(70, rank=1), ELSEWHERE, End.FAILED),
        (running(), HERE, End.FAILED),  # killed: its machine is still there
        (running(), ELSEWHERE, End.VANISHED),
        (running(), "", End.VANISHED),
        (None, HERE, End.FAILED),  # killed before it could say anything
        (None, ELSEWHERE, End.VANISHED),
        (failed(75, lost=(1,)), ELSEWHERE, End.FAILED),  # a peer was killed
        (failed(75, lost=(1,), lost_silent=True), HERE, End.VANISHED),  # a peer's machine may be gone
        (failed(75), HERE, End.VANISHED),  # a peer was started again alone, for whatever reason
        (running(lost=(0,)), ELSEWHERE, End.FAILED),  # rank 0 was killed, as rank 1 tells
        (running(lost=(0,), lost_silent=True), ELSEWHERE, End.VANISHED),
        (running(lost=(1,), lost_silent=True), HERE, End.VANISHED),  # rank 0 was stopped since rank 1 had gone
        (failed(69), HERE, End.DISRUPTED),  # its workers met before, so one has no node now
        (RunState("preempted", exit_code=143, writer="writer"), HERE, End.DISRUPTED),
        (RunState("preempted", exit_code=143, writer="writer", lost=(1,)), HERE, End.FAILED),  # stopped after a crash
        (RunState("preempted", exit_code=143, writer="writer", lost=(1,), lost_silent=True), HERE, End.DISRUPTED),
        (RunState("cancelled", exit_code=130, writer="writer"), HERE, End.MEANT),
        (RunState("succeeded", exit_code=0, writer="writer"), HERE, End.MEANT),
    ],
)
def test_how_an_attempt_ended_as_the_folder_tells(told: RunState | None, machine: str, end: End) -> None:
    assert end_of(BEGUN, told, machine) is end


@pytest.mark.parametrize("told", [None, running(), failed(75, lost=(1,)), failed(74), failed(76)])
def test_an_attempt_that_was_asked_to_stop_is_not_to_blame_whatever_became_of_it(told: RunState | None) -> None:
    assert end_of(dataclasses.replace(BEGUN, stopping="2026-11-26T10:00:00+00:00"), told, HERE) is End.DISRUPTED


def test_workers_that_have_never_met_count() -> None:
    assert end_of(dataclasses.replace(BEGUN, reached=Reached()), failed(69), ELSEWHERE) is End.FAILED


@pytest.mark.parametrize("now", [Reached(21), Reached(20, best=10), Reached(20, features=1), Reached(0, best=10)])
def test_whatever_is_durable_and_newer_is_progress(now: Reached) -> None:
    assert row_before(BEGUN, failed(70), "uid", now, HERE) == Row()


def test_of_a_rank_that_was_killed_the_others_tell() -> None:
    row = row_before(BEGUN, running(lost=(0,)), "uid", Reached(20), ELSEWHERE)
    assert row == Row(1, True, None, "rank 0 ended without a word: killed, perhaps for its memory")


def test_an_older_checkpoint_is_none() -> None:
    assert row_before(BEGUN, failed(70), "uid", Reached(10), HERE).count == 1


@pytest.mark.parametrize("uid", ["", "another"])
def test_an_attempt_that_a_person_starts_begins_a_new_row(uid: str) -> None:
    begun = dataclasses.replace(BEGUN, row=Row(3, True, 70, "first"))
    assert row_before(begun, failed(79), uid, Reached(20), HERE) == Row()


def test_without_a_record_there_is_no_row() -> None:
    assert row_before(None, failed(70), "uid", Reached(), HERE) == Row()


def test_what_another_attempt_told_is_not_taken_for_this_ones() -> None:
    row = row_before(BEGUN, dataclasses.replace(failed(70, "of another"), writer="other"), "uid", Reached(20), HERE)
    assert row == Row(1, True, None, KILLED)


def test_a_run_that_was_given_up_stays_so_until_a_person_starts_it() -> None:
    row = Row(3, True, 70, "first")
    begun = dataclasses.replace(BEGUN, row=row)
    assert row_before(begun, failed(79, "no progress"), "uid", Reached(20), ELSEWHERE) == row


@dataclass(frozen=True)
class Happened:
    """One attempt: what state.json said of it, and what it left."""

    kind: str
    progress: bool


HAPPENED = st.builds(
    Happened,
    st.sampled_from(["told", "killed", "vanished", "vanished", "asked", "preempted", "cancelled"]),
    st.sampled_from([False, False, False, True]),
)


@given(st.lists(HAPPENED, max_size=12))
def test_a_run_is_given_up_at_the_third_in_a_row_that_counts_of_which_one_crashed(every: list[Happened]) -> None:
    reached, row = Reached(), Row()
    counted: list[int] = []  # which attempts of the present row count
    for number, one in enumerate(every):
        begun = Begun("uid", number, f"w{number}", f"m{number}", 0.0, reached, row)
        told = {
            "told": RunState("failed", f"reason {number}", 70, writer=begun.writer),
            "preempted": RunState("preempted", writer=begun.writer),
            "cancelled": RunState("cancelled", writer=begun.writer),
        }.get(one.kind, RunState("running", writer=begun.writer))
        if one.kind == "asked":
            begun = dataclasses.replace(begun, stopping="now")
        machine = begun.machine if one.kind == "killed" else f"m{number + 1}"
        reached = Reached(reached.checkpoint + one.progress)
        row = row_before(begun, told, "uid", reached, machine)

        if one.progress or one.kind == "cancelled":
            counted = []
        elif one.kind in ("told", "killed", "vanished"):
            counted.append(number)
        kinds = [every[index].kind for index in counted]
        crashed = any(kind in ("told", "killed") for kind in kinds)
        assert row.count == len(counted)
        assert row.is_over == (len(counted) >= MOST and crashed)
        if counted:
            first = {"told": (70, f"reason {counted[0]}"), "killed": (None, KILLED)}
            assert (row.exit_code, row.reason) == first.get(kinds[0], (None, f"{KILLED}, or its machine was lost"))
        if row.is_over:
            return


@given(st.lists(st.sampled_from(["vanished", "asked", "preempted"])))
def test_machines_that_go_and_disruptions_alone_never_end_a_run(kinds: list[str]) -> None:
    row = Row()
    for number, kind in enumerate(kinds):
        stopping = "now" if kind == "asked" else ""
        begun = Begun("uid", number, f"w{number}", f"m{number}", 0.0, Reached(5), row, stopping)
        state = RunState("preempted" if kind == "preempted" else "running", writer=begun.writer)
        row = row_before(begun, state, "uid", Reached(5), f"m{number + 1}")
        assert not row.is_over


@given(st.floats(0, 1e6), st.floats(-1e6, 1e6))
def test_a_wait_is_bounded_whatever_the_clocks_say(began: float, later: float) -> None:
    begun = dataclasses.replace(BEGUN, began=began)
    assert 0 <= seconds_to_wait(begun, Row(1), began + later) <= SOON_SECONDS
    assert seconds_to_wait(begun, Row(), began + later) == 0


def test_what_came_to_nothing_at_once_is_waited_for_and_what_took_long_is_not() -> None:
    assert seconds_to_wait(BEGUN, Row(1), 1010.0) == SOON_SECONDS - 10
    assert seconds_to_wait(BEGUN, Row(1), 1000.0 + SOON_SECONDS) == 0
    assert seconds_to_wait(None, Row(1), 1000.0) == 0


def test_the_line_names_the_first_cause() -> None:
    told = in_words(Row(3, True, int(Exit.BUG), "ValueError: no"), Reached(40))
    assert told.startswith("3 attempts in a row have ended without a newer checkpoint than that of step 40")
    assert told.endswith("exit code 70: ValueError: no")
    assert in_words(Row(3, True, None, KILLED), Reached()).endswith(
        f"without any checkpoint; the first of them: {KILLED}"
    )
