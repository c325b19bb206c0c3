"""The Debian packages the cluster needs."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.cluster.commands import CommandFailed, run
from tests.cluster.errors import ClusterError

_LIST = Path(__file__).parent / "debian-packages.txt"
_POLICY = Path("/usr/sbin/policy-rc.d")


def needed() -> list[str]:
    """The names in debian-packages.txt."""
    return [line.strip() for line in _LIST.read_text().splitlines() if line.strip() and not line.startswith("#")]


def missing() -> list[str]:
    """Those of needed() that are not installed."""
    return [name for name in needed() if not _is_installed(name)]


def _is_installed(name: str) -> bool:
    try:
        return run(["dpkg-query", "-W", "-f=${Status}", name]) == "install ok installed"
    except CommandFailed:
        return False


def check() -> None:
    """Raise ClusterError naming what is missing."""
    absent = missing()
    if absent:
        raise ClusterError(f"Debian packages are missing: {' '.join(absent)}; run `python3 -m tests.cluster packages`")


def install() -> None:
    """Install what is missing, as root; a package's own server (etcd, Prometheus) is not started."""
    absent = missing()
    if not absent:
        return
    print(f"installing {' '.join(absent)}", file=sys.stderr, flush=True)
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    made_policy = not _POLICY.exists()
    if made_policy:
        # Debian's invoke-rc.d asks this script whether a newly installed service may start: 101 means no.
        _POLICY.write_text("#!/bin/sh\nexit 101\n")
        _POLICY.chmod(0o755)
    try:
        run(["apt-get", "update", "-qq"], env=quiet)
        run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *absent], env=quiet)
    finally:
        if made_policy:
            _POLICY.unlink()
