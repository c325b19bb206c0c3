import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from trainer.exits import Exit, ExitError
from trainer.process import quiet


def printed(text: str) -> None:
    os.write(2, text.encode())  # as a C library does


def fail(text: str, error: Exception) -> None:
    printed(text)
    raise error


def test_what_libraries_print_is_kept_from_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet.unless_it_fails():
        printed("a log line\n")
    assert capfd.readouterr().err == ""


def test_it_is_shown_with_a_bug(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="bug"), quiet.unless_it_fails():
        fail("the cause\n", ValueError("a bug"))
    assert capfd.readouterr().err == "the cause\n"


def test_it_is_not_shown_with_a_failure_that_has_its_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ExitError), quiet.unless_it_fails():
        fail("a log line\n", ExitError(Exit.INPUT_MISSING, "not a run folder"))
    assert capfd.readouterr().err == ""


def test_what_was_printed_is_told_by_the_call_that_did(capfd: pytest.CaptureFixture[str]) -> None:
    def call(number: int) -> int:
        time.sleep(0.005)  # others are under way
        if number % 4 == 0:
            printed(f"damage in {number}\n")
        return number

    with quiet.overheard() as listener, ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda number: listener.during(lambda: call(number)), range(40)))
    assert told == [(number, f"damage in {number}\n" if number % 4 == 0 else "") for number in range(40)]
    assert capfd.readouterr().err == ""


def test_a_call_that_fails_lets_the_others_go_on() -> None:
    with quiet.overheard() as listener:
        with pytest.raises(ValueError, match="no picture"):
            listener.during(lambda: int("no picture"))
        assert listener.during(lambda: 1) == (1, "")


def test_tensorflow_is_not_looked_through_for_garbage_and_brings_no_matplotlib() -> None:
    code = (
        "import gc, sys; from trainer.process import quiet; quiet.import_tensorflow()\n"
        "print(gc.isenabled(), gc.get_freeze_count() > 100_000, len(gc.get_objects()) < 10_000)\n"
        "print('keras' in sys.modules, 'matplotlib' in sys.modules); import matplotlib"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert (done.stdout, done.stderr) == ("True True True\nTrue False\n", "")
