"""`catdog export`."""

from importlib.util import find_spec
from typing import Annotated, Literal

import typer

from k8s.actions import local
from k8s.actions.targets import folder_of
from k8s.commands.arguments import Context, Namespace, Run
from k8s.exits import missing
from trainer.requests import ExportRequest

PACKAGES = {"litert": ("ai_edge_litert",), "onnx": ("tf2onnx", "onnxruntime")}
"""What a format needs: the extra of the same name."""


def command(
    run: Run,
    form: Annotated[Literal["litert", "onnx"], typer.Option("--format", help="What to write.", show_default=False)],
    namespace: Namespace = "",
    context: Context = "",
) -> None:
    """Write a run's network as LiteRT or ONNX, tried in its runtime first.

    It goes to model/model.tflite or model/model.onnx in the run folder, and takes float32 pixels, 0 to 255, [n, size,
    size, 3]: docs/how-to/mobile-and-onnx.md has a script that makes them from pictures.

    Example: catdog export runs/first --format onnx
    """
    if any(find_spec(package) is None for package in PACKAGES[form]):
        raise missing(f"--format {form} needs more packages: pip install 'catdog-trainer[cpu,{form}]'")
    raise typer.Exit(local.run("export", ExportRequest(folder_of(run, namespace, context), form)))
