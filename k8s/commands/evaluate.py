"""`catdog evaluate`."""

from typing import Annotated

import typer

from k8s.actions import local
from k8s.actions.targets import folder_of
from k8s.commands.arguments import Context, Namespace, Output, Run
from trainer.requests import EvaluateRequest


def command(
    run: Run,
    data: Annotated[str, typer.Option(help="A folder per class, or a split data set; its test split is used.")],
    output: Output = "text",
    namespace: Namespace = "",
    context: Context = "",
) -> None:
    """Compute accuracy, loss and confusion of a run's exported model.

    Example: catdog evaluate runs/first --data ./dogs-vs-cats -o json
    """
    raise typer.Exit(local.run("evaluate", EvaluateRequest(folder_of(run, namespace, context), data, output)))
