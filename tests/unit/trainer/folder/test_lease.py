"""Real local storage, real processes."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from trainer.contract import LEASE
from trainer.exits import Exit, ExitError
from trainer.folder.lease import STALE_SECONDS, Holder, Lease, Lost, acquire, confirm, myself, release, renew
from trainer.storage.base import Stat, Storage
from trainer.storage.content import Content
from trainer.storage.errors import StorageFailed
from trainer.storage.opening import open_storage

REPOSITORY = Path(__file__).parents[4]
LIMIT = 30.0

HOLD = """
import sys, time
from trainer.folder.lease import acquire, myself
from trainer.storage.opening import open_storage
acquire(open_storage(sys.argv[1]), myself({}))
print("held", flush=True)
if sys.argv[2] == "live":
    time.sleep(60)
"""

RACE = """
import sys, time
from trainer.exits import ExitError
from trainer.folder.lease import acquire, myself
from trainer.storage.opening import open_storage
storage = open_storage(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    acquire(storage, myself({}))
except ExitError as error:
    print(int(error.code), flush=True)
else:
    print("won", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path / "run"))


def start(code: str, *arguments: str) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=REPOSITORY, stdin=pipe, stdout=pipe, text=True
    )


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def elsewhere(**changes: object) -> Holder:
    """A holder on another machine, whose process cannot be looked at."""
    facts: dict[str, object] = {"host": "node-7", "boot": "another boot", "pid": 1, "uid": "theirs"}
    return dataclasses.replace(myself({}), **{**facts, **changes})


def held_by(storage: Storage) -> str:
    return str(json.loads(storage.read(LEASE))["uid"])


class Waits:
    """Counts the seconds that are waited, instead of waiting; then what `event` does happens."""

    def __init__(self, event: Callable[[], object] = lambda: None, after: float = 0) -> None:
        self.seconds = 0.0
        self._event, self._after = event, after

    def __call__(self, seconds: float) -> None:
        before, self.seconds = self.seconds, self.seconds + seconds
        if before < self._after <= self.seconds:
            self._event()


def refused(
    storage: Storage, me: Holder, wait: Callable[[float], object] | None = None, code: Exit = Exit.RUN_REFUSED
) -> str:
    """The message; `wait` is not called where it is not given."""
    with pytest.raises(ExitError) as caught:
        acquire(storage, me, wait=wait or pytest.fail)
    assert caught.value.code == code
    return caught.value.message


def taken_from(storage: Storage, lease: Lease, code: Exit = Exit.RUN_REFUSED) -> str:
    """The message that the lease is lost, which renewing and confirming agree about."""
    with pytest.raises(Lost) as caught:
        renew(storage, lease)
    with pytest.raises(Lost) as confirmed:
        confirm(storage, lease)
    assert (caught.value.code, confirmed.value.code) == (code, code)
    assert caught.value.message == confirmed.value.message
    return caught.value.message


def takes_over(storage: Storage, me: Holder | None = None) -> Lease:
    """Another attempt takes the folder, after what it takes for silence."""
    return acquire(storage, me or myself({}), wait=lambda _: None)


class Late(Storage):
    """Gives up each write of lease.json for lost, and stores it when it is asked to."""

    def __init__(self, storage: Storage) -> None:
        self._storage, self._late = storage, list[tuple[bytes, str]]()

    def write(self, name: str, data: Content, *, if_generation: str | None = None) -> Stat:
        assert isinstance(data, bytes)
        assert if_generation is not None
        self._late.append((data, if_generation))
        raise StorageFailed("gs://bucket/run/lease.json: write gave up")

    def arrive(self) -> None:
        for data, generation in self._late:
            with suppress(StorageFailed):
                self._storage.write(LEASE, data, if_generation=generation)


def with_late_renewals(storage: Storage, lease: Lease, times: int = 3) -> Late:
    """As many renewals as an outage of minutes sees, none of which has arrived yet."""
    late = Late(storage)
    for _ in range(times):
        with pytest.raises(StorageFailed):
            renew(late, lease)
    return late


def test_a_free_folder_is_taken_and_let_go(storage: Storage) -> None:
    me = myself({})
    lease = acquire(storage, me)
    assert held_by(storage) == me.uid
    release(storage, lease)
    assert storage.stat(LEASE) is None
    acquire(storage, myself({}))


