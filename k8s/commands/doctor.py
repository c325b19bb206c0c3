"""`catdog doctor`."""

import time
from pathlib import Path
from typing import Annotated

import typer

from k8s.actions import observe
from k8s.actions.names import run_names
from k8s.api.connection import connect
from k8s.commands.arguments import Context, Namespace, Output
from k8s.exits import Cli, usage
from k8s.terminal import doctor, show
from k8s.terminal.lines import say


def command(
    run: Annotated[
        str, typer.Argument(metavar="[RUN]", help="Also collect the data of this run.", autocompletion=run_names)
    ] = "",
    bundle: Annotated[Path | None, typer.Option(help="Where to write the bundle (.tar.gz).")] = None,
    output: Output = "text",
    namespace: Namespace = "",
    context: Context = "",
) -> None:
    """Check cluster, permissions and chart, and write a bundle for a bug report, without secrets.

    Example: catdog doctor baseline-20261123-221301
    """
    cluster = connect(context, namespace)
    checks = doctor.check(cluster)
    seen = observe.observe(cluster, run, deep=True) if run else None
    path = bundle or Path(f"catdog-doctor{f'-{run}' if run else ''}-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    uri = observe.run_uri_of(seen.top) if seen else ""
    try:
        doctor.write_bundle(path, doctor.gather(cluster, checks, seen, uri))
    except OSError as error:
        raise usage(f"{path}: {error.strerror}") from error
    if output == "json":
        say(show.as_json({"checks": [one.__dict__ for one in checks], "bundle": str(path)}))
    else:
        say(doctor.as_lines(checks))
        say(f"wrote {path}; review it before you share it")
    if any(one.ok is False for one in checks):
        raise typer.Exit(Cli.PREREQUISITE)
