"""The exported model: rebuilt without a strategy, in float32, with encoded pictures as input."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from trainer.config import SQUASH, RunConfig
from trainer.contract import BEST, KERAS_MODEL, MODEL, MODEL_CARD, SAVED_MODEL, SERVED_VERSION, SUMMARY
from trainer.data.decode import PixelPath, decoder
from trainer.exits import Exit, ExitError
from trainer.folder import files
from trainer.models.network import in_float32
from trainer.models.registry import build_for_export
from trainer.process import temporary
from trainer.storage.base import Storage
from trainer.tensors import Arrays, Model, Tensor, Tensors
from trainer.training import checkpoint
from trainer.training.checkpoint import Snapshot, Unusable

_PARALLEL = 8  # pictures; AUTOTUNE takes longer to find that out than a batch takes

Signature = Callable[..., Tensors]  # takes tensors by name, returns `probabilities` and `label`


class Classifier(tf.Module):
    """The network after the pixel path of training, with the signatures `serve_bytes` and `serve_pixels`."""

    def __init__(self, model: Model, path: PixelPath, labels: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.path = path
        self.labels = tf.constant(list(labels))

    def serve_bytes(self, images: Tensor, serve_pixels: Signature) -> Tensors:
        """Encoded JPEG or PNG pictures, string [n] → probabilities float32 [n, classes], label string [n], ok bool [n].

        A picture that cannot be decoded does not fail the others: its `ok` is false, its label "", its probabilities 0.
        """
        pixels, ok = decode_each(images, self.path)
        answers = serve_pixels(pixels=pixels)
        return {
            "probabilities": tf.where(ok[:, None], answers["probabilities"], 0.0),
            "label": tf.where(ok, answers["label"], ""),
            "ok": ok,
        }

    def serve_pixels(self, pixels: Tensor) -> Tensors:
        """Decoded pictures, uint8 [n, size, size, 3] → probabilities float32 [n, classes], label string [n]."""
        probabilities = self.model(tf.cast(pixels, tf.float32), training=False)
        return {"probabilities": probabilities, "label": tf.gather(self.labels, tf.argmax(probabilities, axis=-1))}

    @tf.function(input_signature=[], autograph=False)
    def pixel_path(self) -> Tensor:
        """The version of the pixel path, int32: a model says itself what its pixels are, wherever it is copied to."""
        return tf.constant(self.path.version)

    @tf.function(input_signature=[], autograph=False)
    def pixel_resize(self) -> Tensor:
        """How a picture becomes a square, string."""
        return tf.constant(self.path.resize)

    @tf.function(input_signature=[], autograph=False)
    def pixel_antialias(self) -> Tensor:
        """Whether it is smoothed as it is made smaller, bool."""
        return tf.constant(self.path.antialias)


@dataclass(frozen=True)
class Traced:
    """A classifier with `serve_pixels` as the SavedModel has it: the same answers, and a third faster than op by op.
    Traced once, for the test, the export, and what compares the two."""

    classifier: Classifier
    serve_pixels: Signature

    def signatures(self) -> dict[str, Signature]:
        """Both signatures for a SavedModel; the default one is `serve_bytes`."""

        def serve_bytes(images: Tensor) -> Tensors:
            return self.classifier.serve_bytes(images, self.serve_pixels)

        encoded = tf.TensorSpec([None], tf.string, "images")
        serve = tf.function(serve_bytes, autograph=False).get_concrete_function(encoded)
        return {"serving_default": serve, "serve_bytes": serve, "serve_pixels": self.serve_pixels}


def traced(classifier: Classifier) -> Traced:
    """Trace a classifier."""
    size = classifier.path.size
    decoded = tf.TensorSpec([None, size, size, 3], tf.uint8, "pixels")
    return Traced(classifier, tf.function(classifier.serve_pixels, autograph=False).get_concrete_function(decoded))


def decode_each(images: Tensor, path: PixelPath) -> tuple[Tensor, Tensor]:
    """Decode pictures: string [n] → uint8 [n, size, size, 3], and bool [n], false where one cannot be decoded (zeros).

    A data set is what can drop an error in a graph; an index tells which are left, a last row that some are.
    """
    shape, count = [path.size, path.size, 3], tf.size(images, tf.int64)
    every = tf.data.Dataset.from_tensor_slices(images).enumerate()
    decoded = every.map(lambda i, one: (i, decoder(path)(one)), num_parallel_calls=_PARALLEL).ignore_errors()
    last = tf.data.Dataset.from_tensors((count, tf.zeros(shape, tf.uint8)))
    which, pixels = decoded.concatenate(last).batch(count + 1).get_single_element()
    rows = tf.scatter_nd(which[:, None], tf.range(1, tf.size(which, tf.int64) + 1), [count + 1])[:-1]
    return tf.gather(tf.concat([tf.zeros([1, *shape], tf.uint8), pixels], axis=0), rows), rows > 0


def rebuild(config: RunConfig, labels: Sequence[str], groups: Mapping[str, Arrays], temperature: float = 1.0) -> Model:
    """The network with these tensors (by group and layer/variable), outside any strategy: float32 pixels →
    probabilities.

    Logits are divided by the temperature.

    Raises:
        ValueError: they belong to another network; every variable of this one gets a value, or none does.
    """
    with in_float32():
        model = build_for_export(config.model, config.image_size, len(labels), config.dropout, temperature)
    tensors = {name: array for group in groups.values() for name, array in group.items()}
    if len(tensors) < sum(map(len, groups.values())):
        raise ValueError("a tensor is in two groups")
    named = {f"{layer.name}/{v.name}": v for layer in model.layers for v in layer.weights}
    if len(named) < len(model.weights):
        raise ValueError(f"two variables of {model.name} have the same name: layers need names of their own")
    if set(named) != set(tensors):
        raise ValueError(
            f"weights belong to another network: {sorted(set(named) ^ set(tensors))[0]!r} is on one side only"
        )
    for name, variable in named.items():
        variable.assign(tensors[name])
    return model


def recorded_temperature(storage: Storage) -> float:
    """The temperature of a finished run's model, from its summary; 1.0 where it was not calibrated."""
    summary = files.read_json(storage, SUMMARY) or {}
    return float((summary.get("calibration") or {}).get("temperature", 1.0))


