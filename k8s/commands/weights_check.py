"""`catdog weights check`."""

from typing import Annotated

import typer

from k8s.actions import local
from trainer.requests import WeightsCheckRequest


def command(
    weights: Annotated[str, typer.Argument(metavar="URI", help="Weights: a path, file://… or gs://….")],
) -> None:
    """Verify stored weights: hash, and every tensor's name and shape.

    Exits with 65 if they are damaged, altered or not those of their architecture.

    Example: catdog weights check gs://bucket/weights/efficientnet-lite0
    """
    raise typer.Exit(local.run("weights-check", WeightsCheckRequest(weights)))
