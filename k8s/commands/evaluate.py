"""`catdog evaluate`."""

from typing import Annotated, Any

import typer

from k8s.actions import local
from k8s.actions.targets import folder_of
from k8s.commands.arguments import Context, Namespace, Output, Run
from k8s.settings.flags import flags_of
from trainer.requests import EvaluateRequest


@flags_of(EvaluateRequest, into="values")
def command(
    run: Run,
    data: Annotated[
        str,
        typer.Option(
            help="A folder per class, or a split data set, its test split is used, or else its validation split."
        ),
    ],
    output: Output = "text",
    namespace: Namespace = "",
    context: Context = "",
    *,
    values: dict[str, Any],
) -> None:
    """Compute accuracy, loss and confusion of a run's exported model.

    Example: catdog evaluate runs/first --data ./dogs-vs-cats -o json
    """
    request = EvaluateRequest(folder_of(run, namespace, context), data, output, **values)
    raise typer.Exit(local.run("evaluate", request))
