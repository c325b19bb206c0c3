"""`catdog` as a user types it, in a process of its own."""

import subprocess
import sys

CATDOG = [sys.executable, "-c", "from k8s.cli import main; main()"]
QUICK = ["--recipe", "demo", "--image-size", "32", "--batch-size", "8", "--warmup-steps", "0", "--log-every", "1"]


def catdog(*arguments: object, code: int = 0) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run([*CATDOG, *map(str, arguments)], capture_output=True, text=True, timeout=200)
    assert done.returncode == code, f"exit {done.returncode}, expected {code}:\n{done.stdout}\n{done.stderr}"
    return done


def complaint(done: "subprocess.CompletedProcess[str]") -> str:
    """The one line on standard error; there must be no traceback and nothing else."""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("catdog: ")
    return lines[0]
