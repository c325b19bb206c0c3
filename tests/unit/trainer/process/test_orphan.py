import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from trainer.contract import ENV_PARENT
from trainer.process.orphan import stop_with_parent

REPOSITORY = Path(__file__).parents[4]
LIMIT = 30.0

CHILD = """
import os, sys, time
from trainer.process.orphan import stop_with_parent
stop_with_parent(os.environ)
print(os.getpid(), flush=True)
time.sleep(60)
"""

MIDDLE = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], env={**os.environ, "CATDOG_PARENT": str(os.getpid())})
time.sleep(60)
"""


def test_a_child_ends_with_its_parent_however_that_went() -> None:
    middle = subprocess.Popen([sys.executable, "-c", MIDDLE, CHILD], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    with middle:
        assert middle.stdout is not None
        child = int(middle.stdout.readline())
        middle.kill()
        assert middle.stdout.read() == ""  # ends when the last one that could write is gone
    deadline = time.monotonic() + LIMIT
    while Path(f"/proc/{child}").exists() and Path(f"/proc/{child}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_parent_that_was_gone_already_is_noticed() -> None:
    code = (
        "import os; from trainer.process.orphan import stop_with_parent; stop_with_parent(os.environ); print('lives')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env={**os.environ, ENV_PARENT: "1" if os.getpid() != 1 else "2"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == -signal.SIGTERM


def test_without_a_named_parent_nothing_happens() -> None:
    stop_with_parent({})
