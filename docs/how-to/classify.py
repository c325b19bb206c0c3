"""Classify pictures by a model that `catdog export --format onnx` wrote: python classify.py MODEL_FOLDER PICTURE…"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def pixels(picture: str, size: int) -> np.ndarray:
    """As catdog's own: upright, RGB, bilinear without antialiasing, rounded; float32 [size, size, 3], 0 to 255."""
    with Image.open(picture) as opened:
        rgb = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"), np.float32)
    for axis in (1, 0):
        length = rgb.shape[axis]
        at = (np.arange(size, dtype=np.float32) + 0.5) * np.float32(length / size) - 0.5
        first, second = (rgb.take((np.floor(at) + i).clip(0, length - 1).astype(int), axis) for i in (0, 1))
        share = (at - np.floor(at)).reshape((-1, 1, 1) if axis == 0 else (-1, 1))
        rgb = first + (second - first) * share
    return np.round(rgb)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    labels, side = json.loads((folder / "labels.json").read_text()), session.get_inputs()[0].shape[1]
    for name in sys.argv[2:]:
        (probabilities,) = session.run(["probabilities"], {"pixels": pixels(name, side)[np.newaxis]})[0]
        print(f"{name}: {labels[probabilities.argmax()]} {probabilities.max():.1%}")
