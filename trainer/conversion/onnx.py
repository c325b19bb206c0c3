"""ONNX: Keras converts by tf2onnx, the runtime is onnxruntime."""

import warnings
from pathlib import Path

import numpy as np
import onnxruntime

from trainer.tensors import Array, Model


def convert(model: Model, path: Path) -> None:
    """Write the network: `pixels` float32 [n, size, size, 3] → `probabilities` float32 [n, classes]."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Keras looks whether NumPy still has what tf2onnx uses
        model.export(path, format="onnx", verbose=False)


def run(path: Path, pixels: Array) -> Array:
    """The probabilities that the runtime gives."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(["probabilities"], {"pixels": pixels})
    return np.asarray(probabilities, np.float32)
