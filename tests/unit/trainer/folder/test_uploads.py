import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from trainer.exits import Exit, ExitError
from trainer.folder import uploads
from trainer.folder.uploads import Uploads
from trainer.storage.errors import StorageDenied, StorageFailed

KINDS = ("best", "checkpoint", "metrics")
LIMIT = 20.0


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "RETRY_SECONDS", 0.05)


class Gate:
    """A job that begins, and ends when it is let go."""

    def __init__(self) -> None:
        self.begun, self.let_go = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.begun.set()
        assert self.let_go.wait(LIMIT)


def failing(times: int, done: list[str], name: str = "done") -> Callable[[], None]:
    """Fails so many times, then works."""
    left = [times]

    def job() -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise StorageFailed("gs://bucket/run: away")
        done.append(name)

    return job


def make(patience: float = 600.0) -> Uploads:
    return Uploads(KINDS, patience, lambda: "the last durable checkpoint is step 7")


def busy(made: Uploads) -> Gate:
    """Keeps the thread busy, so that what is submitted next waits."""
    gate = Gate()
    made.submit("metrics", gate)
    assert gate.begun.wait(LIMIT)
    return gate


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def check_raises(made: Uploads, kind: type[BaseException]) -> BaseException:
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        try:
            made.check()
        except kind as error:
            return error
        time.sleep(0.005)
    raise AssertionError(f"no {kind.__name__} was raised")


def test_jobs_run_in_the_background() -> None:
    made, done = make(), threading.Event()
    made.submit("best", done.set)
    assert done.wait(LIMIT)
    made.check()
    made.close()


def test_of_one_kind_only_the_newest_that_waits_is_run() -> None:
    made, done = make(), []
    gate = busy(made)
    for number in range(5):
        made.submit("checkpoint", lambda number=number: done.append(number))
    gate.let_go.set()
    made.close()
    assert done == [4]


def test_a_job_that_has_begun_is_not_replaced() -> None:
    made, done = make(), []
    gate = busy(made)
    made.submit("metrics", lambda: done.append("second"))
    gate.let_go.set()
    made.close()
    assert done == ["second"]


def test_kinds_go_in_their_order_whatever_was_submitted_first() -> None:
    made, done = make(), []
    gate = busy(made)
    for kind in ("metrics", "checkpoint", "best"):
        made.submit(kind, lambda kind=kind: done.append(kind))
    gate.let_go.set()
    made.close()
    assert done == ["best", "checkpoint", "metrics"]


def test_a_failure_is_tried_again_and_forgotten_when_it_works(caplog: pytest.LogCaptureFixture) -> None:
    made, done = make(), []
    made.submit("checkpoint", failing(2, done))
    eventually(lambda: done == ["done"])
    made.check()
    made.close()
    assert "writing checkpoint failed, trying again: gs://bucket/run: away; the last durable" in caplog.text


def test_a_newer_job_takes_the_place_of_one_that_failed() -> None:
    made, done, tried = make(), [], threading.Event()

    def old() -> None:
        tried.set()
        raise StorageFailed("away")

    made.submit("checkpoint", old)
    assert tried.wait(LIMIT)
    made.submit("checkpoint", lambda: done.append("new"))
    eventually(lambda: done == ["new"])
    made.close()
    assert done == ["new"]


def test_patience_ends_with_74_naming_what_is_durable() -> None:
    made = make(patience=0.3)
    began = time.monotonic()
    made.submit("checkpoint", failing(10**6, []))
    error = check_raises(made, ExitError)
    assert time.monotonic() - began >= 0.3
    assert isinstance(error, ExitError)
    assert error.code == Exit.STORAGE_FAILED
    assert error.message == "gs://bucket/run: away; the last durable checkpoint is step 7"


def test_patience_starts_anew_after_a_success() -> None:
    made, done = make(patience=0.4), []
    for number in range(6):
        made.submit("checkpoint", failing(2, done, str(number)))  # each is away for 0.1 s, all together longer
        eventually(lambda number=number: str(number) in done)
        made.check()
    made.close()


def test_a_refusal_is_final_at_once() -> None:
    made = make()

    def denied() -> None:
        raise StorageDenied("gs://bucket: role missing")

    made.submit("best", denied)
    error = check_raises(made, ExitError)
    assert isinstance(error, ExitError)
    assert error.code == Exit.NO_PERMISSION
    assert error.message == "gs://bucket: role missing; the last durable checkpoint is step 7"
    with pytest.raises(ExitError, match="role missing"):
        made.close()


def test_a_bug_in_a_job_surfaces_as_it_is() -> None:
    made = make()
    made.submit("best", lambda: [][0])
    check_raises(made, IndexError)
    with pytest.raises(IndexError):
        made.close()


def test_close_waits_for_all_that_waits() -> None:
    made, done = make(), []
    gate = busy(made)
    made.submit("best", lambda: done.append("best"))
    made.submit("checkpoint", lambda: done.append("checkpoint"))
    threading.Timer(0.1, gate.let_go.set).start()
    made.close()
    assert done == ["best", "checkpoint"]


def test_close_tries_once_more_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "RETRY_SECONDS", 60.0)
    made, done, tried = make(), [], threading.Event()
    retried = failing(1, done)

    def job() -> None:
        tried.set()
        retried()

    made.submit("checkpoint", job)
    assert tried.wait(LIMIT)
    began = time.monotonic()
    made.close()
    assert done == ["done"]
    assert time.monotonic() - began < 30


def test_close_waits_for_storage_as_long_as_training_would() -> None:
    made, done = make(), []
    made.submit("checkpoint", failing(6, done))
    made.close()
    assert done == ["done"]


def test_one_kind_that_works_does_not_hide_that_another_fails() -> None:
    made, done = make(patience=0.4), []
    made.submit("checkpoint", failing(10**6, []))
    with suppress(ExitError):
        for _ in range(100):
            made.submit("best", lambda: done.append("best"))
            time.sleep(0.05)
            made.check()
    assert 0 < len(done) < 100
    with pytest.raises(ExitError, match="away"):
        made.close()


def test_close_raises_74_naming_what_is_durable() -> None:
    made = make(patience=0.2)
    made.submit("checkpoint", failing(10**6, []))
    with pytest.raises(ExitError, match="away; the last durable checkpoint is step 7") as caught:
        made.close()
    assert caught.value.code == Exit.STORAGE_FAILED


def test_close_tries_every_kind_though_the_first_fails() -> None:
    made, done = make(patience=0.2), []
    gate = busy(made)
    made.submit("best", failing(10**6, []))
    made.submit("checkpoint", lambda: done.append("checkpoint"))
    threading.Timer(0.2, gate.let_go.set).start()
    with pytest.raises(ExitError, match="away"):
        made.close()
    assert done == ["checkpoint"]


def test_close_with_nothing_to_do_ends_the_thread() -> None:
    before = threading.active_count()
    made = make()
    made.close()
    assert threading.active_count() <= before
