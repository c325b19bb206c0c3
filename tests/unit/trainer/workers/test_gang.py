"""The workers are a stand-in module `trainer`: each prints its input and exits as requested."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainer.exits import Exit

REPOSITORY = Path(__file__).parents[4]
LIMIT = 60.0

# ACTIONS has one word a rank: a number is an exit code, "after:N" waits first, "wait" waits for a signal, "ignore" too.
WORKER = """
import json, os, signal, sys, time
rank = int(os.environ["CATDOG_RANK"])
names = ("CATDOG_RANK", "CATDOG_HOSTS", "CATDOG_LOCAL_WORKERS", "CATDOG_GANG_SECRET")
told = {name: os.environ[name] for name in names}
told.update(arguments=sys.argv[1:], text=sys.stdin.read(), group=os.getpgrp(), pid=os.getpid())
action = os.environ["ACTIONS"].split()[rank]
got = []
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, _: got.append(number))
with open(f"rank-{rank}.tmp", "w") as file:
    json.dump(told, file)
os.rename(f"rank-{rank}.tmp", f"rank-{rank}.json")
if action == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if action.startswith("after:"):
    time.sleep(0.5)
    sys.exit(int(action.removeprefix("after:")))
if action in ("wait", "ignore"):
    deadline = time.monotonic() + 60
    while (action == "ignore" or not got) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(1.2)
    with open(f"signals-{rank}.json", "w") as file:
        json.dump(got, file)
    sys.exit(128 + got[0])
sys.exit(int(action))
"""

PARENT = """
import os, sys
sys.path.insert(0, os.environ["REPOSITORY"])
from trainer.workers import gang
gang.GRACE_SECONDS = float(os.environ["GRACE"])
print("exit", int(gang.run(len(os.environ["ACTIONS"].split()), "the configuration")), flush=True)
"""


def start(folder: Path, *actions: str, grace: float = 30.0) -> "subprocess.Popen[str]":
    package = folder / "trainer"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(WORKER)
    environment = {**os.environ, "ACTIONS": " ".join(actions), "GRACE": str(grace), "REPOSITORY": str(REPOSITORY)}
    for name in ("PYTHONPATH", "CATDOG_HOSTS", "CATDOG_RANK"):
        environment.pop(name, None)
    return subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, process_group=0
    )


def code_of(process: "subprocess.Popen[str]") -> int:
    try:
        output, _ = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return int(output.split()[-1])


def await_workers(folder: Path, count: int) -> None:
    deadline = time.monotonic() + LIMIT
    while len(list(folder.glob("rank-*.json"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("actions", "code"),
    [
        (("0", "0", "0"), 0),
        (("0", "65"), 65),
        (("75", "after:66"), 66),
        (("after:66", "75", "75"), 66),
        (("75", "75"), 75),
        (("after:64", "76"), 76),
        (("killed", "75"), 137),
        (("143", "143"), 143),
    ],
)
def test_the_exit_code_is_the_first_that_is_not_a_lost_peer(
    tmp_path: Path, actions: tuple[str, ...], code: int
) -> None:
    assert code_of(start(tmp_path, *actions)) == code


def test_every_worker_is_told_its_rank_all_addresses_and_the_configuration(tmp_path: Path) -> None:
    assert code_of(start(tmp_path, "0", "0", "0")) == 0
    told = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(3)]
    assert [one["CATDOG_RANK"] for one in told] == ["0", "1", "2"]
    assert [one["CATDOG_LOCAL_WORKERS"] for one in told] == ["3"] * 3
    assert [one["arguments"] for one in told] == [["train", "--config", "-"]] * 3
    assert [one["text"] for one in told] == ["the configuration"] * 3
    assert len({one["CATDOG_HOSTS"] for one in told}) == 1
    hosts = [host.split(":") for host in told[0]["CATDOG_HOSTS"].split(",")]
    assert {name for name, _ in hosts} == {"127.0.0.1"}
    ports = [int(port) for _, port in hosts]
    assert len({*ports, ports[0] + 1}) == 4  # rank 0's next port is for the rendezvous
    assert len({one["group"] for one in told}) == 3


def test_the_workers_of_a_gang_share_a_secret_that_no_other_gang_has(tmp_path: Path) -> None:
    seen = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        assert code_of(start(tmp_path / name, "0", "0")) == 0
        told = [json.loads((tmp_path / name / f"rank-{rank}.json").read_text()) for rank in range(2)]
        assert told[0]["CATDOG_GANG_SECRET"] == told[1]["CATDOG_GANG_SECRET"]
        seen.append(told[0]["CATDOG_GANG_SECRET"])
    assert seen[0] != seen[1]
    assert all(len(secret) == 64 for secret in seen)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_first_signal_reaches_one_worker_and_a_second_all(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path, "wait", "wait")
    await_workers(tmp_path, 2)
    os.killpg(process.pid, number)  # a terminal's Ctrl-C: the workers are in groups of their own
    deadline = time.monotonic() + LIMIT
    while not (tmp_path / "signals-0.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not (tmp_path / "signals-1.json").exists()
    process.send_signal(number)
    assert code_of(process) == 128 + number
    assert json.loads((tmp_path / "signals-1.json").read_text()) == [int(number)]


def test_a_terminal_that_closes_signals_several_times_and_is_one_request(tmp_path: Path) -> None:
    process = start(tmp_path, "wait", "wait")
    await_workers(tmp_path, 2)
    for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM):
        process.send_signal(number)
        time.sleep(0.1)
    deadline = time.monotonic() + LIMIT
    while not (tmp_path / "signals-0.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert json.loads((tmp_path / "signals-0.json").read_text()) == [signal.SIGHUP, signal.SIGTERM]
    assert not (tmp_path / "signals-1.json").exists()
    process.send_signal(signal.SIGTERM)
    assert code_of(process) in (128 + signal.SIGHUP, 128 + signal.SIGTERM)  # of whichever worker is seen first


def test_those_that_stay_when_one_has_failed_are_killed_after_a_while(tmp_path: Path) -> None:
    began = time.monotonic()
    assert code_of(start(tmp_path, "65", "ignore", grace=1.0)) == Exit.BAD_DATA
    assert time.monotonic() - began < 45
    told = tmp_path / "rank-1.json"  # not there when it was killed before it could tell
    assert not told.exists() or not Path(f"/proc/{json.loads(told.read_text())['pid']}").exists()
