"""What ran: versions of catdog and of the packages that affect the results, and the source's revision."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from trainer.contract import ENV_REVISION

# This project's name in pip: `catdog` on PyPI is a different project. Records use `catdog`.
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
    """The git commit of this source: CATDOG_REVISION (set in an image), else read from git.

    Empty if there is none.
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
