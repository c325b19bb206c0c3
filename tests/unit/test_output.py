"""What cannot be shown never ends the work behind it, in either process: full disks, readers that leave."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import runs
from tests.unit.typed import CATDOG, QUICK

pytestmark = [pytest.mark.timeout(300), pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")]

TRAINER = [sys.executable, "-m", "trainer"]


def shell(words: list[object], redirections: str, **environment: str) -> tuple[int, str]:
    """Exit code of a command whose output goes elsewhere, and what it says on standard error all the same."""
    done = subprocess.run(
        ["bash", "-c", f'"$@" {redirections}; exit "${{PIPESTATUS[0]}}"', "bash", *map(str, words)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=200,
    )
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.drawn(tmp_path_factory.mktemp("data") / "drawn", 12, 4, 4)


@pytest.fixture(scope="module")
def finished(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run") / "run"
    runs.command("train", *QUICK, "--data", good, "--run", run, "--epochs", 1)
    return run


@pytest.mark.parametrize(
    ("workers", "redirections"),
    [
        (1, "> /dev/full 2> /dev/full"),
        (1, "<&- >&- 2>&-"),
        (2, "2>&1 | true"),
    ],
)
def test_training_goes_on_whatever_becomes_of_its_output(
    workers: int, redirections: str, good: Path, tmp_path: Path
) -> None:
    words = [*CATDOG, "train", *QUICK, "--data", good, "--run", tmp_path / "run", "--epochs", 2, "--workers", workers]
    assert shell(words, redirections)[0] == 0
    assert json.loads((tmp_path / "run/state.json").read_text())["state"] == "succeeded"
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) == 2


def test_training_that_fails_has_its_code_without_output_too(tmp_path: Path) -> None:
    words = [*CATDOG, "train", *QUICK, "--data", tmp_path / "none", "--run", tmp_path / "run"]
    assert shell(words, "> /dev/full 2> /dev/full")[0] == 66


def test_training_goes_on_when_its_reader_has_stopped_reading(good: Path, tmp_path: Path) -> None:
    words = [*CATDOG, "train", *QUICK, "--data", good, "--run", tmp_path / "run", "--epochs", 2]
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:  # until the pipe is full, as that of a pager that waits for a key
            os.write(writing, bytes(65536))
    except BlockingIOError:
        os.set_blocking(writing, True)
    done = subprocess.run([*map(str, words)], stdout=writing, stderr=writing, timeout=200)
    os.close(reading)
    os.close(writing)
    assert done.returncode == 0


def test_training_is_saved_when_its_terminal_is_gone(good: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = [*CATDOG, "train", *QUICK, "--data", good, "--run", run, "--epochs", 100_000, "--checkpoint-every", 2]
    pid, terminal = pty.fork()
    if not pid:  # the leader of a session of its own, as a shell that has replaced itself
        os.execvp(sys.executable, [*map(str, words)])
    runs.await_checkpoint(run)
    os.close(terminal)  # the kernel hangs up
    deadline = time.monotonic() + 60
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            pytest.fail("it did not stop")
        time.sleep(0.05)
    state = json.loads((run / "state.json").read_text())
    assert (state["state"], state["exit_code"]) == ("preempted", 143)
    assert runs.durable_step(run) == state["step"]


def commands(good: Path, finished: Path) -> dict[str, list[object]]:
    """Those that answer on standard output, in either process."""
    return {
        "--help": ["--help"],
        "weights list -o json": ["weights", "list", "-o", "json"],
        "status": ["status", finished],
        "status -o json": ["status", finished, "-o", "json"],
        "data check": ["data", "check", good],
        "predict": ["predict", finished, good],
    }


EVERY = list(commands(Path(), Path()))


@pytest.mark.parametrize("name", EVERY)
def test_a_reader_that_leaves_ends_a_command_quietly(name: str, good: Path, finished: Path) -> None:
    code, said = shell([*CATDOG, *commands(good, finished)[name]], "| true")
    assert code == 141, said
    assert [line for line in said.splitlines() if not line.startswith("checking: ")] == []


@pytest.mark.parametrize("name", ["--help", "status", "predict"])
def test_an_answer_that_cannot_be_written_is_a_failure_in_one_line(name: str, good: Path, finished: Path) -> None:
    code, said = shell([*CATDOG, *commands(good, finished)[name]], "> /dev/full")
    assert code == 74
    lines = [line for line in said.splitlines() if not line.startswith("checking: ")]
    assert lines == ["catdog: standard output cannot be written: No space left on device"]


@pytest.mark.parametrize("name", ["--help", "predict"])
def test_without_standard_output_a_command_does_what_it_does(name: str, good: Path, finished: Path) -> None:
    assert shell([*CATDOG, *commands(good, finished)[name]], ">&- 2>&-")[0] == 0
