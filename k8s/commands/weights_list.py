"""`catdog weights list`."""

import typer

from k8s.actions import local
from k8s.commands.arguments import Output
from trainer.requests import WeightsListRequest


def command(output: Output = "text") -> None:
    """List the pre-trained networks and where their weights come from.

    Example: catdog weights list
    """
    raise typer.Exit(local.run("weights-list", WeightsListRequest(output)))
