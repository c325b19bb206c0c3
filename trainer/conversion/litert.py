"""LiteRT (TensorFlow Lite): the converter is TensorFlow's own, the runtime is ai-edge-litert."""

from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from trainer.tensors import Array, Model


def convert(model: Model, path: Path) -> None:
    """Write the network: `pixels` float32 [n, size, size, 3] → `probabilities` float32 [n, classes]."""
    model.export(path, format="litert", verbose=False)


def run(path: Path, pixels: Array) -> Array:
    """The probabilities that the runtime gives."""
    interpreter = Interpreter(str(path))
    (taken,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(taken["index"], pixels.shape)
    interpreter.allocate_tensors()
    answer = interpreter.get_signature_runner()(pixels=pixels)
    return np.asarray(answer["probabilities"], np.float32)
