"""Arguments that several commands take, each declared once."""

from typing import Annotated, Literal

import typer

from k8s.actions.names import run_names

Output = Annotated[Literal["text", "json"], typer.Option("-o", "--output", help="How to print the answer.")]
Name = Annotated[str, typer.Argument(metavar="RUN", help="Name of a run.", autocompletion=run_names)]
Run = Annotated[
    str, typer.Argument(metavar="RUN", help="Name of a run; or its folder, a path or URI.", autocompletion=run_names)
]
Namespace = Annotated[str, typer.Option("-n", "--namespace", help="Namespace; default: the kubeconfig's.")]
Context = Annotated[str, typer.Option(help="Context of the kubeconfig; default: the current one.")]
PerNode = Annotated[int | None, typer.Option(help="GPUs of each worker; default: the most that a node can give.")]
Timeout = Annotated[float | None, typer.Option(metavar="SECONDS", help="Wait no longer; exit 124. The run goes on.")]
Patience = Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="Wait for the workers no longer.")]
Follow = Annotated[
    bool | None, typer.Option("--follow/--no-follow", help="Show logs until the end; default: on a terminal.")
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the end without showing logs.")]

REMOVE_SECONDS = 600.0
"""How long cancel, resume and delete wait for workers to save and end."""

Data = Annotated[str, typer.Argument(metavar="URI", help="Data set: a path, file://… or gs://….")]
Target = Annotated[str, typer.Argument(metavar="DST", help="Where to store it: a path, file://… or gs://….")]
Made = Annotated[
    Literal["text", "yaml", "json"],
    typer.Option("-o", "--output", help="How to print what was made; with --dry-run, the objects: YAML or JSON."),
]
