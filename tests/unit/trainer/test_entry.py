"""`python -m trainer`: its requests, and its responses to requests it cannot serve."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from trainer.config import RunConfig
from trainer.requests import (
    CompareRequest,
    DataCheckRequest,
    DataImportRequest,
    DataPackRequest,
    EvaluateRequest,
    PredictRequest,
    ReportRequest,
    Request,
    to_json,
)

REPOSITORY = Path(__file__).parents[3]
LIMIT = 60.0


def trainer(*arguments: str, stdin: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "trainer", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )


def test_a_verb_that_is_none_is_usage() -> None:
    done = trainer("tarin", "--config", "-")
    assert done.returncode == 2
    assert "tarin" in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "catdog: the configuration is not JSON"),
        ('{"schema": 1, "config": {"epoch": 3}}', "catdog: unknown option 'epoch' in the configuration"),
        ('{"schema": 1, "config": {"epochs": 0}}', "catdog: --epochs is 0; it must be at least 1"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_64_in_one_line(text: str, words: str) -> None:
    done = trainer("train", "--config", "-", stdin=text)
    assert done.returncode == 64
    assert done.stderr.startswith(words)
    assert done.stderr.count("\n") == 1


def test_a_configuration_that_is_not_there_is_66(tmp_path: Path) -> None:
    done = trainer("train", "--config", str(tmp_path / "none.json"))
    assert (done.returncode, done.stderr) == (66, f"catdog: {tmp_path / 'none.json'}: No such file or directory\n")


def test_a_configuration_is_read_from_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(to_json(RunConfig(data=str(tmp_path / "nothing"), run=str(tmp_path / "run"))))
    done = trainer("train", "--config", str(tmp_path / "config.json"))
    assert done.returncode == 66
    assert f"catdog: {tmp_path / 'nothing'}: no such folder" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("verb", "request_", "words"),
    [
        ("evaluate", EvaluateRequest("{}/run", "{}/data"), "no exported model there"),
        ("predict", PredictRequest("{}/run", ("cat.jpg",)), "no exported model there"),
        ("report", ReportRequest("{}/run"), "not a run folder"),
        ("compare", CompareRequest(("{}/run", "{}/other")), "not a run folder"),
        ("data-import", DataImportRequest("{}/kaggle.zip", "{}/target"), "kaggle.zip"),
        ("data-check", DataCheckRequest("{}/data"), "no such folder"),
        ("data-pack", DataPackRequest("{}/data", "{}/target"), "no such folder"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_what_is_missing_is_told_before_tensorflow_is_imported(
    tmp_path: Path, verb: str, request_: Request, words: str
) -> None:
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('TensorFlow was imported')")
    text = to_json(request_).replace("{}", str(tmp_path))
    done = trainer(verb, "--config", "-", stdin=text, PYTHONPATH=str(tmp_path))
    assert done.returncode == 66, done.stderr
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_other_ranks_say_who_they_are_and_kubernetes_is_told(tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    log.touch()
    done = trainer("train", "--config", "-", stdin="{", CATDOG_RANK="3", CATDOG_TERMINATION_LOG=str(log))
    assert done.stderr.startswith("[rank 3] catdog: the configuration is not JSON")
    assert log.read_text().startswith("64: the configuration is not JSON")


@contextmanager
def refusing_rank_0() -> Iterator[str]:
    """CATDOG_HOSTS of two workers, of which rank 0 turns every other away at the rendezvous."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with suppress(OSError):  # closed at the end of the test
                while True:
                    with server.accept()[0] as guest:
                        guest.recv(65536)
                        guest.sendall(
                            json.dumps({"refused": "rank 0 stopped with 74: the bucket is away"}).encode() + b"\n"
                        )

        threading.Thread(target=answer, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1] - 1},127.0.0.1:1"
        server.shutdown(socket.SHUT_RDWR)


def lonely(hosts: str, wait: str, run: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-m", "trainer", "train", "--config", "-"],
        cwd=REPOSITORY,
        env={**os.environ, "CATDOG_HOSTS": hosts, "CATDOG_RANK": "1", "CATDOG_PEER_LOST_WAIT": wait},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(to_json(RunConfig(workers=2, run=str(run))))
    process.stdin.close()
    process.stdin = None
    return process


def test_a_worker_that_lost_a_peer_says_so_and_then_waits_for_a_sigterm(tmp_path: Path) -> None:
    with refusing_rank_0() as hosts:
        process = lonely(hosts, "300", tmp_path)
        assert process.stderr is not None
        assert process.stderr.readline() == "[rank 1] catdog: rank 0 stopped with 74: the bucket is away\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT) == 75
        process.stderr.close()


@pytest.mark.parametrize(("wait", "code"), [("1", 75), ("0", 75), ("", 75), ("soon", 64)])
def test_the_wait_ends_by_itself(tmp_path: Path, wait: str, code: int) -> None:
    with refusing_rank_0() as hosts:
        process = lonely(hosts, wait, tmp_path)
        process.communicate(timeout=LIMIT)
        assert process.returncode == code
