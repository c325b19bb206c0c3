"""`catdog data check`."""

import typer

from k8s.actions import local
from k8s.commands.arguments import Data, Output
from trainer.requests import DataCheckRequest


def command(data: Data, output: Output = "text") -> None:
    """Read every picture of a data set: counts, balance, unreadable, damaged, duplicate pictures, other files.

    Exits with 65 if the data set is not fit for training.

    Example: catdog data check gs://bucket/dogs-vs-cats
    """
    raise typer.Exit(local.run("data-check", DataCheckRequest(data, output)))
