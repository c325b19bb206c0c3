"""`catdog data check`."""

from typing import Any

import typer

from k8s.actions import local
from k8s.commands.arguments import Data, Output
from k8s.settings.flags import flags_of
from trainer.requests import DataCheckRequest


@flags_of(DataCheckRequest, into="values")
def command(data: Data, output: Output = "text", *, values: dict[str, Any]) -> None:
    """Read every picture of a data set: counts, balance, unreadable, damaged, duplicate pictures, other files.

    Exits with 65 if the data set is not fit for training.

    Example: catdog data check gs://bucket/dogs-vs-cats
    """
    raise typer.Exit(local.run("data-check", DataCheckRequest(data, output, **values)))