def test_a_live_process_keeps_its_folder(storage: Storage) -> None:
    with start(HOLD, storage.uri, "live") as other:
        try:
            assert line(other) == "held"
            message = refused(storage, myself({}))
            assert f"held by a live run (process {other.pid} on " in message
            assert message.startswith(storage.uri)
        finally:
            other.kill()


def test_a_dead_process_is_taken_over_from_at_once(storage: Storage) -> None:
    with start(HOLD, storage.uri, "dead") as other:
        assert line(other) == "held"
        assert other.wait(LIMIT) == 0
    me = myself({})
    acquire(storage, me)
    assert held_by(storage) == me.uid


def test_a_killed_process_that_nobody_has_waited_for_is_dead(storage: Storage) -> None:
    with start(HOLD, storage.uri, "live") as other:
        assert line(other) == "held"
        other.kill()
        deadline = time.monotonic() + LIMIT
        while Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        acquire(storage, myself({}))


def test_a_reused_process_number_is_told_apart(storage: Storage) -> None:
    acquire(storage, dataclasses.replace(myself({}), started="1"))  # this pid lives, but started at another time
    acquire(storage, myself({}))


def test_another_machines_holder_keeps_its_folder_when_it_renews(storage: Storage) -> None:
    lease = acquire(storage, elsewhere())
    waits = Waits(lambda: renew(storage, lease), after=30)
    assert "held by a live run (process 1 on node-7" in refused(storage, myself({}), waits)
    assert waits.seconds == 30


@pytest.mark.parametrize("clock", [0, -60, -STALE_SECONDS - 1, -86_400, 86_400])
def test_only_our_own_waiting_tells_that_another_machine_is_silent(storage: Storage, clock: float) -> None:
    """A clock that is 90 s behind does not lose a live lease, and one that is ahead does not hold it for ever."""
    acquire(storage, elsewhere(renewed=time.time() + clock))
    waits = Waits()
    me = myself({})
    acquire(storage, me, wait=waits)
    assert held_by(storage) == me.uid
    assert waits.seconds == STALE_SECONDS


