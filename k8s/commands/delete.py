"""`catdog delete`."""

from typing import Annotated

import typer

from k8s.actions import remove
from k8s.actions.installation import open_place
from k8s.actions.targets import target
from k8s.commands.arguments import REMOVE_SECONDS, Context, Name, Namespace, Patience
from k8s.exits import Cli, CliError
from k8s.terminal.lines import note, say


def command(
    run: Name,
    folder: Annotated[
        bool, typer.Option("--folder", help="Delete the run folder too: checkpoints, model, report.")
    ] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask for confirmation.")] = False,
    timeout: Patience = REMOVE_SECONDS,
    namespace: Namespace = "",
    context: Context = "",
) -> None:
    """Delete a run's objects from the cluster; its folder stays, unless --folder.

    Example: catdog delete baseline-20261123-221301
    """
    place = open_place(context, namespace)
    if place.trouble:
        note(place.trouble)
    meant = target(run, place.runs)
    if folder and not yes and not typer.confirm(f"Permanently delete the run folder of {run}?"):
        raise CliError(Cli.USAGE, "nothing was deleted")
    remove.delete(place.cluster, meant, say, folder=folder, timeout=timeout)
