"""Real sockets; each line has a thread of its own."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from trainer.exits import Exit, ExitError
from trainer.process.activity import Activity, Doing
from trainer.workers.line import FEWEST_STEPS, Line, telling_failures, told_of, waited_for
from trainer.workers.standing import SILENT_SECONDS, SILENT_WHILE_STARTING_SECONDS

LIMIT = 20.0
TICK = 0.02


class Losses:
    """What an `on_lost` was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.came = threading.Event()

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        self.came.set()


class Gang:
    """Rank 0 and others, connected as after a rendezvous."""

    def __init__(self, world: int, stack: ExitStack) -> None:
        self.activities = [Activity() for _ in range(world)]
        self.losses = [Losses() for _ in range(world)]
        pairs = {rank: socket.socketpair() for rank in range(1, world)}
        self.ends = {rank: theirs for rank, (_, theirs) in pairs.items()}
        mine = {rank: (f"worker-{rank}:2222", ours) for rank, (ours, _) in pairs.items()}
        self.lines = [Line(0, mine, self.activities[0], self.losses[0], TICK)]
        for rank, theirs in self.ends.items():
            made = Line(rank, {0: ("worker-0:2222", theirs)}, self.activities[rank], self.losses[rank], TICK)
            self.lines.append(made)
        for line in self.lines:
            stack.callback(line.end, Exit.DONE, "")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < deadline
        time.sleep(TICK / 2)


def test_rank_0_knows_what_each_does_and_they_what_rank_0_does(stack: ExitStack) -> None:
    gang = Gang(3, stack)
    for rank, now in enumerate(gang.activities):
        now.enter(Doing.TRAINING)
        now.dispatched = 10 + rank
        now.own_seconds.extend([0.1 * (rank + 1)] * FEWEST_STEPS)
    until(lambda: [beat.dispatched for beat in gang.lines[0].beats().values()] == [10, 11, 12])
    until(lambda: gang.lines[2].beats()[0].dispatched == 10)
    assert (gang.lines[0].seen, gang.lines[0].expected) == (3, 3)
    assert (gang.lines[1].seen, gang.lines[1].expected) == (2, 2)
    until(lambda: told_of(gang.lines[0])["slow"] == {"rank": 2, "times": 2.0})
    assert told_of(gang.lines[1])["slow"] is None
    assert waited_for(gang.lines[0]) == "; the others wait: rank 0 is training, rank 1 is training"


def test_a_worker_that_goes_away_is_told_at_once(stack: ExitStack) -> None:
    gang = Gang(3, stack)
    gang.activities[2].enter(Doing.VALIDATING)
    until(lambda: gang.lines[0].beats()[2].doing == Doing.VALIDATING)
    gang.ends[2].shutdown(socket.SHUT_RDWR)
    assert gang.losses[0].came.wait(LIMIT)
    assert gang.losses[0].lines == ["rank 2 (worker-2:2222) went away while validating"]
    told = told_of(gang.lines[0])
    assert (told["workers_seen"], told["lost"]) == (2, (2,))
    assert told["lost_since"]


def test_a_signal_that_reaches_one_is_known_to_rank_0_unless_it_only_follows_a_loss(stack: ExitStack) -> None:
    gang = Gang(3, stack)
    assert not gang.lines[0].is_asked_to_stop()
    gang.activities[2].is_asked_to_stop = lambda: True
    until(gang.lines[0].is_asked_to_stop)
    gang.ends[1].shutdown(socket.SHUT_RDWR)
    assert gang.losses[0].came.wait(LIMIT)
    assert not gang.lines[0].is_asked_to_stop()
    assert not told_of(gang.lines[0])["lost_silent"]


@pytest.mark.parametrize(
    ("doing", "seconds"),
    [
        (Doing.STARTING, SILENT_WHILE_STARTING_SECONDS),
        (Doing.JOINING, SILENT_WHILE_STARTING_SECONDS),
        (Doing.TRAINING, SILENT_SECONDS),
    ],
)
def test_a_worker_that_is_silent_is_lost_after_its_time(doing: Doing, seconds: int) -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(json.dumps({"beat": {"doing": doing}}).encode() + b"\n")
    losses = Losses()
    began = time.monotonic()
    line = Line(0, {1: ("worker-1:2222", ours)}, Activity(), losses, TICK)
    assert losses.came.wait(LIMIT)
    assert time.monotonic() - began >= (seconds - 1) * TICK
    assert losses.lines == [f"rank 1 (worker-1:2222) has been silent for {seconds} s, last {doing}"]
    assert line.seen == 1
    time.sleep(5 * TICK)
    assert len(losses.lines) == 1  # told once
    line.end(Exit.PEER_LOST, "")
    theirs.close()


