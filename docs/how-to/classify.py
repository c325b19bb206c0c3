"""Classify pictures by a model that `catdog export --format onnx` wrote: python classify.py MODEL_FOLDER PICTURE…"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def pixels(picture: str, size: int, resize: str = "squash", antialias: bool = False, pixel_path: int = 2) -> np.ndarray:
    """As catdog's own: RGB, made square as the run did, bilinear, rounded; float32 [size, size, 3], 0 to 255."""
    with Image.open(picture) as opened:
        upright = ImageOps.exif_transpose(opened) if pixel_path > 1 else opened
        rgb = np.asarray(upright.convert("RGB"), np.float32)
    (height, width), sides = rgb.shape[:2], (size, size)
    if resize == "crop":  # the largest square in the middle
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        rgb = rgb[top : top + side, left : left + side]
    elif resize == "pad":  # the whole picture in the middle of grey
        longer = max(height, width)
        sides = tuple(max((2 * size * side + longer) // (2 * longer), 1) for side in (height, width))
    elif resize != "squash":
        raise ValueError(f"{resize!r} is not known to this script")
    square = np.full((size, size, 3), 127, np.float32)
    top, left = (size - sides[0]) // 2, (size - sides[1]) // 2
    square[top : top + sides[0], left : left + sides[1]] = np.round((smoothed if antialias else scaled)(rgb, sides))
    return square


def scaled(rgb: np.ndarray, sides: tuple[int, int]) -> np.ndarray:
    """Bilinear without antialiasing, which Pillow does not have."""
    for axis in (1, 0):
        length, size = rgb.shape[axis], sides[axis]
        at = (np.arange(size, dtype=np.float32) + 0.5) * np.float32(length / size) - 0.5
        first, second = (rgb.take((np.floor(at) + i).clip(0, length - 1).astype(int), axis) for i in (0, 1))
        share = (at - np.floor(at)).reshape((-1, 1, 1) if axis == 0 else (-1, 1))
        rgb = first + (second - first) * share
    return rgb


def smoothed(rgb: np.ndarray, sides: tuple[int, int]) -> np.ndarray:
    """Pillow's own bilinear, in floats for each colour, since in bytes it also rounds between its two passes."""
    colours = (Image.fromarray(rgb[..., i]).resize(sides[::-1], Image.Resampling.BILINEAR) for i in range(3))
    return np.stack([np.asarray(colour) for colour in colours], axis=-1)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    labels, told = json.loads((folder / "labels.json").read_text()), folder / "pixels.json"
    # absent: exported before there was a choice
    taken = json.loads(told.read_text()) if told.exists() else {"size": session.get_inputs()[0].shape[1]}
    for name in sys.argv[2:]:
        (probabilities,) = session.run(["probabilities"], {"pixels": pixels(name, **taken)[np.newaxis]})[0]
        print(f"{name}: {labels[probabilities.argmax()]} {probabilities.max():.1%}")
