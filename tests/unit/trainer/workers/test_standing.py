import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.workers.standing import (
    PLANNED,
    SILENT_SECONDS,
    SLOW_TIMES,
    Beat,
    Farewell,
    Peer,
    fate,
    late,
    lost,
    read_beat,
    read_farewell,
    silent,
    slowest,
    told,
)

ALIVE = Peer(1, "worker-1:2222", Beat("training", 8, 6, 0.02))


def of(*peers: Peer) -> dict[int, Peer]:
    return {peer.rank: peer for peer in peers}


def test_a_worker_that_speaks_is_there() -> None:
    assert fate(dataclasses.replace(ALIVE, silent=SILENT_SECONDS - 1)) == ""
    assert lost(of(ALIVE)) == ()
    assert told(of(ALIVE)) == ""


def test_a_silent_worker_is_lost_and_what_it_did_last_is_told() -> None:
    quiet = dataclasses.replace(ALIVE, silent=SILENT_SECONDS)
    assert lost(of(quiet)) == (1,)
    assert told(of(quiet)) == "rank 1 (worker-1:2222) has been silent for 15 s, last training"


def test_a_worker_whose_connection_is_gone_is_lost_at_once() -> None:
    assert told(of(dataclasses.replace(ALIVE, closed=True))) == "rank 1 (worker-1:2222) went away while training"


def test_a_worker_that_says_why_it_ends_is_quoted() -> None:
    gone = dataclasses.replace(ALIVE, closed=True, farewell=Farewell(74, "gs://b/run: no answer"))
    assert lost(of(gone)) == (1,)
    assert told(of(gone)) == "rank 1 (worker-1:2222) ended with 74: gs://b/run: no answer"


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        (ALIVE, False),
        (dataclasses.replace(ALIVE, silent=SILENT_SECONDS), True),
        (dataclasses.replace(ALIVE, closed=True), False),  # a process has ended, and its machine still says so
        (dataclasses.replace(ALIVE, closed=True, farewell=Farewell(70, "a bug")), False),
        (dataclasses.replace(ALIVE, closed=True, farewell=Farewell(75, "rank 0 is silent", (0,))), True),
        (dataclasses.replace(ALIVE, closed=True, farewell=Farewell(143)), False),
    ],
)
def test_only_where_silence_is_all_that_is_known_a_machine_may_be_gone(peer: Peer, expected: bool) -> None:
    assert silent(of(peer, dataclasses.replace(ALIVE, rank=2))) is expected


@pytest.mark.parametrize("code", PLANNED)
def test_a_planned_end_is_no_loss(code: int) -> None:
    gone = dataclasses.replace(ALIVE, closed=True, silent=99, farewell=Farewell(code))
    assert lost(of(gone)) == ()
    assert told(of(gone)) == ""


def test_the_first_to_be_lost_is_named_and_not_those_who_lost_it() -> None:
    rank_0 = Peer(0, "worker-0:2222", closed=True, farewell=Farewell(75, "rank 2 is silent", (2,)))
    assert lost(of(rank_0)) == (2,)


times = st.floats(0.001, 10.0)


@given(st.lists(times, min_size=2, max_size=9))
def test_who_is_slow_takes_clearly_longer_than_most_others(seconds: list[float]) -> None:
    beats = {rank: Beat("training", 0, 0, one) for rank, one in enumerate(seconds)}
    found = slowest(beats)
    if found is None:
        return
    rank, ratio = found
    assert seconds[rank] == max(seconds)
    assert ratio >= SLOW_TIMES
    faster = [one for one in seconds if one * SLOW_TIMES <= seconds[rank]]
    assert len(faster) >= (len(seconds) - 1) / 2


def test_who_is_slow_is_found_among_two() -> None:
    assert slowest({0: Beat(own_seconds=0.1), 1: Beat(own_seconds=0.3)}) == (1, pytest.approx(3.0))


@pytest.mark.parametrize(
    "seconds",
    [(0.1, 0.1), (0.1, 0.14), (0.0001, 0.0009), (0.0, 0.5), (0.1,)],
    ids=["alike", "nearly", "too little to matter", "not known of all", "alone"],
)
def test_nobody_is_slow(seconds: tuple[float, ...]) -> None:
    assert slowest({rank: Beat(own_seconds=one) for rank, one in enumerate(seconds)}) is None


def test_those_who_have_begun_fewer_steps_are_waited_for() -> None:
    assert late({0: Beat(dispatched=8), 1: Beat(dispatched=7), 2: Beat(dispatched=8), 3: Beat(dispatched=2)}) == (1, 3)
    assert late({0: Beat(dispatched=8), 1: Beat(dispatched=8)}) == ()
    assert late({}) == ()


@given(st.builds(Beat, st.text(), st.integers(0), st.integers(0), st.floats(0, 1e9)))
def test_a_beat_is_read_as_it_was_told_with_whatever_else(beat: Beat) -> None:
    assert read_beat({**dataclasses.asdict(beat), "of a later version": {}}) == beat


@given(st.builds(Farewell, st.integers(0, 255), st.text(), st.lists(st.integers(0, 99)).map(tuple)))
def test_a_farewell_is_read_as_it_was_told_with_whatever_else(farewell: Farewell) -> None:
    assert read_farewell({**dataclasses.asdict(farewell), "of a later version": 1}) == farewell
