"""Real local storage, real processes."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.contract import LEASE
from trainer.exits import Exit, ExitError
from trainer.folder.lease import STALE_SECONDS, Holder, acquire, holds, myself, release, renew, taken_over
from trainer.storage.base import Storage
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


def refused(storage: Storage, me: Holder, wait: Callable[[float], object] | None = None) -> str:
    """The message; `wait` is not called where it is not given."""
    with pytest.raises(ExitError) as caught:
        acquire(storage, me, wait or pytest.fail)
    assert caught.value.code == Exit.RUN_REFUSED
    return caught.value.message


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


def test_another_machines_holder_that_does_not_is_taken_over_from(storage: Storage) -> None:
    acquire(storage, elsewhere(renewed=time.time() - 60))
    waits = Waits()
    me = myself({})
    acquire(storage, me, waits)
    assert held_by(storage) == me.uid
    assert waits.seconds <= STALE_SECONDS


def test_a_clock_that_is_ahead_does_not_hold_a_folder_for_ever(storage: Storage) -> None:
    acquire(storage, elsewhere(renewed=time.time() + 86_400))
    waits = Waits()
    acquire(storage, myself({}), waits)
    assert waits.seconds == STALE_SECONDS


def test_another_machines_holder_that_lets_go_is_followed(storage: Storage) -> None:
    lease = acquire(storage, elsewhere())
    waits = Waits(lambda: release(storage, lease), after=10)
    acquire(storage, myself({}), waits)
    assert waits.seconds == 10


def test_a_silent_holder_on_another_machine_is_taken_over_from_at_once(storage: Storage) -> None:
    acquire(storage, elsewhere(renewed=time.time() - STALE_SECONDS - 1))
    acquire(storage, myself({}), pytest.fail)


def test_a_later_attempt_at_the_same_run_takes_over(storage: Storage) -> None:
    acquire(storage, elsewhere(run_uid="run-1", attempt=1))
    me = myself({"CATDOG_RUN_UID": "run-1", "CATDOG_ATTEMPT": "2"})
    assert (me.run_uid, me.attempt) == ("run-1", 2)
    acquire(storage, me)
    assert held_by(storage) == me.uid


def test_an_older_attempt_is_refused_at_once(storage: Storage) -> None:
    acquire(storage, elsewhere(run_uid="run-1", attempt=1))
    refused(storage, myself({"CATDOG_RUN_UID": "run-1", "CATDOG_ATTEMPT": "0"}))


@pytest.mark.parametrize(("run_uid", "attempt"), [("run-1", "1"), ("run-2", "9"), ("", "9")])
def test_the_same_attempt_or_another_run_has_to_wait(storage: Storage, run_uid: str, attempt: str) -> None:
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


def test_renewing_after_a_takeover_fails_and_changes_nothing(storage: Storage) -> None:
    theirs = acquire(storage, elsewhere(renewed=0))
    me = myself({})
    mine = acquire(storage, me)
    with pytest.raises(ExitError, match="another attempt has taken over this run folder") as caught:
        renew(storage, theirs)
    assert caught.value.code == Exit.RUN_REFUSED
    assert held_by(storage) == me.uid
    renew(storage, mine)


def test_renewing_after_the_lease_was_deleted_fails(storage: Storage) -> None:
    lease = acquire(storage, myself({}))
    storage.delete(LEASE)
    with pytest.raises(ExitError, match="taken over this run folder"):
        renew(storage, lease)


def test_whether_a_lease_still_holds(storage: Storage) -> None:
    theirs = acquire(storage, elsewhere(renewed=0))
    assert holds(storage, theirs)
    renewed = renew(storage, theirs)
    assert not holds(storage, theirs)
    assert holds(storage, renewed)
    storage.delete(LEASE)
    assert not holds(storage, renewed)
    assert taken_over(storage).code == Exit.RUN_REFUSED


def test_letting_go_after_a_takeover_leaves_the_new_holder(storage: Storage) -> None:
    theirs = acquire(storage, elsewhere(renewed=0))
    me = myself({})
    acquire(storage, me)
    release(storage, theirs)
    assert held_by(storage) == me.uid


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"uid": "x"}'])
def test_a_damaged_lease_holds_nothing(storage: Storage, content: bytes) -> None:
    storage.write(LEASE, content)
    acquire(storage, myself({}))


@pytest.mark.parametrize("left", ["nothing", "dead"])
def test_of_two_that_race_exactly_one_wins(storage: Storage, left: str) -> None:
    if left == "dead":
        acquire(storage, elsewhere(renewed=0))
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
