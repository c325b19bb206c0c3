"""Bring the cluster up, take it down, report its status."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.cluster import (
    certificates,
    cgroups,
    charts,
    control_plane,
    images,
    network,
    node,
    packages,
    processes,
    programs,
    records,
    services,
)
from tests.cluster.errors import ClusterError
from tests.cluster.layout import CGROUP, CONTROL_CGROUP, RUNNING_POINTER, WORK_CGROUP, Layout, nodes
from tests.cluster.mounts import mount_points
from tests.cluster.trees import remove_tree
from tests.cluster.waiting import wait_until

_NODE_READY_S = 180


def up(state: Path, kueue: bool = False) -> Layout:
    """Start what is not running of the cluster with state folder `state`; returns when it is ready for work.

    JobSet is always installed, Kueue with `kueue`. Raises ClusterError with one line; what is running by then stays for
    inspection, until down().
    """
    _check_machine()
    layout = Layout(state.absolute())
    _check_socket_paths(layout)
    with _locked(layout):
        _claim(layout)
        if _is_left_over(layout):
            _take_down(layout)
            _claim(layout)
        _prepare(layout)
        families = [family for family in programs.FAMILIES if kueue or family is not programs.KUEUE]
        for family in families:
            programs.build(family)
        controllers = [programs.JOBSET, *([programs.KUEUE] if kueue else [])]
        archives = {
            node.PAUSE_IMAGE: images.pause_archive(),
            **{images.image_name(family): images.controller_archive(family) for family in controllers},
        }
        with _step("network, certificates"):
            network.create(layout)
            certificates.create(layout)
            if not layout.kubeconfig.exists():  # else it may be in use, with a namespace set in it
                certificates.write_kubeconfig(layout, certificates.ADMIN, layout.kubeconfig)
        with _step("control plane, containerd, images"):
            control_plane.start_api_server(layout)
            for one in nodes(layout):
                node.start_containerd(layout, one)
            with ThreadPoolExecutor(1) as pool:
                loading = pool.submit(_load_missing, layout, archives)
                control_plane.start(layout)
                loading.result()
        with _step("DNS, storage, Prometheus, nodes"):
            for one in nodes(layout):
                node.start_kubelet(layout, one)
            services.start(layout)
            for one in nodes(layout):
                wait_until(partial(node.is_ready, layout, one), _NODE_READY_S, f"{one.name} to be Ready")
                node.enforce_policies(layout, one)
            services.wait_ready(layout)
        with _step("charts"):
            installers = {programs.JOBSET: charts.install_jobset, programs.KUEUE: charts.install_kueue}
            for family in controllers:
                if not charts.is_installed(layout, family):
                    installers[family](layout)
    return layout


def down(state: Path) -> None:
    """Remove everything up() made on the machine, in whatever state it is; keeps the logs and the build cache."""
    layout = Layout(state.absolute())
    if not layout.state.is_dir():
        return
    _check_root()
    with _locked(layout):
        _take_down(layout)


def purge(state: Path) -> None:
    """Take the cluster down and remove its state folder, including logs."""
    down(state)
    if state.is_dir():
        shutil.rmtree(state)


def running_state() -> Path | None:
    """The state folder of the cluster running on this machine, if there is one."""
    return Path(RUNNING_POINTER.read_text().strip()) if RUNNING_POINTER.exists() else None


def existing(state: Path) -> Layout:
    """The cluster of folder `state`, which must be up; raises ClusterError."""
    layout = Layout(state.absolute())
    if running_state() != layout.state or not layout.kubeconfig.exists() or _is_left_over(layout):
        raise ClusterError(f"no cluster is up in {layout.state}; run `python3 -m tests.cluster up`")
    return layout


def status(state: Path) -> str:
    """What is running, one line each."""
    layout = Layout(state.absolute())
    if running_state() != layout.state:
        return f"no cluster is up in {layout.state}"
    lines = [f"state {layout.state}"]
    for name, record in records.remembered(layout, "process").items():
        running = processes.is_running(layout, name)
        what = f"running, pid {record['pid']}" if running else f"exited: {processes.tail(layout, name)}"
        lines.append(f"{name:<26} {what}")
    for one in nodes(layout):
        if records.remembered(layout, "netns") and not network.is_connected(one):
            lines.append(f"{one.name} is cut off from the network")
    if processes.is_running(layout, control_plane.API_SERVER) and control_plane.is_ready(layout):
        lines.append(control_plane.kubectl(layout, "get", "nodes", "-o", "wide").rstrip())
        lines.append(charts.helm(layout, "list", "--all-namespaces").rstrip())
    return "\n".join(lines)


def _check_root() -> None:
    if os.geteuid() != 0:
        raise ClusterError("the cluster needs root: it makes network namespaces, mounts and cgroups")


def _check_machine() -> None:
    if sys.platform != "linux":
        raise ClusterError("the cluster needs a Linux machine")
    _check_root()
    packages.check()
    cgroups.hierarchies()


def _check_socket_paths(layout: Layout) -> None:
    """A socket's path has at most 107 bytes (unix(7)); containerd makes a second one that ends in `.ttrpc`."""
    longest = max(len(f"{one.containerd_socket}.ttrpc".encode()) for one in nodes(layout))
    if longest > 107:
        raise ClusterError(f"the path {layout.state} is {longest - 107} bytes too long for the sockets below it")


