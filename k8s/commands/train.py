"""`catdog train`."""

import dataclasses
import os
from typing import Any

import typer

from k8s.actions import local
from k8s.settings.flags import flags_of, resolve
from k8s.terminal.lines import note
from trainer.config import RunConfig


@flags_of(RunConfig, into="values")
def command(*, values: dict[str, Any]) -> None:
    """Train on this machine, without Kubernetes: one device, several, or [bold]--workers N[/bold] processes.

    Example: catdog train --data ./dogs-vs-cats --run runs/first
    """
    from k8s.actions.targets import folder_of  # here: --help need not spend the CPU, 33 ms for both
    from k8s.settings.platform import default_recipe  # here, as above

    asked = resolve(values, default_recipe(os.environ))
    init_from = folder_of(asked.init_from, "", "") if asked.init_from else ""
    config = dataclasses.replace(asked, run=asked.run or f"runs/{asked.recipe}", init_from=init_from)
    if "recipe" not in values:
        note(f"recipe {config.recipe} (the default; --recipe overrides it)")
    raise typer.Exit(local.run("train", config))