def logits_of(model: Model) -> Model:
    """The part of a network from `rebuild` that ends at the logits, before any temperature: → [n, 1 or classes]."""
    return keras.Model(model.inputs, model.get_layer("logits").output)


def read_best(storage: Storage) -> Snapshot:
    """The run's best weights, with the state of the epoch that they are of.

    Raises:
        ExitError: 74 when they cannot be read back.
    """
    try:
        return checkpoint.read(storage, BEST)
    except Unusable as error:
        raise ExitError(Exit.STORAGE_FAILED, f"{storage.uri}/{BEST} cannot be read back: {error}") from error


def best_network(storage: Storage, config: RunConfig, labels: Sequence[str], temperature: float) -> Model:
    """The run's network with its best weights, as `rebuild` gives it.

    Raises:
        ExitError: 74 when the weights cannot be read back.
    """
    return rebuild(config, labels, read_best(storage).groups, temperature)


def export(storage: Storage, traced: Traced, card: str) -> None:
    """Write model/ of a run folder: model.keras, saved_model/, labels.json, MODEL_CARD.md.

    saved_model/ is a model, and its copy in saved_model/1/ makes it the base path of a model server too.
    """
    with temporary.folder("catdog-export-") as folder, temporary.explained("the model cannot be exported there"):
        (folder / MODEL).mkdir()
        traced.classifier.model.save(folder / KERAS_MODEL)
        tf.saved_model.save(traced.classifier, str(folder / SAVED_MODEL), signatures=traced.signatures())
        shutil.copytree(folder / SAVED_MODEL, folder / SERVED_VERSION)
        (folder / MODEL_CARD).write_text(card, "utf-8")
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            storage.write(path.relative_to(folder).as_posix(), path)
    labels = [label.decode() for label in traced.classifier.labels.numpy()]
    files.write_labels(storage, labels)  # last: a model with labels is complete


@dataclass(frozen=True)
class Exported:
    """A loaded model/: its classes, its way from bytes to pixels, and its signatures."""

    labels: tuple[str, ...]
    path: PixelPath
    serve_bytes: Signature
    serve_pixels: Signature
    loaded: tf.Module  # owns the variables that the signatures read


def load_exported(storage: Storage) -> Exported:
    """Load the exported model of a run folder that catdog wrote.

    Raises:
        ExitError: 66 when nothing was exported there, 73 when this catdog does not know its pixel path.
    """
    labels = files.read_labels(storage)
    with temporary.folder("catdog-model-") as folder, temporary.explained("the model cannot be loaded there"):
        for stat in storage.list(f"{SAVED_MODEL}/"):
            if stat.name.startswith(f"{SERVED_VERSION}/"):
                continue
            path = folder / stat.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(storage.read(stat.name))
        loaded = tf.saved_model.load(str(folder / SAVED_MODEL))
    pixels = loaded.signatures["serve_pixels"]
    size = pixels.structured_input_signature[1]["pixels"].shape[1]
    try:
        pixel_path = _told_by(loaded, size)
    except ValueError as error:
        raise ExitError(Exit.RUN_REFUSED, f"{storage.uri}: its model is of a newer catdog: {error}") from error
    return Exported(labels, pixel_path, loaded.signatures["serve_bytes"], pixels, loaded)


def _told_by(loaded: tf.Module, size: int) -> PixelPath:
    """The pixel path that a loaded model tells; what it does not tell is as it was before there was a choice.

    Raises:
        ValueError: not known to this catdog.
    """

    def told(name: str, otherwise: Any) -> Any:
        return getattr(loaded, name)().numpy() if hasattr(loaded, name) else otherwise

    resize = told("pixel_resize", SQUASH.encode()).decode()
    return PixelPath(int(told("pixel_path", 1)), size, resize, bool(told("pixel_antialias", False)))
