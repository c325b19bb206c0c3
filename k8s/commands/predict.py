"""`catdog predict`."""

from typing import Annotated, Literal

import typer

from k8s.actions import local
from k8s.actions.targets import folder_of
from k8s.commands.arguments import Context, Namespace, Run
from trainer.requests import PredictRequest


def command(
    run: Run,
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE…", help="Pictures, folders of them, or patterns in quotes: paths or gs://…."),
    ],
    output: Annotated[
        Literal["text", "json", "jsonl", "csv"], typer.Option("-o", "--output", help="How to print the answers.")
    ] = "text",
    namespace: Namespace = "",
    context: Context = "",
) -> None:
    """Predict class and probability of pictures with a run's exported model.

    A picture that cannot be used has a row that says why; only when none can be used the exit code is 65.

    Example: catdog predict runs/first holiday/ 'gs://pictures/new/*.jpg' -o csv
    """
    request = PredictRequest(folder_of(run, namespace, context), tuple(images), output)
    raise typer.Exit(local.run("predict", request))
