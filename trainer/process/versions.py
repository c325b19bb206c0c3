"""What ran: versions of catdog and of the packages that decide the numbers, and the source's revision."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from trainer.contract import ENV_REVISION

# The name that pip knows this project by: `catdog` on PyPI is somebody else's. What is recorded stays `catdog`.
DISTRIBUTION = "catdog-trainer"
PACKAGES = ("keras", "numpy", "safetensors")
_TENSORFLOW = ("tensorflow", "tensorflow-cpu")


def versions() -> dict[str, str]:
    """Package → version, and Python's."""
    found = {"catdog": catdog_version(), **{name: _version(name) for name in PACKAGES}}
    found["tensorflow"] = next((v for v in map(_version, _TENSORFLOW) if v != "unknown"), "unknown")
    return {**found, "python": platform.python_version()}


def catdog_version() -> str:
    """This catdog's version; "unknown" where it is not installed."""
    return _version(DISTRIBUTION)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def revision() -> str:
    """The git commit of this source: CATDOG_REVISION (an image has it), else asked of git.

    Empty where there is none.
    """
    told = os.environ.get(ENV_REVISION)
    if told is not None:
        return told
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
