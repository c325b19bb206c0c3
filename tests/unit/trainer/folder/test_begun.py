"""What an attempt notes as it begins, and when it is refused, on a real folder."""

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.contract import ATTEMPT, BEST, FEATURES, MANIFEST
from trainer.exits import Exit, ExitError
from trainer.folder import files
from trainer.folder import lease as leases
from trainer.folder.begun import Noted, note, read_begun
from trainer.folder.crashes import SOON_SECONDS, Begun, Reached, Row
from trainer.folder.files import RunState
from trainer.folder.held import Held
from trainer.folder.lease import Lease
from trainer.storage.base import Storage
from trainer.storage.opening import open_storage

IN_CLUSTER = {"CATDOG_RUN_UID": "uid"}
LIMIT = 20.0


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path / "run"))


class Pauses(list[float]):
    """Stands for time that passes."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def attempt(
    storage: Storage, step: int | None = 0, pause: Callable[[float], None] | None = None, **environment: str
) -> tuple[Lease, Noted | None]:
    lease = leases.acquire(storage, leases.myself(environment or IN_CLUSTER))
    try:
        return lease, note(storage, lease, files.read_state(storage), step, lambda: False, pause or Pauses())
    except ExitError:
        leases.release(storage, lease)
        raise


def crash(storage: Storage, reason: str, step: int | None = 0) -> None:
    """One attempt that fails."""
    lease, _ = attempt(storage, step)
    told = RunState("failed", reason, 70, writer=lease.holder.uid, attempt=lease.holder.term, step=7)
    files.write_state(storage, told)
    leases.release(storage, lease)


def begun(storage: Storage) -> Begun:
    found = read_begun(storage)
    assert found is not None
    return found


def test_the_attempt_after_three_that_came_to_nothing_is_refused_with_the_first_cause(storage: Storage) -> None:
    for reason in ("first cause", "second", "third"):
        crash(storage, reason)
    for _ in range(2):  # if the cluster starts it again nevertheless
        with pytest.raises(ExitError, match=r"3 attempts in a row .*exit code 70: first cause") as refused:
            attempt(storage)
        assert refused.value.code == Exit.NO_PROGRESS
        state = files.read_state(storage)
        assert state is not None
        assert (state.state, state.exit_code, state.reason) == ("failed", 79, refused.value.message)
        assert (state.writer, state.step) == (begun(storage).writer, 7)


def test_a_newer_checkpoint_begins_a_new_row(storage: Storage) -> None:
    for step in (0, 0, 10, 10, 20, 20):
        crash(storage, "again", step)
    assert begun(storage).row.count == 1


def test_a_person_begins_a_new_row(storage: Storage) -> None:
    for _ in range(3):
        crash(storage, "again")
    with pytest.raises(ExitError):
        attempt(storage)
    attempt(storage, CATDOG_RUN_UID="of the resumed run")
    assert begun(storage).row == Row()


def test_outside_kubernetes_nothing_is_noted_and_nothing_refused(storage: Storage) -> None:
    for _ in range(5):
        lease, noted = attempt(storage, CATDOG_RUN_UID="")
        assert noted is None
        leases.release(storage, lease)
    assert storage.stat(ATTEMPT) is None


def test_one_that_came_to_nothing_at_once_is_followed_after_a_pause_with_the_lease_kept(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    crash(storage, "no memory")
    renewals = []

    def pause(seconds: float) -> None:
        stat = storage.stat(leases.LEASE)
        assert stat is not None
        renewals.append((seconds, stat.generation))

    with caplog.at_level("INFO"):
        attempt(storage, pause=pause)
    assert SOON_SECONDS - LIMIT < sum(seconds for seconds, _ in renewals) <= SOON_SECONDS
    assert len({generation for _, generation in renewals}) == len(renewals)
    assert "the attempt before came to nothing (1 in a row; the first: no memory)" in caplog.text


def test_an_attempt_that_got_somewhere_or_took_long_is_followed_at_once(storage: Storage) -> None:
    pauses = Pauses()
    crash(storage, "again")
    lease, _ = attempt(storage, 10, pauses)
    leases.release(storage, lease)
    old = dataclasses.replace(begun(storage), began=time.time() - SOON_SECONDS)
    files.write_json(storage, ATTEMPT, dataclasses.asdict(old))
    attempt(storage, 10, pauses)
    assert pauses == []


def test_a_signal_in_the_pause_ends_it_and_leaves_all_as_it_was(storage: Storage) -> None:
    crash(storage, "again")
    before = begun(storage), files.read_state(storage)

    def pause(seconds: float) -> None:
        raise ExitError(Exit.TERMINATED, "stopped")

    with pytest.raises(ExitError, match="stopped"):
        attempt(storage, pause=pause)
    assert (begun(storage), files.read_state(storage)) == before


def test_that_it_was_asked_to_stop_is_noted_at_once_and_spares_it(storage: Storage) -> None:
    for _ in range(3):
        lease, noted = attempt(storage)
        assert noted is not None
        noted.watch()
        assert not begun(storage).stopping
        noted.asked = lambda: True
        deadline = time.monotonic() + LIMIT
        while not begun(storage).stopping:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        leases.release(storage, lease)
    attempt(storage)
    assert begun(storage).row == Row()


def test_what_was_asked_of_an_attempt_that_lost_the_folder_is_not_noted_for_another(storage: Storage) -> None:
    lease, noted = attempt(storage)
    assert noted is not None
    leases.release(storage, lease)
    attempt(storage)
    noted.asked = lambda: True
    noted._watch()
    assert not begun(storage).stopping


def test_best_weights_and_features_are_progress_and_written_again_they_are_not(storage: Storage) -> None:
    crash(storage, "again")
    storage.write(f"{BEST}/{MANIFEST}", b'{"step": 5}')
    crash(storage, "again")
    storage.write(f"{FEATURES}/key/0.block", b"x")
    crash(storage, "again")
    assert begun(storage).row == Row()
    storage.write(f"{BEST}/{MANIFEST}", b'{"step": 4}')
    crash(storage, "again")
    storage.write(f"{BEST}/{MANIFEST}", b'{"step": 5}')
    crash(storage, "again")
    assert (begun(storage).row.count, begun(storage).reached) == (2, Reached(0, 5, 1))


def test_an_attempt_whose_checkpoints_cannot_be_read_has_come_no_further(storage: Storage) -> None:
    for step in (10, 10, None):
        crash(storage, "again", step)
    assert (begun(storage).row.count, begun(storage).reached.checkpoint) == (2, 10)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"reached": 3, "row": 4}', '{"began": "x"}'])
def test_a_record_that_cannot_be_read_is_none(storage: Storage, text: str) -> None:
    storage.write(ATTEMPT, text.encode())
    assert read_begun(storage) is None
    attempt(storage)
    assert begun(storage).row == Row()


def test_keys_of_a_later_version_are_ignored(storage: Storage) -> None:
    attempt(storage)
    values = json.loads(storage.read(ATTEMPT))
    later = {**values, "later": 1, "row": {**values["row"], "later": 1}, "reached": {**values["reached"], "later": 1}}
    storage.write(ATTEMPT, json.dumps(later).encode())
    assert begun(storage).row == Row()


def test_a_late_write_of_an_earlier_attempt_is_refused(storage: Storage) -> None:
    lease, _ = attempt(storage)
    old = Held(storage, lease)
    old.write(ATTEMPT, storage.read(ATTEMPT))
    leases.release(storage, lease)
    attempt(storage)
    with pytest.raises(ExitError):
        old.write(ATTEMPT, b"{}")
