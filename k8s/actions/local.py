"""Starts the trainer on this machine as a child process and passes its exit code on."""

import importlib.util
import os
import subprocess
import sys

from trainer.contract import ENV_PARENT
from trainer.process import signals
from trainer.requests import Request, to_json

CANNOT = 3  # a prerequisite is missing
NO_TENSORFLOW = "catdog: TensorFlow is not installed here; run `make setup` in a checkout of catdog, or use its image"


def run(verb: str, request: Request) -> int:
    """`python -m trainer VERB --config -` with `request` on its standard input; return its exit code.

    The child has its own process group, so that Ctrl-C in a terminal, and its end, reach it once, forwarded from
    here.
    """
    if importlib.util.find_spec("tensorflow") is None:
        print(NO_TENSORFLOW, file=sys.stderr)
        return CANNOT
    child = subprocess.Popen(
        [sys.executable, "-m", "trainer", verb, "--config", "-"],
        env={**os.environ, ENV_PARENT: str(os.getpid())},
        stdin=subprocess.PIPE,
        text=True,
        process_group=0,
    )

    def forward(number: int, frame: object) -> None:
        if child.poll() is None:
            child.send_signal(number)

    signals.handle(forward)
    child.communicate(to_json(request))
    return child.returncode if child.returncode >= 0 else 128 - child.returncode
