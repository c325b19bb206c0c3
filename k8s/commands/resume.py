"""`catdog resume`."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from k8s.actions import remove, tops
from k8s.actions.installation import open_installation
from k8s.actions.submit import again, check_replacement, prepare_in
from k8s.actions.targets import target
from k8s.commands.arguments import REMOVE_SECONDS, Context, Follow, Made, Namespace, PerNode, Run, Timeout, Wait
from k8s.exits import usage
from k8s.explain.command import catdog
from k8s.explain.cost import prices_of
from k8s.explain.tops import taken
from k8s.settings.flags import flags_of
from k8s.settings.platform import Platform
from k8s.terminal.launch import Stay, launch
from k8s.terminal.lines import note
from trainer.config import RunConfig

LEFTOVER_SECONDS = 30.0
"""How long the Service of the run's former Job may take to follow it."""


@flags_of(RunConfig, into="values")
@flags_of(Platform, into="settings")
def command(
    run: Run,
    *,
    gpus: Annotated[int | None, typer.Option(help="GPUs of all workers; default: as before.")] = None,
    gpus_per_node: PerNode = None,
    follow: Follow = None,
    wait: Wait = False,
    timeout: Timeout = None,
    output: Made = "text",
    namespace: Namespace = "",
    context: Context = "",
    settings: dict[str, Any],
    values: dict[str, Any],
) -> None:
    """Resume a run from its last checkpoint, on any number of GPUs.

    Example: catdog resume baseline-20261123-221301 --gpus 2
    """
    site = open_installation(context, namespace, settings)
    meant = target(run, site.platform.runs)
    name = meant.name or meant.uri.rstrip("/").rpartition("/")[2]
    found = tops.find(site.cluster, name)
    if found.live:
        raise usage(f"{name} has not finished; {catdog(site.cluster.typed, 'cancel', name)} first")
    for one in (*found.claims, *found.foreign):
        raise usage(taken(name, one, site.cluster.typed))
    asked = again(name, meant.uri, found.top, gpus, gpus_per_node, values)
    prepared = prepare_in(site, asked, datetime.now(UTC), note)
    if found.ours:
        check_replacement(site.cluster, prepared)
    # The run may have another shape now: all that it was must be gone before the new objects are created.
    remove.remove(site.cluster, found.ours, note, REMOVE_SECONDS)
    raise typer.Exit(
        launch(site.cluster, prepared, Stay(follow, wait, timeout, output, prices_of(site.platform)), LEFTOVER_SECONDS)
    )
