"""`catdog data`: import, check and pack. Thin: it reads flags and starts the trainer's verbs."""

from typing import Annotated, Literal

import typer

from k8s.actions import local
from trainer.config import DataCheckRequest, DataImportRequest, DataPackRequest

data_app = typer.Typer(
    help="Prepares data sets: import, check, pack.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

Output = Annotated[Literal["text", "json"], typer.Option("-o", "--output", help="How to print the answer.")]
Data = Annotated[str, typer.Argument(metavar="URI", help="Data set: a path, file://… or gs://….")]
Target = Annotated[str, typer.Argument(metavar="DST", help="Where to store it: a path, file://… or gs://….")]


def _part(name: str, default: int) -> typer.models.OptionInfo:
    text = f"Pictures per class for {name}, or a share of them such as 0.2. [dim](default {default})[/dim]"
    return typer.Option(f"--{name}", metavar="N", help=text, show_default=False)


@data_app.command("import")
def import_(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC", help="Kaggle's dogs-vs-cats.zip or its train.zip, a folder per class, or an existing split."
        ),
    ],
    target: Target,
    train: Annotated[str, _part("train", 1000)] = "",
    valid: Annotated[str, _part("valid", 500)] = "",
    test: Annotated[str, _part("test", 500)] = "",
    order: Annotated[
        Literal["name", "random"], typer.Option(help="Which pictures come first; name: cat.9 before cat.10.")
    ] = "name",
    seed: Annotated[int, typer.Option(help="Of --order random.")] = 0,
    output: Output = "text",
) -> None:
    """Split pictures into train, valid and test, check every one, and store them with an index.

    May be interrupted and repeated: what is stored already is not stored again.

    Example: catdog data import dogs-vs-cats.zip gs://bucket/dogs-vs-cats
    """
    request = DataImportRequest(source, target, train, valid, test, order, seed, output)
    raise typer.Exit(local.run("data-import", request))


@data_app.command()
def check(data: Data, output: Output = "text") -> None:
    """Read every picture of a data set: counts, balance, unreadable, damaged and duplicate pictures, odd files.

    Exits with 65 when it should not be trained on.

    Example: catdog data check gs://bucket/dogs-vs-cats
    """
    raise typer.Exit(local.run("data-check", DataCheckRequest(data, output)))


@data_app.command()
def pack(
    data: Data,
    target: Target,
    shard_size: Annotated[int, typer.Option(min=1, metavar="MIB", help="Size of a shard.")] = 64,
    output: Output = "text",
) -> None:
    """Write a data set as a few large shards (TFRecord), which train as the loose pictures do, and read faster.

    Example: catdog data pack gs://bucket/dogs-vs-cats gs://bucket/dogs-vs-cats-packed
    """
    raise typer.Exit(local.run("data-pack", DataPackRequest(data, target, shard_size, output)))
