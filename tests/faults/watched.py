"""A training process whose output is read while it runs, each line with the time at which it came."""

import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from tests import runs
from trainer.config import RunConfig

_STEP = re.compile(r"step +(\d+)/")
_FROM = re.compile(r" steps of \d+ pictures from step (\d+)")
_TROUBLE = re.compile(r"lost: |heartbeat: |trying again|catdog: ")
MOMENT_SECONDS = 240.0


@dataclass
class Watched:
    """A process and what it has said: (monotonic seconds, line)."""

    process: "subprocess.Popen[str]"
    began: float
    said: list[tuple[float, str]] = field(default_factory=list)
    ended: float = 0.0
    _heard: threading.Condition = field(default_factory=threading.Condition)

    def listen(self) -> None:
        """Read until the process closes its output."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._heard:
                self.said.append((time.monotonic(), line.rstrip("\n")))
                self._heard.notify_all()
        self.process.wait()
        with self._heard:
            self.ended = time.monotonic()
            self._heard.notify_all()

    def wait_for(self, ready: Callable[[], object], seconds: float = MOMENT_SECONDS) -> bool:
        """Whether `ready` has become true, which is looked at with every line and every tenth of a second."""
        deadline = time.monotonic() + seconds
        with self._heard:
            while not ready():
                if self.ended or time.monotonic() > deadline:
                    return False
                self._heard.wait(0.02)
        return True

    def code(self, seconds: float) -> int:
        """The exit code; 128 + its number for a signal. Raises TimeoutError after so long."""
        deadline = time.monotonic() + seconds
        while not self.ended:
            if time.monotonic() > deadline:
                raise TimeoutError(f"still running after {seconds:.0f} s")
            time.sleep(0.05)
        code = self.process.returncode
        return code if code >= 0 else 128 - code

    @property
    def step(self) -> int:
        """The newest step that it has reported, or began at."""
        return max((int(m[1]) for _, line in self.said for m in [_STEP.match(line)] if m), default=self.first or 0)

    @property
    def first(self) -> int | None:
        """The step that it began at; None before that is known, or if there was nothing to do."""
        return next((int(m[1]) for _, line in self.said for m in [_FROM.search(line)] if m), None)

    def first_step_at(self) -> float | None:
        """When it reported its first step."""
        return next((at for at, line in self.said if _STEP.match(line)), None)

    def trouble_after(self, moment: float) -> float | None:
        """When it first said that something is wrong, after this moment."""
        return next((at for at, line in self.said if at > moment and _TROUBLE.search(line)), None)

    @property
    def last_words(self) -> str:
        """The last line with a cause."""
        causes = [line for _, line in self.said if "catdog: " in line]
        return causes[-1] if causes else ""

    @property
    def output(self) -> str:
        """All that it has said."""
        return "\n".join(line for _, line in self.said)


@contextmanager
def watched(asked: RunConfig, **environment: str) -> Iterator[Watched]:
    """A training process, read in the background, killed with all its workers if it outlives the block."""
    with runs.started(asked, **environment) as process, ExitStack() as after:
        one = Watched(process, time.monotonic())
        reader = threading.Thread(target=one.listen, daemon=True)
        reader.start()
        after.callback(_end, one, reader)
        yield one


def _end(one: Watched, reader: threading.Thread) -> None:
    if not one.ended:
        for pid in [*runs.descendants(one.process.pid), one.process.pid]:
            runs.send_kill(pid)
    reader.join(30)
