"""`catdog data import`."""

from typing import Annotated, Any

import typer

from k8s.actions import local
from k8s.commands.arguments import Output, Target
from k8s.settings.flags import flags_of
from trainer.requests import DataImportRequest


@flags_of(DataImportRequest, into="values")
def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC", help="Kaggle's dogs-vs-cats.zip or its train.zip, a folder per class, or an existing split."
        ),
    ],
    target: Target,
    output: Output = "text",
    *,
    values: dict[str, Any],
) -> None:
    """Split pictures into train, valid and test, check every one, and store them with an index.

    Can be interrupted and repeated: what is already stored is skipped.

    Example: catdog data import dogs-vs-cats.zip gs://bucket/dogs-vs-cats
    """
    raise typer.Exit(local.run("data-import", DataImportRequest(source, target, **values, output=output)))
