"""Arguments shared by several commands, each declared once."""

from typing import Annotated, Literal

import typer

from k8s.actions.names import run_names

Output = Annotated[Literal["text", "json"], typer.Option("-o", "--output", help="Output format.")]
Listing = Annotated[
    Literal["text", "wide", "json", "prometheus"],
    typer.Option("-o", "--output", help="Output format; wide: with ETA, goodput and cost."),
]
Name = Annotated[str, typer.Argument(metavar="RUN", help="Name of a run.", autocompletion=run_names)]
Run = Annotated[
    str, typer.Argument(metavar="RUN", help="Name of a run, or path or URI of its folder.", autocompletion=run_names)
]
Namespace = Annotated[str, typer.Option("-n", "--namespace", help="Namespace; default: the kubeconfig's.")]
Context = Annotated[str, typer.Option(help="Context of the kubeconfig; default: the current one.")]
PerNode = Annotated[int | None, typer.Option(help="GPUs per worker; default: the most that a node can provide.")]
Timeout = Annotated[float | None, typer.Option(metavar="SECONDS", help="Stop waiting and exit 124. The run continues.")]
Patience = Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="Stop waiting for the workers.")]
Follow = Annotated[
    bool | None, typer.Option("--follow/--no-follow", help="Show logs until the run finishes; default: on a terminal.")
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the run finishes, without showing logs.")]

Watch = Annotated[
    bool, typer.Option("--watch", "-w", help="Show it live until Ctrl-C; without a terminal, a line per change.")
]

REMOVE_SECONDS = 600.0
"""How long cancel, resume and delete wait for workers to save and exit."""

Data = Annotated[str, typer.Argument(metavar="URI", help="Data set: a path, file://… or gs://….")]
Target = Annotated[str, typer.Argument(metavar="DST", help="Where to store it: a path, file://… or gs://….")]
Made = Annotated[
    Literal["text", "yaml", "json"],
    typer.Option("-o", "--output", help="Output format; with --dry-run, that of the objects: YAML or JSON."),
]
