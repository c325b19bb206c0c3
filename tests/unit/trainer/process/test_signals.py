"""Real signals to real child processes."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.exits import Exit
from trainer.process.signals import STOP_SIGNALS, StopRequest, stop_code

REPOSITORY = Path(__file__).parents[4]
LIMIT = 30.0

BEGIN = """
import os, sys, threading, time
from trainer.process.signals import install
stop = install(float(sys.argv[1]))
"""

# A C function that lets other threads run but never comes back for a signal, as a collective that waits for a dead
# peer: locking a mutex for the second time.
BLOCKED = (
    BEGIN
    + """
import ctypes

def report():
    while not stop.requested:
        time.sleep(0.005)
    print("seen", int(stop.exit_code), flush=True)
    os._exit(int(stop.exit_code))

threading.Thread(target=report, daemon=True).start()
libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
libc.pthread_mutex_lock(mutex)
print("ready", flush=True)
libc.pthread_mutex_lock(mutex)
print("the lock was taken twice", flush=True)
"""
)

WAITING = BEGIN + "print('ready', flush=True)\ntime.sleep(60)\n"
LOOP = (
    BEGIN + "print('ready', flush=True)\nwhile not stop.requested: time.sleep(0.005)\nsys.exit(int(stop.exit_code))\n"
)


def start(code: str, grace: float) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(grace)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    try:
        output, _ = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return process.returncode, output


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 143)])
def test_a_signal_is_seen_while_the_main_thread_is_in_c(number: signal.Signals, code: int) -> None:
    process = start(BLOCKED, 60)
    process.send_signal(number)
    assert ended(process) == (code, f"seen {code}\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 143)])
def test_a_loop_that_looks_can_end_in_order(number: signal.Signals, code: int) -> None:
    process = start(LOOP, 60)
    process.send_signal(number)
    assert ended(process)[0] == code


def test_one_signal_alone_does_not_end_the_process() -> None:
    process = start(WAITING, 60)
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 143


def test_a_second_signal_gives_up_with_the_code_of_the_first() -> None:
    process = start(WAITING, 60)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 130


def test_the_signals_of_a_session_that_ends_are_one_request() -> None:
    process = start(WAITING, 60)
    for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM, signal.SIGHUP):
        process.send_signal(number)
        time.sleep(0.1)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 143


def test_a_sighup_that_was_ignored_at_the_start_stays_ignored() -> None:
    process = start("import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + LOOP, 60)
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 143


def test_half_of_the_grace_period_is_the_limit() -> None:
    process = start(WAITING, 2.0)
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert ended(process)[0] == 143
    assert 0.8 < time.monotonic() - began < 10


def test_giving_up_calls_what_was_set() -> None:
    code = (
        BEGIN + "stop.on_give_up = lambda code: os._exit(int(code) - 100)\nprint('ready', flush=True)\ntime.sleep(60)\n"
    )
    process = start(code, 60)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 43


def test_nothing_is_requested_before_a_signal() -> None:
    stop = StopRequest()
    assert not stop.requested
    stop.signal = signal.SIGINT
    assert stop.requested
    assert stop.exit_code == Exit.INTERRUPTED
    stop.signal = signal.SIGTERM
    assert stop.exit_code == Exit.TERMINATED


@given(st.lists(st.sampled_from([None, *STOP_SIGNALS]), min_size=1, max_size=1000).filter(any))
def test_every_rank_takes_the_same_code_from_the_sum_of_all_requests(signals: list[signal.Signals | None]) -> None:
    total = np.float32(0)
    for number in signals:
        request = StopRequest()
        request.signal = number
        total += np.float32(request.weight)
    assert stop_code(float(total)) == (Exit.INTERRUPTED if signal.SIGINT in signals else Exit.TERMINATED)
