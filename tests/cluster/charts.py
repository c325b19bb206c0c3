"""Install JobSet and Kueue with Helm, each from the chart in its own module and with the image we built."""

from __future__ import annotations

from pathlib import Path

from tests.cluster import images, programs
from tests.cluster.commands import run
from tests.cluster.layout import WORK_CGROUP, Layout

_TIMEOUT = "180s"


def install_jobset(layout: Layout) -> None:
    """Install or update JobSet; returns when its controller is available."""
    image = images.image_name(programs.JOBSET).rpartition(":")
    values = {
        "image.repository": image[0],
        "image.tag": image[2],
        "image.pullPolicy": "Never",
        "controller.resources.requests.cpu": "50m",
    }
    _install(layout, programs.JOBSET, "jobset-system", values)


def install_kueue(layout: Layout) -> None:
    """Install or update Kueue; returns when its controller is available."""
    image = images.image_name(programs.KUEUE).rpartition(":")
    manager = "controllerManager.manager"
    values = {
        f"{manager}.image.repository": image[0],
        f"{manager}.image.tag": image[2],
        f"{manager}.image.pullPolicy": "Never",
        f"{manager}.resources.requests.cpu": "50m",
        # The chart's 5 s and 10 s would be most of the start-up time.
        "controllerManager.readinessProbe.initialDelaySeconds": "1",
        "controllerManager.readinessProbe.periodSeconds": "1",
    }
    _install(layout, programs.KUEUE, "kueue-system", values)


def _install(layout: Layout, family: programs.Family, namespace: str, values: dict[str, str]) -> None:
    chart = programs.folder(family) / "chart"
    settings = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
    helm(
        layout,
        *("upgrade", "--install", family.name, str(chart), "--namespace", namespace, "--create-namespace"),
        *("--wait", f"--timeout={_TIMEOUT}", *settings),
    )


def is_installed(layout: Layout, family: programs.Family) -> bool:
    """Whether a release of the family's chart is deployed."""
    return family.name in helm(layout, "list", "--all-namespaces", "--deployed", "--short").split()


def helm(layout: Layout, *words: str) -> str:
    """The output of helm, as the cluster's administrator; it uses the cluster's folders, not the user's."""
    folder = layout.work / "helm"
    env = {name: str(folder / name.lower()) for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")}
    argv: list[str | Path] = [programs.folder(programs.HELM) / "helm", f"--kubeconfig={layout.kubeconfig}", *words]
    return run(argv, env=env, timeout=400, cgroup=WORK_CGROUP)
