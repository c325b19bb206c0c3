"""Images without a registry: the small ones of our own builds, and loading an archive onto the nodes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.cluster import oci, programs
from tests.cluster.commands import run
from tests.cluster.errors import ClusterError
from tests.cluster.layout import WORK_CGROUP, Layout, Node, cache_folder, nodes
from tests.cluster.node import PAUSE_IMAGE

_NOT_ROOT = "65532:65532"


def image_name(family: programs.Family) -> str:
    """The local name of a controller's image."""
    return f"localhost/{family.name}:{programs.version(family)}"


def pause_archive() -> Path:
    """The image that keeps a pod's namespaces open, as an OCI archive in the cache."""
    return _scratch_archive(programs.PAUSE, PAUSE_IMAGE, "/pause", "pause")


def controller_archive(family: programs.Family) -> Path:
    """The image of JobSet's or Kueue's controller (/manager, as its chart expects), as an OCI archive in the cache."""
    return _scratch_archive(family, image_name(family), "/manager", family.name)


def _scratch_archive(family: programs.Family, name: str, path: str, program: str) -> Path:
    built = programs.build(family)
    archive = cache_folder() / "images" / f"{built.name}.tar"
    if not archive.exists():
        oci.write_scratch_image(archive, name, {path: built / program}, [path], _NOT_ROOT)
    return archive


def load(layout: Layout, archive: Path, onto: Sequence[Node] | None = None) -> None:
    """Import an OCI (or docker-save) archive onto the nodes, both by default, at the same time."""
    if not archive.is_file():
        raise ClusterError(f"no image archive {archive}")
    targets = list(onto or nodes(layout))
    with ThreadPoolExecutor(len(targets)) as pool:
        list(pool.map(lambda node: _import(node, archive), targets))


def _import(node: Node, archive: Path) -> None:
    run(_ctr(node, "images", "import", str(archive)), timeout=600, cgroup=WORK_CGROUP)


def loaded(node: Node) -> set[str]:
    """The names of the images on a node."""
    return set(run(_ctr(node, "images", "ls", "-q")).split())


def kill_container(node: Node, container_id: str, signal_name: str) -> None:
    """Send a signal to process 1 of a container; `container_id` as in a pod's status (containerd://…)."""
    plain = re.sub(r"^containerd://", "", container_id)
    run(_ctr(node, "tasks", "kill", "--signal", signal_name, plain))


def _ctr(node: Node, *words: str) -> list[str]:
    program = programs.folder(programs.CONTAINERD) / "ctr"
    return [str(program), "--address", str(node.containerd_socket), "--namespace", "k8s.io", *words]
