import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.contract import LEASE
from trainer.exits import Exit, ExitError
from trainer.folder import attempt as module
from trainer.folder import files
from trainer.folder import lease as leases
from trainer.folder.attempt import Attempt, write_termination_message
from trainer.folder.files import RunState
from trainer.folder.lease import Lease, Lost
from trainer.storage.base import Storage
from trainer.storage.opening import open_storage

REPOSITORY = Path(__file__).parents[4]
LIMIT = 20.0
RUNNING = RunState("running", step=3, total_steps=100)


@pytest.fixture(autouse=True)
def no_termination_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CATDOG_TERMINATION_LOG", str(tmp_path / "no-such-file"))


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path / "run"))


@pytest.fixture
def lease(storage: Storage) -> Lease:
    return leases.acquire(storage, leases.myself({}))


def state(storage: Storage) -> RunState:
    read = files.read_state(storage)
    assert read is not None
    return read


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def take_over(storage: Storage) -> None:
    """At once, as a lease is taken over: one that is gone for a moment is another case."""
    theirs = dataclasses.asdict(dataclasses.replace(leases.myself({}), term=9))
    storage.write(LEASE, json.dumps(theirs).encode())


def test_an_attempt_begins_running_and_ends_with_its_last_words(storage: Storage, lease: Lease) -> None:
    with Attempt(storage, 0, lease, RUNNING) as attempt:
        assert state(storage).state == "running"
        attempt.update(step=40, epoch=2)
        attempt.end(Exit.DONE, "")
    assert (state(storage).state, state(storage).exit_code, state(storage).step) == ("succeeded", 0, 40)
    assert storage.stat(LEASE) is None


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        (Exit.DONE, "succeeded"),
        (Exit.TERMINATED, "preempted"),
        (Exit.INTERRUPTED, "cancelled"),
        (Exit.BAD_DATA, "failed"),
        (Exit.DIVERGED, "failed"),
        (Exit.PEER_LOST, "failed"),
    ],
)
def test_how_each_code_is_called(storage: Storage, lease: Lease, code: Exit, ending: str) -> None:
    with Attempt(storage, 0, lease, RUNNING) as attempt:
        attempt.end(code, "why")
    assert (state(storage).state, state(storage).reason, state(storage).exit_code) == (ending, "why", int(code))


def test_a_known_failure_is_recorded_on_the_way_out(storage: Storage, lease: Lease) -> None:
    with pytest.raises(ExitError, match="too bad"), Attempt(storage, 0, lease, RUNNING):
        raise ExitError(Exit.DIVERGED, "too bad")
    assert (state(storage).state, state(storage).reason, state(storage).exit_code) == ("failed", "too bad", 80)
    assert storage.stat(LEASE) is None


def test_a_bug_is_recorded_in_one_line(storage: Storage, lease: Lease) -> None:
    with pytest.raises(KeyError), Attempt(storage, 0, lease, RUNNING):
        raise KeyError("x\ny")
    assert state(storage).exit_code == Exit.BUG
    assert state(storage).reason.startswith("KeyError: ")
    assert "\n" not in state(storage).reason


def test_the_heartbeat_renews_state_and_lease(storage: Storage, lease: Lease, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.05)
    with Attempt(storage, 0, lease, RUNNING) as attempt:
        attempt.update(step=50)
        eventually(lambda: state(storage).step == 50)
        eventually(lambda: json.loads(storage.read(LEASE))["renewed"] > lease.holder.renewed)
        attempt.check()
        attempt.confirm()
        attempt.end(Exit.DONE, "")
    last = storage.read("state.json")
    time.sleep(0.2)
    assert storage.read("state.json") == last  # no heartbeat after the end


def test_a_heartbeat_notices_that_another_attempt_has_taken_over(
    storage: Storage, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.05)

    def lost(attempt: Attempt) -> bool:
        try:
            attempt.check()
        except ExitError as error:
            return error.code == Exit.RUN_REFUSED
        return False

    def train() -> None:
        with Attempt(storage, 0, lease, RUNNING) as attempt:
            take_over(storage)
            files.write_state(storage, RunState("running", reason="theirs"))
            eventually(lambda: lost(attempt))
            attempt.check()

    with pytest.raises(ExitError, match="taken over this run folder"):
        train()
    assert state(storage).reason == "theirs"
    assert storage.stat(LEASE) is not None