@contextmanager
def _locked(layout: Layout) -> Iterator[None]:
    """One up() or down() of a state folder at a time; its process's exit releases the lock, however that happens."""
    layout.state.mkdir(parents=True, exist_ok=True)
    with (layout.state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ClusterError(f"another `up` or `down` of {layout.state} is running; stop it first") from error
        yield


@contextmanager
def _step(what: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)


def _claim(layout: Layout) -> None:
    """Take the machine for this state folder: names and addresses are fixed, so there is one cluster at a time."""
    other = running_state()
    if other is not None and other != layout.state:
        raise ClusterError(
            f"a cluster is already up with its state in {other}; take it down with `python3 -m tests.cluster down`"
        )
    if other is None:
        RUNNING_POINTER.write_text(f"{layout.state}\n")


def _prepare(layout: Layout) -> None:
    layout.boot.mkdir(parents=True, exist_ok=True)
    for folder in (layout.config, layout.work):
        folder.mkdir(exist_ok=True)
    if not records.remembered(layout, "boot"):
        for log in layout.logs.glob("*.log"):
            log.unlink()
        records.remember(layout, "boot", "this")
    records.remember(layout, "cgroup", CGROUP)
    for part in (WORK_CGROUP, CONTROL_CGROUP):
        cgroups.create(part)


def _is_left_over(layout: Layout) -> bool:
    """Whether a cluster was begun here of which nothing runs: the machine was restarted, or all of it was killed.

    What dead processes leave (containers without their shims, mounts, addresses) is no base for another start.
    """
    names = records.remembered(layout, "process")
    return bool(records.remembered(layout, "boot")) and not any(processes.is_running(layout, name) for name in names)


def _load_missing(layout: Layout, archives: dict[str, Path]) -> None:
    for one in nodes(layout):
        have = images.loaded(one)
        for name, archive in archives.items():
            if name not in have:
                images.load(layout, archive, [one])


def _take_down(layout: Layout) -> None:
    """Undo everything in order of dependency; each step does nothing if there is nothing to undo."""
    for name in records.remembered(layout, "cgroup"):
        cgroups.kill(name)
    # Processes that a crash caught between their start and entering their cgroup.
    for name in records.remembered(layout, "process"):
        processes.stop(layout, name, grace=0)
    node.restore_kernel_settings(layout)
    network.remove(layout)
    for name in records.remembered(layout, "cgroup"):
        cgroups.remove(name)
        records.forget(layout, "cgroup", name)
    node.remove_mount_points(layout)
    _check_no_mounts(layout)
    if layout.boot.exists():
        remove_tree(layout.boot)
    if layout.records.exists():
        shutil.rmtree(layout.records)
    if running_state() == layout.state:
        RUNNING_POINTER.unlink()


def _check_no_mounts(layout: Layout) -> None:
    """Nodes have mount namespaces, so the machine sees no mount in there; deleting through one could destroy data."""
    for point in mount_points():
        if layout.boot in point.parents:
            raise ClusterError(
                f"{point} is mounted inside the state folder, not by the cluster; unmount it, then run `down` again"
            )
