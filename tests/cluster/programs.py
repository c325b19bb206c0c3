"""Build the cluster's Go programs from their modules, once, into the cache.

A family is a folder tools/NAME with a go.mod and go.sum of its own, so that families need not share dependencies. Its
`tool` lines say which programs are built. The cache folder's name contains a hash of everything the build depends on.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import re
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.commands import run
from tests.cluster.errors import ClusterError
from tests.cluster.layout import WORK_CGROUP, cache_folder

_SOURCES = Path(__file__).parent / "tools"


@dataclass(frozen=True)
class Family:
    """Programs that are built from one go.mod."""

    name: str
    module: str = ""
    tags: str = ""
    chart: str = ""
    """A Helm chart inside the module, kept next to the programs."""
    version_package: str = ""
    """Where the linker writes gitVersion, gitMajor and gitMinor; without it Kubernetes reports v0.0.0."""


KUBERNETES = Family("kubernetes", module="k8s.io/kubernetes", version_package="k8s.io/component-base/version")
CONTAINERD = Family("containerd", tags="no_btrfs,no_zfs,no_devmapper")
COREDNS = Family("coredns")
FAKE_GCS_SERVER = Family("fake-gcs-server")
HELM = Family("helm")
HELM_UNITTEST = Family("helm-unittest")
JOBSET = Family("jobset", module="sigs.k8s.io/jobset", chart="charts/jobset")
KUBE_ROUTER = Family("kube-router")
KUEUE = Family("kueue", module="sigs.k8s.io/kueue", chart="charts/kueue")
PAUSE = Family("pause")

FAMILIES = (
    PAUSE,
    KUBERNETES,
    CONTAINERD,
    COREDNS,
    KUBE_ROUTER,
    FAKE_GCS_SERVER,
    HELM,
    HELM_UNITTEST,
    JOBSET,
    KUEUE,
)


def version(family: Family) -> str:
    """The version (v1.2.3) of the family's module, as its go.mod pins it."""
    found = re.search(rf"^(?:require)?\s*{re.escape(family.module)} (v\S+)", _go_mod(family).read_text(), re.MULTILINE)
    if not found:
        raise ClusterError(f"{_go_mod(family)} does not require {family.module}")
    return found[1]


@functools.cache
def folder(family: Family) -> Path:
    """Where the family's programs are, or will be once build() has run."""
    digest = hashlib.sha256(repr(family).encode())
    for file in sorted((_SOURCES / family.name).iterdir()):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return cache_folder() / "bin" / f"{family.name}-{digest.hexdigest()[:12]}"


def is_built(family: Family) -> bool:
    """Whether build() would have nothing to do."""
    return folder(family).is_dir()


def build(family: Family) -> Path:
    """Build the family unless it is in the cache; returns its folder. Two processes may call it at once."""
    target = folder(family)
    if is_built(family):
        return target
    if not shutil.which("go"):
        raise ClusterError("`go` is not installed: the cluster's programs are built from source (Go 1.26.6 or newer)")
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f"{family.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_built(family):
            started = time.monotonic()
            print(f"building {family.name}", file=sys.stderr, flush=True)
            _build_into(family, target)
            print(f"built {family.name} in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return target


def _build_into(family: Family, target: Path) -> None:
    side = target.with_name(f"{target.name}.partial")
    shutil.rmtree(side, ignore_errors=True)
    source = _SOURCES / family.name
    what = "tool" if "\ntool" in _go_mod(family).read_text() else "."
    argv = [
        "nice",
        "-n",
        "15",
        "go",
        "build",
        "-trimpath",
        f"-tags={family.tags}",
        f"-ldflags={_linker_flags(family)}",
        "-o",
        f"{side}/",
        what,
    ]
    run(argv, cwd=source, env={"CGO_ENABLED": "0"}, cgroup=WORK_CGROUP)
    if family.chart:
        module = run(["go", "list", "-m", "-f", "{{.Dir}}", family.module], cwd=source).strip()
        shutil.copytree(Path(module) / family.chart, side / "chart", copy_function=shutil.copyfile)
    side.rename(target)


def _linker_flags(family: Family) -> str:
    flags = ["-s", "-w"]
    if family.version_package:
        pinned = version(family)
        major, minor = pinned.lstrip("v").split(".")[:2]
        for variable, value in {
            "gitVersion": pinned,
            "gitMajor": major,
            "gitMinor": minor,
            "gitTreeState": "clean",
        }.items():
            flags.append(f"-X={family.version_package}.{variable}={value}")
    return " ".join(flags)


def _go_mod(family: Family) -> Path:
    return _SOURCES / family.name / "go.mod"
