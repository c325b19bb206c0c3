"""The child is a stand-in module `trainer`: it prints its input and exits as requested."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.config import RunConfig
from trainer.requests import from_json

REPOSITORY = Path(__file__).parents[4]
LIMIT = 60.0

CHILD = """
import json, os, signal, sys, time
text = sys.stdin.read()
print(json.dumps({"arguments": sys.argv[1:], "text": text, "group": os.getpgrp(), "pid": os.getpid()}), flush=True)
action = os.environ["ACTION"]
if action == "wait":
    got = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: got.append(number))
    print("ready", flush=True)
    while not got:
        time.sleep(0.01)
    time.sleep(0.2)
    print(json.dumps(got), flush=True)
    sys.exit(128 + got[0])
if action == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(int(action))
"""

PARENT = """
import sys
from k8s.actions import local
from trainer.config import RunConfig
print("exit", local.run("train", RunConfig(seed=5)), flush=True)
"""


def start(folder: Path, action: str) -> "subprocess.Popen[str]":
    package = folder / "trainer"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(CHILD)
    # The parent imports the real package by this path; its child is started with -m, which looks in the folder first.
    code = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\n{PARENT}"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "ACTION": action, "PYTHONPATH": ""},
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def output(process: "subprocess.Popen[str]") -> list[str]:
    try:
        return process.communicate(timeout=LIMIT)[0].splitlines()
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise


@pytest.mark.parametrize("code", [0, 2, 65, 143])
def test_the_childs_exit_code_is_passed_on(tmp_path: Path, code: int) -> None:
    assert output(start(tmp_path, str(code)))[-1] == f"exit {code}"


def test_a_killed_child_has_the_shells_code(tmp_path: Path) -> None:
    assert output(start(tmp_path, "killed"))[-1] == "exit 137"


def test_the_child_gets_the_verb_and_the_request(tmp_path: Path) -> None:
    told = json.loads(output(start(tmp_path, "0"))[0])
    assert told["arguments"] == ["train", "--config", "-"]
    assert from_json(told["text"], RunConfig) == RunConfig(seed=5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_forwarded_once(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path, "wait")
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    assert told["group"] == told["pid"] != process.pid  # a terminal's Ctrl-C does not reach it by itself
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, number)  # as a terminal does
    assert output(process) == [json.dumps([int(number)]), f"exit {128 + number}"]


def test_without_tensorflow_it_says_what_to_install() -> None:
    code = (
        "import importlib.util, sys\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'tensorflow' else real(name, *rest)\n"
        "from k8s.actions import local\n"
        "from trainer.requests import ReportRequest\n"
        "sys.exit(local.run('report', ReportRequest('runs/a')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 3
    assert done.stderr == (
        "catdog: TensorFlow is not installed here; run `make setup` in a checkout of catdog, or use its image\n"
    )
