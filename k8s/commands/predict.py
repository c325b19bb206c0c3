"""`catdog predict`."""

from typing import Annotated

import typer

from k8s.actions import local
from k8s.actions.targets import folder_of
from k8s.commands.arguments import Context, Namespace, Output, Run
from trainer.requests import PredictRequest


def command(
    run: Run,
    images: Annotated[list[str], typer.Argument(metavar="IMAGE…", help="JPEG or PNG pictures: paths or gs://….")],
    output: Output = "text",
    namespace: Namespace = "",
    context: Context = "",
) -> None:
    """Predict class and probability of pictures with a run's exported model.

    Example: catdog predict runs/first cat.jpg dog.png
    """
    request = PredictRequest(folder_of(run, namespace, context), tuple(images), output)
    raise typer.Exit(local.run("predict", request))
