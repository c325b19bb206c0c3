"""`catdog submit`, which is also the console script `catdog-submit`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from k8s.actions.installation import offline_platform, open_installation
from k8s.actions.submit import Asked, prepare, prepare_in
from k8s.commands.arguments import Context, Follow, Made, Namespace, PerNode, Timeout, Wait
from k8s.exits import usage
from k8s.explain.cost import prices_of
from k8s.labels import CONFIG_MAP
from k8s.manifest.spec import Served
from k8s.settings.flags import flags_of
from k8s.settings.platform import Platform
from k8s.terminal.launch import Output, Stay, launch, print_objects
from k8s.terminal.lines import note
from trainer.config import RunConfig


@flags_of(RunConfig, into="values")
@flags_of(Platform, into="settings")
def command(
    *,
    gpus: Annotated[int, typer.Option(help="GPUs of all workers together; 0: CPU workers.", show_default=False)],
    gpus_per_node: PerNode = None,
    name: Annotated[str, typer.Option(help="Name of the run; default: recipe, date and time.")] = "",
    follow: Follow = None,
    wait: Wait = False,
    timeout: Timeout = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be created, without creating it.")
    ] = False,
    platform: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=f"With --dry-run: a file with the ConfigMap {CONFIG_MAP}; needs no cluster."),
    ] = None,
    output: Made = "text",
    namespace: Namespace = "",
    context: Context = "",
    settings: dict[str, Any],
    values: dict[str, Any],
) -> None:
    """Train on Kubernetes.

    Example: catdog submit --gpus 4 --data gs://pictures/dogs-vs-cats
    """
    workers = values.pop("workers", None)
    asked = Asked(values, gpus, workers, gpus_per_node, name)
    if platform is not None:
        if not dry_run:
            raise usage("--platform FILE requires --dry-run: a run is created with the platform of its namespace")
        _dry_run_offline(asked, platform, settings, output)
        return
    site = open_installation(context, namespace, settings)
    prepared = prepare_in(site, asked, datetime.now(UTC), note)
    if dry_run:
        print_objects(prepared, output)
        return
    raise typer.Exit(launch(site.cluster, prepared, Stay(follow, wait, timeout, output, prices_of(site.platform))))


def _dry_run_offline(asked: Asked, file: Path, settings: dict[str, Any], output: Output) -> None:
    """Print the objects for the platform in a file, without a cluster."""
    platform = offline_platform(file, settings)
    served = Served(jobset=True, kueue=bool(platform.queue))
    prepared = prepare(asked, platform, served, lambda selector, tolerations: (None, []), datetime.now(UTC))
    note("no cluster was contacted: assuming that JobSet is installed; --shape job shows the objects without it")
    for line in prepared.notes:
        note(line)
    print_objects(prepared, output)