def test_an_outage_does_not_make_a_holder_silent(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look takes five minutes, in which the holder could not reach storage either."""
    lease = acquire(storage, elsewhere())
    began = time.time()
    waits = Waits(lambda: renew(storage, lease), after=10)
    monkeypatch.setattr(time, "time", lambda: began + 60 * waits.seconds)
    monkeypatch.setattr(time, "monotonic", lambda: 60 * waits.seconds)
    refused(storage, myself({}), waits)
    assert waits.seconds == 10


def test_another_machines_holder_that_lets_go_is_followed(storage: Storage) -> None:
    lease = acquire(storage, elsewhere())
    waits = Waits(lambda: release(storage, lease), after=10)
    acquire(storage, myself({}), wait=waits)
    assert waits.seconds == 10


def test_each_taking_of_the_folder_has_a_higher_term(storage: Storage) -> None:
    first = acquire(storage, elsewhere())
    second = takes_over(storage)
    release(storage, second)
    third = acquire(storage, myself({}), second.holder.term)  # which state.json remembers
    assert [lease.holder.term for lease in (first, second, third)] == [1, 2, 3]
    assert json.loads(storage.read(LEASE))["term"] == 3


def test_a_later_attempt_at_the_same_run_takes_over(storage: Storage) -> None:
    acquire(storage, elsewhere(run_uid="run-1", attempt=1))
    me = myself({"CATDOG_RUN_UID": "run-1", "CATDOG_ATTEMPT": "2"})
    assert (me.run_uid, me.attempt) == ("run-1", 2)
    acquire(storage, me, wait=pytest.fail)
    assert held_by(storage) == me.uid


@pytest.mark.parametrize("attempt", ["0", "1"])
def test_a_count_that_began_anew_neither_refuses_nor_takes_over_at_once(storage: Storage, attempt: str) -> None:
    """Kueue resets the counts of a Job at a preemption: the holder was killed, and its successor counts from zero."""
    acquire(storage, elsewhere(run_uid="run-1", attempt=1))
    me, waits = myself({"CATDOG_RUN_UID": "run-1", "CATDOG_ATTEMPT": attempt}), Waits()
    acquire(storage, me, wait=waits)
    assert held_by(storage) == me.uid
    assert waits.seconds == STALE_SECONDS


def test_a_live_attempt_at_the_same_run_is_waited_for_and_then_tried_again_by_kubernetes(storage: Storage) -> None:
    held = [acquire(storage, elsewhere(run_uid="run-1", attempt=1))]
    waited = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        held.append(renew(storage, held[-1]))

    message = refused(storage, myself({"CATDOG_RUN_UID": "run-1"}), wait, Exit.PEER_LOST)
    assert "held by another attempt at this run (process 1 on node-7" in message
    assert STALE_SECONDS < sum(waited) <= 2 * STALE_SECONDS


def test_an_attempt_at_the_same_run_that_is_about_to_end_is_followed(storage: Storage) -> None:
    held = [acquire(storage, elsewhere(run_uid="run-1", attempt=1))]
    waited = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        held.append(renew(storage, held[-1]))
        if sum(waited) == 60:
            release(storage, held[-1])

    acquire(storage, myself({"CATDOG_RUN_UID": "run-1"}), wait=wait)
    assert sum(waited) == 60


@pytest.mark.parametrize(("run_uid", "attempt"), [("run-2", "9"), ("", "9")])
def test_another_run_has_to_wait(storage: Storage, run_uid: str, attempt: str) -> None:
    lease = acquire(storage, elsewhere(run_uid="run-1", attempt=1))
    waits = Waits(lambda: renew(storage, lease), after=30)
    refused(storage, myself({"CATDOG_RUN_UID": run_uid, "CATDOG_ATTEMPT": attempt}), waits)


def test_runs_without_a_uid_are_not_the_same_run(storage: Storage) -> None:
    lease = acquire(storage, elsewhere())
    refused(storage, myself({"CATDOG_ATTEMPT": "9"}), Waits(lambda: renew(storage, lease), after=30))


def test_renewing_keeps_the_folder(storage: Storage) -> None:
    lease = acquire(storage, elsewhere(renewed=time.time() - STALE_SECONDS + 1))
    renewed = renew(storage, renew(storage, lease))
    assert renewed.generation != lease.generation
    assert time.time() - renewed.holder.renewed < 10
    refused(storage, myself({}), Waits(lambda: renew(storage, renewed), after=5))


@pytest.mark.parametrize("times", [1, 3])
def test_a_renewal_that_was_given_up_and_arrives_later_is_ours(storage: Storage, times: int) -> None:
    lease = acquire(storage, elsewhere())
    late = with_late_renewals(storage, lease, times)
    late.arrive()
    assert confirm(storage, lease).generation != lease.generation
    renewed = renew(storage, lease)
    late.arrive()  # once more: it changes nothing
    assert confirm(storage, renewed) == renewed
    release(storage, renewed)
    assert storage.stat(LEASE) is None
    late.arrive()
    assert storage.stat(LEASE) is None


def test_a_lease_whose_late_renewal_has_arrived_is_let_go(storage: Storage) -> None:
    lease = acquire(storage, elsewhere())
    with_late_renewals(storage, lease).arrive()
    release(storage, lease)
    assert storage.stat(LEASE) is None


def test_a_renewal_that_arrives_after_a_takeover_changes_nothing(storage: Storage) -> None:
    lease = acquire(storage, elsewhere())
    late = with_late_renewals(storage, lease)
    mine = takes_over(storage)
    late.arrive()
    assert confirm(storage, mine) == mine
    taken_from(storage, lease)


def test_renewing_after_a_takeover_fails_and_changes_nothing(storage: Storage) -> None:
    theirs = acquire(storage, elsewhere())
    mine = takes_over(storage)
    message = taken_from(storage, theirs)
    assert f"another attempt has taken over this run folder: process {os.getpid()} on" in message
    assert held_by(storage) == mine.holder.uid
    renew(storage, mine)


def test_losing_the_folder_to_the_same_run_is_left_to_kubernetes(storage: Storage) -> None:
    theirs = acquire(storage, elsewhere(run_uid="run-1", attempt=0))
    acquire(storage, myself({"CATDOG_RUN_UID": "run-1", "CATDOG_ATTEMPT": "1"}))
    taken_from(storage, theirs, Exit.PEER_LOST)


def test_losing_the_folder_to_another_run_is_a_refusal(storage: Storage) -> None:
    theirs = acquire(storage, elsewhere(run_uid="run-1"))
    takes_over(storage, myself({"CATDOG_RUN_UID": "run-2"}))
    taken_from(storage, theirs)


@pytest.mark.parametrize(("run_uid", "code"), [("", Exit.RUN_REFUSED), ("run-1", Exit.PEER_LOST)])
def test_a_lease_that_is_gone_is_lost(storage: Storage, run_uid: str, code: Exit) -> None:
    lease = acquire(storage, dataclasses.replace(myself({}), run_uid=run_uid))
    storage.delete(LEASE)
    assert "lease.json is gone: the run folder was moved or deleted" in taken_from(storage, lease, code)


def test_letting_go_after_a_takeover_leaves_the_new_holder(storage: Storage) -> None:
    theirs = acquire(storage, elsewhere())
    mine = takes_over(storage)
    release(storage, theirs)
    assert held_by(storage) == mine.holder.uid


UNREADABLE = [b"", b"{", b"[]", b"{}", b'{"uid": ""}', b'{"uid": 7}', b'{"uid": "x", "attempt": "two"}', b"\xff"]


@pytest.mark.parametrize("content", UNREADABLE)
def test_a_lease_that_cannot_be_read_is_a_live_run_until_it_was_silent(storage: Storage, content: bytes) -> None:
    storage.write(LEASE, content)
    waits = Waits(lambda: storage.write(LEASE, content), after=30)
    assert "a lease.json that this version of catdog cannot read" in refused(storage, myself({}), waits)
    silent = Waits()
    me = myself({})
    acquire(storage, me, wait=silent)
    assert silent.seconds == STALE_SECONDS
    assert held_by(storage) == me.uid


def test_a_lease_with_a_key_of_a_later_version_is_read(storage: Storage) -> None:
    theirs = acquire(storage, elsewhere())
    storage.write(LEASE, json.dumps({**json.loads(storage.read(LEASE)), "mood": {"good": True}}).encode())
    assert confirm(storage, theirs).holder == theirs.holder
    waits = Waits(lambda: renew(storage, theirs), after=30)
    assert "process 1 on node-7" in refused(storage, myself({}), waits)


def test_a_lease_of_before_there_were_terms_is_read(storage: Storage) -> None:
    theirs = acquire(storage, elsewhere())
    facts = json.loads(storage.read(LEASE))
    del facts["term"]
    storage.write(LEASE, json.dumps(facts).encode())
    assert takes_over(storage).holder.term == 1
    taken_from(storage, theirs)


def test_a_container_beside_ours_is_not_looked_for_among_our_processes(storage: Storage) -> None:
    """With the host's network two pods of a node have one name and one boot, but each its own process numbers."""
    boot, _, processes = myself({}).boot.partition(" ")
    assert boot
    assert processes.startswith("pid:[")
    beside = dataclasses.replace(myself({}), uid="theirs", pid=1, started="1", boot=f"{boot} pid:[1]")
    lease = acquire(storage, beside)
    refused(storage, myself({}), Waits(lambda: renew(storage, lease), after=10))


@pytest.mark.parametrize("left", ["nothing", "dead"])
def test_of_two_that_race_exactly_one_wins(storage: Storage, left: str) -> None:
    if left == "dead":
        acquire(storage, dataclasses.replace(myself({}), started="1"))
    with start(RACE, storage.uri) as one, start(RACE, storage.uri) as other:
        racers = (one, other)
        assert [line(racer) for racer in racers] == ["ready", "ready"]
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        results = sorted(line(racer) for racer in racers)
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.close()
    assert results == ["73", "won"]


def test_a_holder_is_this_process() -> None:
    me = myself({})
    assert (me.pid, me.run_uid, me.attempt) == (os.getpid(), "", 0)
    assert me.started.isdecimal()
    assert me.boot
    assert me.uid != myself({}).uid