def gathering(line: Line) -> "Future[None]":
    return started(line.gather)


def parting(line: Line, activity: Activity) -> "Future[None]":
    activity.enter(Doing.FINISHING)
    return started(line.part)


def started(wait: Callable[[], None]) -> "Future[None]":
    pool = ThreadPoolExecutor(1)
    made = pool.submit(wait)
    pool.shutdown(wait=False)
    return made


def test_all_leave_together_rank_0_by_its_last_word(stack: ExitStack) -> None:
    gang = Gang(3, stack)
    gang.activities[0].enter(Doing.FINISHING)
    waiting = [parting(gang.lines[1], gang.activities[1])]
    gang.activities[0].enter(Doing.EXPORTING)
    waiting.append(started(gang.lines[0].part))
    time.sleep(5 * TICK)
    assert not any(one.done() for one in waiting)
    waiting.append(parting(gang.lines[2], gang.activities[2]))
    waiting[1].result(LIMIT)
    time.sleep(5 * TICK)
    assert not waiting[0].done()
    gang.lines[0].end(Exit.DONE, "")
    for one in (waiting[0], waiting[2]):
        one.result(LIMIT)


@pytest.mark.parametrize("frozen", [0, 1])
def test_who_waits_at_the_end_for_a_worker_that_is_frozen_learns_its_name(frozen: int) -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(json.dumps({"beat": {"doing": Doing.EXPORTING}}).encode() + b"\n")
    activity = Activity()
    line = Line(1 - frozen, {frozen: (f"worker-{frozen}:2222", ours)}, activity, Losses(), TICK)
    with pytest.raises(ExitError, match=rf"rank {frozen} \(worker-{frozen}:2222\) has been silent") as caught:
        parting(line, activity).result(LIMIT)
    assert caught.value.code == Exit.PEER_LOST
    line.end(Exit.PEER_LOST, "")
    theirs.close()


def test_who_waits_at_the_end_for_a_worker_that_fails_is_told_of_it(stack: ExitStack) -> None:
    gang = Gang(2, stack)
    waiting = parting(gang.lines[1], gang.activities[1])
    gang.lines[0].end(Exit.STORAGE_FAILED, "gs://bucket/runs: away")
    with pytest.raises(ExitError, match="ended with 74: gs://bucket/runs: away"):
        waiting.result(LIMIT)


def test_one_alone_leaves_at_once() -> None:
    Line(0, {}, Activity(), Losses()).part()


def test_nobody_joins_before_the_last_has_come_so_far(stack: ExitStack) -> None:
    gang = Gang(3, stack)
    waiting = [gathering(gang.lines[rank]) for rank in (0, 1)]
    time.sleep(5 * TICK)
    assert not any(one.done() for one in waiting)
    assert gang.activities[0].doing == Doing.STARTING
    waiting.append(gathering(gang.lines[2]))
    for one in waiting:
        one.result(LIMIT)
    assert [now.doing for now in gang.activities] == [Doing.JOINING] * 3


@pytest.mark.parametrize("code", [Exit.TERMINATED, Exit.BAD_DATA])
def test_who_waits_for_a_worker_that_ends_instead_ends_with_75(stack: ExitStack, code: Exit) -> None:
    gang = Gang(3, stack)
    waiting = [gathering(gang.lines[rank]) for rank in (0, 1)]
    gang.lines[2].end(code, "why")
    with pytest.raises(ExitError, match=rf"a peer was lost: rank 2 \(worker-2:2222\) ended with {code}") as caught:
        waiting[0].result(LIMIT)
    assert caught.value.code == Exit.PEER_LOST
    gang.lines[0].end(Exit.PEER_LOST, "rank 2")
    with pytest.raises(ExitError, match="ended with 75"):
        waiting[1].result(LIMIT)


