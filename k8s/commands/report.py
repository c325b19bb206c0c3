"""`catdog report`."""

import sys
from pathlib import Path

import typer

from k8s.actions import local
from k8s.actions.targets import folder_of
from k8s.commands.arguments import Context, Namespace, Run
from trainer.contract import REPORT
from trainer.requests import ReportRequest


def command(run: Run, namespace: Namespace = "", context: Context = "") -> None:
    """Write the HTML report of a run in any state, and open it if there is a browser.

    Example: catdog report runs/first
    """
    folder = folder_of(run, namespace, context)
    code = local.run("report", ReportRequest(folder))
    if code == 0 and sys.stdout.isatty() and (page := Path(folder, REPORT)).exists():
        typer.launch(str(page))
    raise typer.Exit(code)
