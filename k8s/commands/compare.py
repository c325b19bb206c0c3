"""`catdog compare`."""

from typing import Annotated

import typer

from k8s.actions import local
from k8s.actions.names import run_names
from k8s.actions.targets import folder_of
from k8s.commands.arguments import Context, Namespace, Output
from k8s.exits import Cli, CliError
from trainer.requests import CompareRequest


def command(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN…",
            help="Two or more: names of runs, or paths or URIs of their folders.",
            autocompletion=run_names,
        ),
    ],
    everything: Annotated[bool, typer.Option("--all", help="Show also what is the same, and every epoch.")] = False,
    html: Annotated[
        str, typer.Option(metavar="FILE", help="Write a page with the curves, which needs no other file.")
    ] = "",
    output: Output = "text",
    namespace: Namespace = "",
    context: Context = "",
) -> None:
    """Show what differs between runs beside what came out of them; also as one HTML page.

    The runs may be in any state and of different versions; what one does not have is a dash.

    Example: catdog compare runs/first runs/second --html comparison.html
    """
    if len(runs) < 2:
        raise CliError(Cli.USAGE, f"compare needs two runs or more, to compare {runs[0]} with")
    folders = tuple(folder_of(run, namespace, context) for run in runs)
    raise typer.Exit(local.run("compare", CompareRequest(folders, output, everything, html)))
