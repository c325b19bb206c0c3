"""Stops a process when the local process that started it is gone, for whatever reason."""

import ctypes
import os
import signal
from collections.abc import Mapping

from trainer.contract import ENV_PARENT

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def stop_with_parent(environment: Mapping[str, str]) -> None:
    """Ask the kernel for a SIGTERM when the process named in CATDOG_PARENT ends; without that variable, nothing."""
    parent = environment.get(ENV_PARENT)
    if not parent:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it exited before we could ask
        os.kill(os.getpid(), signal.SIGTERM)
