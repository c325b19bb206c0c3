"""`python -m trainer export`: a finished run's network in a form that other runtimes read.

Decoding and resizing are not in it: pixels.json says how the run does them, docs/how-to/mobile-and-onnx.md shows it in
Pillow.
"""

import importlib
from pathlib import Path
from typing import Any

from trainer.config import RunConfig
from trainer.contract import CONFIG, CONVERTED, PIXELS
from trainer.exits import Exit, ExitError
from trainer.folder import files
from trainer.process import quiet, temporary
from trainer.process.output import say
from trainer.requests import ExportRequest
from trainer.storage.opening import open_storage

TRIED = 8
"""Rows of random pixels on which a converted network is compared with ours."""

TOLERANCE = 1e-3
"""The largest difference of a probability."""


def export(request: ExportRequest) -> int:
    """Convert the network of the run's best weights, try it in its runtime, and store it in model/.

    Raises:
        ExitError: 64 for another format; 66 when it is not a finished run; 70 when the runtime's probabilities differ
            from ours, and then nothing is stored; 74 when the weights cannot be read.
    """
    if request.format not in CONVERTED:
        raise ExitError(
            Exit.BAD_OPTION, f"--format is {request.format!r}; it must be one of {', '.join(sorted(CONVERTED))}"
        )
    run = open_storage(request.run)
    record = files.read_record(run)
    if record is None:
        raise ExitError(Exit.INPUT_MISSING, f"{request.run}: not a run folder (no {CONFIG})")
    labels = files.read_labels(run)
    with quiet.unless_it_fails():
        import keras  # here: it takes seconds, and bad input is known by now; it imports TensorFlow
        import numpy as np  # here, as above

        from trainer.training.export import best_network, recorded_temperature

        form = importlib.import_module(f"trainer.conversion.{request.format}")  # only this one need be installed
        network = best_network(run, record.config, labels, recorded_temperature(run))
        # A dictionary names the output in both forms.
        named = keras.Model(network.inputs[0], {"probabilities": network.outputs[0]})
        size = record.config.image_size
        pixels = np.random.default_rng(0).uniform(0, 255, (TRIED, size, size, 3)).astype(np.float32)
        ours = named(pixels, training=False)["probabilities"].numpy()
        with temporary.folder("catdog-export-") as folder, temporary.explained("it cannot be converted there"):
            path = folder / Path(CONVERTED[request.format]).name
            form.convert(named, path)
            difference = float(np.abs(form.run(path, pixels) - ours).max())
            if not difference <= TOLERANCE:
                raise ExitError(
                    Exit.BUG,
                    f"the converted network gives probabilities that differ from this one's by {difference:.2g}, "
                    f"more than {TOLERANCE}; nothing was stored",
                )
            files.write_json(run, PIXELS, _pixels(record.config))  # first: with a network there is what it takes
            run.write(CONVERTED[request.format], path)
    tried = f"probabilities differ from the run's by {difference:.1e} at most, on {TRIED} rows of random pixels"
    say([f"{run.uri}/{CONVERTED[request.format]}", tried])
    return Exit.DONE


def _pixels(config: RunConfig) -> dict[str, Any]:
    """How the run came from a picture's bytes to its pixels."""
    return {
        "pixel_path": config.pixel_path,
        "size": config.image_size,
        "resize": config.resize,
        "antialias": config.antialias,
    }