def test_before_something_is_replaced_the_lease_is_looked_at(storage: Storage, lease: Lease) -> None:
    def train() -> None:
        with Attempt(storage, 0, lease, RUNNING) as attempt:
            attempt.confirm()
            take_over(storage)
            attempt.confirm()

    with pytest.raises(ExitError, match="taken over this run folder"):
        train()
    assert state(storage).state == "running"


def test_a_late_renewal_is_no_takeover(storage: Storage, lease: Lease, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client gave up, and storage stored it afterwards: with our uid, at a generation that we do not know."""
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.05)
    with Attempt(storage, 0, lease, RUNNING) as attempt:
        for step in range(50, 60):
            storage.write(LEASE, storage.read(LEASE))
            files.write_state(storage, RunState("running", step=1))
            attempt.confirm()
            attempt.update(step=step)
            eventually(lambda step=step: state(storage).step == step)
        attempt.end(Exit.DONE, "")
    assert state(storage).state == "succeeded"
    assert storage.stat(LEASE) is None


def test_a_moved_folder_is_not_finished(storage: Storage, lease: Lease, tmp_path: Path) -> None:
    with Attempt(storage, 0, lease, RUNNING) as attempt:
        (tmp_path / "run").rename(tmp_path / "moved")
        with pytest.raises(Lost, match="was moved or deleted"):
            attempt.confirm()
        attempt.end(Exit.RUN_REFUSED, "moved")
    assert not list(storage.list())


def test_a_folder_that_was_moved_before_the_last_words_is_not_finished(
    storage: Storage, lease: Lease, tmp_path: Path
) -> None:
    with Attempt(storage, 0, lease, RUNNING) as attempt:
        (tmp_path / "run").rename(tmp_path / "moved")
        with pytest.raises(Lost, match="was moved or deleted"):
            attempt.end(Exit.DONE, "")
    assert not list(storage.list())


def test_a_heartbeat_leaves_the_cause_that_a_peer_has_told(
    storage: Storage, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.05)
    with Attempt(storage, 0, lease, RUNNING) as attempt:
        with Attempt(storage, 2, None, RUNNING) as peer:
            peer.end(Exit.NO_ACCELERATOR, "no GPU here")
        before = json.loads(storage.read(LEASE))["renewed"]
        eventually(lambda: json.loads(storage.read(LEASE))["renewed"] > before + 0.2)
        assert (state(storage).state, state(storage).rank) == ("failed", 2)
        attempt.end(Exit.PEER_LOST, "a peer was lost")
    assert state(storage).reason == "no GPU here"


def test_a_rank_of_an_earlier_attempt_tells_nothing(storage: Storage) -> None:
    files.write_state(storage, dataclasses.replace(RUNNING, writer="a later attempt"))
    with Attempt(storage, 2, None, dataclasses.replace(RUNNING, writer="an earlier one")) as attempt:
        attempt.end(Exit.NO_ACCELERATOR, "no GPU here")
        assert not attempt.is_recorded()
    assert state(storage).state == "running"


def test_other_ranks_write_nothing_unless_they_fail(storage: Storage) -> None:
    with Attempt(storage, 1, None, RUNNING) as attempt:
        assert files.read_state(storage) is None
        attempt.end(Exit.DONE, "")
    assert files.read_state(storage) is None


@pytest.mark.parametrize("code", [Exit.PEER_LOST, Exit.TERMINATED])
def test_a_rank_that_is_not_to_blame_leaves_the_state_alone(storage: Storage, code: Exit) -> None:
    files.write_state(storage, RUNNING)
    with Attempt(storage, 1, None, RUNNING) as attempt:
        attempt.end(code, "a peer was lost")
    assert state(storage).state == "running"


def test_a_rank_that_is_to_blame_tells_why_and_keeps_where_the_run_was(storage: Storage) -> None:
    files.write_state(storage, RunState("running", step=77, restarts=2))
    with Attempt(storage, 2, None, RUNNING) as attempt:
        attempt.end(Exit.NO_ACCELERATOR, "no GPU here")
    told = state(storage)
    assert (told.state, told.reason, told.exit_code, told.rank) == ("failed", "no GPU here", 78, 2)
    assert (told.step, told.restarts) == (77, 2)


def test_rank_0_does_not_write_over_the_cause_that_another_rank_has_told(storage: Storage, lease: Lease) -> None:
    with Attempt(storage, 0, lease, RUNNING) as attempt:
        files.write_state(storage, RunState("failed", "no GPU here", 78, rank=2))
        attempt.end(Exit.PEER_LOST, "a peer was lost")
    assert (state(storage).reason, state(storage).rank) == ("no GPU here", 2)
    assert storage.stat(LEASE) is None


def test_the_termination_message_goes_where_kubernetes_reads_it(
    storage: Storage, lease: Lease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "termination-log"
    monkeypatch.setenv("CATDOG_TERMINATION_LOG", str(log))
    write_termination_message("nobody reads this")
    assert not log.exists()
    log.touch()
    with Attempt(storage, 0, lease, RUNNING) as attempt:
        attempt.end(Exit.BAD_DATA, "only one class")
    assert log.read_text().startswith("65 ")
    assert log.read_text().endswith(": only one class")
    write_termination_message("x" * 10_000)
    assert len(log.read_text()) == 4096


DIE = """
import sys, time
from trainer.folder.attempt import Attempt
from trainer.exits import Exit
from trainer.folder.files import RunState
from trainer.storage.opening import open_storage
with Attempt(open_storage(sys.argv[1]), 0, None, RunState("running")) as attempt:
    attempt.die(Exit.STALLED, "no step ended")
"""


def test_dying_ends_the_process_with_its_last_words(storage: Storage) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DIE, storage.uri], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == Exit.STALLED
    assert done.stderr == "catdog: no step ended\n"
    assert (state(storage).state, state(storage).reason, state(storage).exit_code) == ("failed", "no step ended", 76)


WAIT = """
import sys, threading
from trainer.folder import lease
from trainer.folder.attempt import Attempt
from trainer.exits import Exit
from trainer.folder.files import RunState, read_state
from trainer.storage.opening import open_storage
run = open_storage(sys.argv[1])
with Attempt(run, 0, lease.acquire(run, lease.myself({})), RunState("running")) as attempt:
    threading.Thread(target=attempt.die, args=(Exit.PEER_LOST, "a peer was lost", 60.0), daemon=True).start()
    while attempt._ended is None:
        pass
    attempt.give_up(Exit.TERMINATED)
"""


def test_a_signal_that_follows_from_a_loss_does_not_change_what_was_told(storage: Storage) -> None:
    """A JobSet's controller stops the survivors of a crash, of which the run would look preempted."""
    done = subprocess.run([sys.executable, "-c", WAIT, storage.uri], cwd=REPOSITORY, timeout=30)
    assert done.returncode == Exit.PEER_LOST
    assert (state(storage).state, state(storage).exit_code) == ("failed", 75)


def test_what_was_told_first_holds(storage: Storage, lease: Lease) -> None:
    with Attempt(storage, 0, lease, RUNNING) as attempt:
        attempt.end(Exit.DONE, "")
        attempt.end(Exit.TERMINATED, "stopped")
    assert state(storage).state == "succeeded"


@pytest.mark.parametrize("notices", [True, False])
def test_who_loses_a_peer_ends_what_waits_for_it_and_dies_only_if_nobody_notices(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, notices: bool
) -> None:
    monkeypatch.setattr(module, "NOTICED_WITHIN", 0.1)
    died: list[tuple[Exit, str, float]] = []
    with Attempt(storage, 1, None, RUNNING) as attempt:
        monkeypatch.setattr(attempt, "die", lambda *given: died.append(given))
        attempt.told = lambda: {"lost": (0,), "lost_since": "now"}
        aborted: list[str] = []

        def abort(words: str) -> None:
            aborted.append(words)
            if notices:
                attempt.end(Exit.PEER_LOST, words)

        attempt.lose("rank 0 went away", 45.0, abort)
        assert aborted == ["rank 0 went away"]
        assert died == ([] if notices else [(Exit.PEER_LOST, "a peer was lost: rank 0 went away", 45.0)])


def test_who_has_ended_already_ends_nothing_for_a_loss(storage: Storage) -> None:
    with Attempt(storage, 1, None, RUNNING) as attempt:
        attempt.end(Exit.DONE, "")
        attempt.told = lambda: {"lost": (0,), "lost_since": "now"}
        attempt.lose("rank 0 went away", 0.0, lambda words: pytest.fail(words))
