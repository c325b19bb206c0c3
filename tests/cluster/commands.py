"""Run a command-line tool to completion."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster import cgroups
from tests.cluster.errors import ClusterError


class CommandFailed(ClusterError):
    """A tool exited with a non-zero status; `output` is everything it printed."""

    def __init__(self, command: str, status: int, output: str) -> None:
        lines = output.strip().splitlines()
        super().__init__(f"`{command}` exited with status {status}: {lines[-1] if lines else 'no output'}")
        self.status = status
        self.output = output


def run(
    argv: Sequence[str | Path],
    *,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
    cgroup: str | None = None,
) -> str:
    """The standard output of `argv`, run with `env` on top of the environment. Raises CommandFailed or ClusterError.

    Long-running commands belong in `cgroup` (if a cluster is up), where `down` finds them if this process is killed.
    """
    words = [str(word) for word in argv]
    shown = " ".join([Path(words[0]).name, *words[1:6]])
    entering, cgroup_env = cgroups.entering(words, cgroup) if cgroup else (words, {})
    try:
        done = subprocess.run(
            entering,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            cwd=cwd,
            env={**os.environ, **(env or {}), **cgroup_env},
            timeout=timeout,
            stdin=subprocess.DEVNULL if stdin is None else None,
        )
    except FileNotFoundError as error:
        raise ClusterError(f"`{words[0]}` is not installed; run `python3 -m tests.cluster packages`") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"`{shown}` took longer than {timeout} s") from error
    if done.returncode != 0:
        raise CommandFailed(shown, done.returncode, done.stdout + done.stderr)
    return done.stdout
