"""The command line `catdog`; `catdog-submit` is `catdog submit`. Thin: it reads flags, calls, prints."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from k8s import cluster_cli
from k8s.actions import local
from k8s.cluster_cli import Context, Namespace, Run, folder_of
from k8s.data_cli import data_app
from k8s.settings.options import resolve, with_run_options
from trainer.config import EvaluateRequest, PredictRequest, ReportRequest
from trainer.exits import ExitError

app = typer.Typer(
    name="catdog",
    help="Trains image classifiers: here, or on Kubernetes.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(data_app, name="data")

Output = Annotated[Literal["text", "json"], typer.Option("-o", "--output", help="How to print the answer.")]


def train(*, values: dict[str, Any]) -> None:
    """Train here, without Kubernetes: one device, several, or [bold]--workers N[/bold] processes.

    Example: catdog train --recipe augmented --data ./dogs-vs-cats --run runs/first
    """
    config = resolve(values)
    init_from = folder_of(config.init_from, "", "") if config.init_from else ""
    config = dataclasses.replace(config, run=config.run or f"runs/{config.recipe}", init_from=init_from)
    raise typer.Exit(local.run("train", config))


app.command()(with_run_options(train))


@app.command()
def evaluate(
    run: Run,
    data: Annotated[str, typer.Option(help="A folder per class, or a split data set, whose test split is taken.")],
    output: Output = "text",
    namespace: Namespace = "",
    context: Context = "",
) -> None:
    """Accuracy, loss and confusion of a run's exported model.

    Example: catdog evaluate runs/first --data ./dogs-vs-cats -o json
    """
    raise typer.Exit(local.run("evaluate", EvaluateRequest(folder_of(run, namespace, context), data, output)))


@app.command()
def predict(
    run: Run,
    images: Annotated[list[str], typer.Argument(metavar="IMAGE…", help="JPEG or PNG pictures: paths or gs://….")],
    output: Output = "text",
    namespace: Namespace = "",
    context: Context = "",
) -> None:
    """Class and probability of pictures, by a run's exported model.

    Example: catdog predict runs/first cat.jpg dog.png
    """
    request = PredictRequest(folder_of(run, namespace, context), tuple(images), output)
    raise typer.Exit(local.run("predict", request))


@app.command()
def report(run: Run, namespace: Namespace = "", context: Context = "") -> None:
    """Write the HTML report of a run, whatever state it is in, and open it where there is a browser.

    Example: catdog report runs/first
    """
    folder = folder_of(run, namespace, context)
    code = local.run("report", ReportRequest(folder))
    if code == 0 and sys.stdout.isatty() and (page := Path(folder, "report.html")).exists():
        typer.launch(str(page))
    raise typer.Exit(code)


cluster_cli.mount(app)


def main() -> None:
    """The console script `catdog`."""
    _run(app)


def submit_main() -> None:
    """The console script `catdog-submit`: `catdog submit`."""
    alone = typer.Typer(rich_markup_mode="rich", pretty_exceptions_enable=False, add_completion=False)
    alone.command("catdog-submit")(cluster_cli.submit_command())
    _run(alone)


def _run(commands: typer.Typer) -> None:
    try:
        commands()
    except ExitError as error:
        print(f"catdog: {error.message}", file=sys.stderr)
        sys.exit(int(error.code))