def test_one_alone_waits_for_nobody_to_join() -> None:
    Line(0, {}, Activity(), Losses(), TICK).gather()


def test_after_a_pause_of_its_own_a_worker_hears_first_what_was_said_meanwhile(stack: ExitStack) -> None:
    gang = Gang(2, stack)
    for now in gang.activities:
        now.enter(Doing.TRAINING)
    until(lambda: gang.lines[0].beats()[1].doing == Doing.TRAINING)
    with gang.lines[0]._sending:  # the thread of rank 0 stands still, as in a process that is stopped
        time.sleep(3 * SILENT_SECONDS * TICK)
    time.sleep(5 * TICK)
    assert not gang.losses[0].came.is_set()


def test_an_end_is_told_with_its_code_and_reason(stack: ExitStack) -> None:
    gang = Gang(2, stack)
    gang.lines[1].end(Exit.STORAGE_FAILED, "gs://b/run: no answer")
    assert gang.losses[0].came.wait(LIMIT)
    assert gang.losses[0].lines == ["rank 1 (worker-1:2222) ended with 74: gs://b/run: no answer"]


@pytest.mark.parametrize("code", [Exit.DONE, Exit.TERMINATED, Exit.INTERRUPTED])
def test_a_planned_end_is_no_loss(stack: ExitStack, code: Exit) -> None:
    gang = Gang(2, stack)
    gang.lines[1].end(code, "")
    until(lambda: gang.lines[0].peers[1].farewell is not None)
    time.sleep((SILENT_SECONDS + 5) * TICK)
    assert not gang.losses[0].came.is_set()


def test_those_who_end_because_of_a_loss_say_whom_they_lost(stack: ExitStack) -> None:
    gang = Gang(3, stack)
    gang.ends[2].shutdown(socket.SHUT_RDWR)
    assert gang.losses[0].came.wait(LIMIT)
    gang.lines[0].end(Exit.PEER_LOST, "rank 2 went away")
    assert gang.losses[1].came.wait(LIMIT)
    assert told_of(gang.lines[1])["lost"] == (2,)


def test_what_cannot_be_read_is_ignored(stack: ExitStack, caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = socket.socketpair()
    losses = Losses()
    line = Line(0, {1: ("worker-1:2222", ours)}, Activity(), losses, TICK)
    theirs.sendall(b'not json\n[]\n{"beat": 5}\n{"farewell": {}}\n{"of a later version": 1}\n{"beat": {"seen": 3}}\n')
    until(lambda: line.beats()[1].seen == 3)
    assert "said what cannot be read" in caplog.text
    assert not losses.came.is_set()
    line.end(Exit.DONE, "")
    theirs.close()


def test_a_failure_is_told_and_a_lost_peer_gets_its_name(stack: ExitStack) -> None:
    gang = Gang(2, stack)
    gang.ends[1].shutdown(socket.SHUT_RDWR)
    with pytest.raises(ExitError) as caught, telling_failures(gang.lines[0]):
        raise ExitError(Exit.PEER_LOST, "a peer was lost; its own log has the cause (UNAVAILABLE)")
    assert caught.value.message == "a peer was lost: rank 1 (worker-1:2222) went away while starting"
    other = Gang(2, stack)
    with pytest.raises(ValueError, match="oh"), telling_failures(other.lines[0]):
        raise ValueError("oh")
    assert other.losses[1].came.wait(LIMIT)
    assert other.losses[1].lines == ["rank 0 (worker-0:2222) ended with 70: ValueError: oh"]


def test_one_alone_has_no_thread_and_waits_for_nobody() -> None:
    before = set(threading.enumerate())  # some of which, of other tests, may end meanwhile
    line = Line(0, {}, Activity(), Losses(), TICK)
    assert set(threading.enumerate()) <= before
    assert (line.seen, line.expected) == (1, 1)
    began = time.monotonic()
    with pytest.raises(ExitError, match="its own log"), telling_failures(line):
        raise ExitError(Exit.PEER_LOST, "its own log")
    assert time.monotonic() - began < LIMIT / 2


def test_no_thread_or_socket_is_left() -> None:
    before = threading.active_count()
    with ExitStack() as stack:
        gang = Gang(3, stack)
    until(lambda: threading.active_count() <= before)
    assert all(end.fileno() == -1 for end in gang.ends.values())
