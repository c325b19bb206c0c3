"""The exported model: rebuilt without a strategy, in float32, with encoded pictures as input."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

from trainer.config import RunConfig
from trainer.contract import KERAS_MODEL, MODEL, MODEL_CARD, SAVED_MODEL
from trainer.data.decode import decode
from trainer.folder import files
from trainer.models.registry import build_for_export
from trainer.storage.base import Storage
from trainer.tensors import Arrays, Model, Tensor, Tensors

Signature = Callable[..., Tensors]  # takes tensors by name, returns `probabilities` and `label`


class Classifier(tf.Module):
    """The network after the pixel path of training, with the signatures `serve_bytes` and `serve_pixels`."""

    def __init__(self, model: Model, image_size: int, labels: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.image_size = image_size
        self.labels = tf.constant(list(labels))

    def serve_bytes(self, images: Tensor) -> Tensors:
        """Encoded JPEG or PNG pictures, string [n] → probabilities float32 [n, classes], label string [n]."""
        spec = tf.TensorSpec([self.image_size, self.image_size, 3], tf.uint8)
        return self.serve_pixels(tf.map_fn(lambda one: decode(one, self.image_size), images, fn_output_signature=spec))

    def serve_pixels(self, pixels: Tensor) -> Tensors:
        """Decoded pictures, uint8 [n, size, size, 3] → as serve_bytes."""
        probabilities = self.model(tf.cast(pixels, tf.float32), training=False)
        return {"probabilities": probabilities, "label": tf.gather(self.labels, tf.argmax(probabilities, axis=-1))}

    def signatures(self) -> dict[str, Signature]:
        """Both signatures, traced for a SavedModel."""
        size = self.image_size
        encoded = tf.TensorSpec([None], tf.string, "images")
        decoded = tf.TensorSpec([None, size, size, 3], tf.uint8, "pixels")
        return {
            "serve_bytes": tf.function(self.serve_bytes, autograph=False).get_concrete_function(encoded),
            "serve_pixels": tf.function(self.serve_pixels, autograph=False).get_concrete_function(decoded),
        }


def rebuild(config: RunConfig, labels: Sequence[str], weights: Arrays) -> Model:
    """The network with these weights (by layer/variable), outside any strategy: float32 pixels → probabilities.

    Raises:
        ValueError: the weights belong to another network.
    """
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_global_policy("float32")
    try:
        model = build_for_export(config.model, config.image_size, len(labels), config.dropout)
    finally:
        keras.mixed_precision.set_global_policy(before)
    named = {f"{layer.name}/{v.name}": v for layer in model.layers for v in layer.trainable_variables}
    if set(named) != set(weights):
        raise ValueError(
            f"weights belong to another network: {sorted(set(named) ^ set(weights))[0]!r} is on one side only"
        )
    for name, variable in named.items():
        variable.assign(weights[name])
    return model


def export(storage: Storage, model: Model, config: RunConfig, labels: Sequence[str], card: str) -> None:
    """Write model/ of a run folder: model.keras, saved_model/, labels.json, MODEL_CARD.md."""
    with tempfile.TemporaryDirectory(prefix="catdog-export-") as name:
        folder = Path(name)
        (folder / MODEL).mkdir()
        model.save(folder / KERAS_MODEL)
        classifier = Classifier(model, config.image_size, labels)
        tf.saved_model.save(classifier, str(folder / SAVED_MODEL), signatures=classifier.signatures())
        (folder / MODEL_CARD).write_text(card)
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            storage.write(path.relative_to(folder).as_posix(), path)
    files.write_labels(storage, labels)  # last: a model with labels is complete


@dataclass(frozen=True)
class Exported:
    """A loaded model/: its classes, the side of its input in pixels, and its signatures."""

    labels: tuple[str, ...]
    image_size: int
    serve_bytes: Signature
    serve_pixels: Signature
    loaded: tf.Module  # owns the variables that the signatures read


def load_exported(storage: Storage) -> Exported:
    """Load the exported model of a run folder that catdog wrote.

    Raises:
        ExitError: 66 when nothing was exported there.
    """
    labels = files.read_labels(storage)
    with tempfile.TemporaryDirectory(prefix="catdog-model-") as name:
        folder = Path(name)
        for stat in storage.list(f"{SAVED_MODEL}/"):
            path = folder / stat.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(storage.read(stat.name))
        loaded = tf.saved_model.load(str(folder / SAVED_MODEL))
    pixels = loaded.signatures["serve_pixels"]
    size = pixels.structured_input_signature[1]["pixels"].shape[1]
    return Exported(labels, size, loaded.signatures["serve_bytes"], pixels, loaded)
