"""What a network answers for every picture of a split: of its pixels, or of the features that a run computed."""

from contextlib import closing

import numpy as np
import tensorflow as tf

from trainer.contract import SAVED_MODEL
from trainer.exits import Exit, ExitError
from trainer.models.pretrained import head_of
from trainer.storage.base import Storage
from trainer.tensors import Model
from trainer.training import calibration
from trainer.training.calibration import Numbers
from trainer.training.evaluation import Probabilities, pixels_of, probabilities
from trainer.training.export import Traced, load_exported
from trainer.training.inputs import Inputs

ROWS = 1024
"""Of features at a time."""
COMPARED, LARGEST_DIFFERENCE = 64, 1e-5
"""Pictures of which the saved model's answers are compared, and by how much its probabilities may differ."""


def probabilities_of(traced: Traced, inputs: Inputs, split: str) -> Probabilities:
    """By the network that is exported, float64 [n, classes], by example id."""
    if split in inputs.pixels:
        return probabilities(traced.serve_pixels, inputs.pixels[split])
    return _of_features(traced.classifier.model, inputs, split).astype(np.float64)


def logits_of(network: Model, inputs: Inputs, split: str) -> Numbers:
    """By a network that ends with its logits, one for each class, float64 [n, classes], by example id."""
    if split not in inputs.pixels:
        return calibration.per_class(_of_features(network, inputs, split))
    parts = [network(tf.constant(part, tf.float32), training=False).numpy() for part in pixels_of(inputs.pixels[split])]
    return calibration.per_class(np.concatenate(parts))


def _of_features(network: Model, inputs: Inputs, split: str) -> np.ndarray:
    head, rows = head_of(network), inputs.features[split].features
    parts = [
        head(tf.constant(rows[start : start + ROWS]), training=False).numpy() for start in range(0, len(rows), ROWS)
    ]
    return np.concatenate(parts)


def compare_served(run: Storage, traced: Traced, inputs: Inputs) -> None:
    """That the saved model gives, from a picture's bytes, the probabilities that figures and loss are of.

    Raises:
        ExitError: 70 naming a picture of which it does not.
    """
    split = "test" if "test" in inputs.splits else "valid"
    usable = np.flatnonzero(inputs.splits[split].usable)[:COMPARED]
    examples = [inputs.source.data.splits[split][int(i)] for i in usable]
    if not examples:
        return
    with closing(inputs.source.read(examples)) as contents:
        encoded = dict(contents)
    serve = load_exported(run).serve_bytes
    served = serve(images=tf.constant([encoded[at] for at in range(len(examples))]))["probabilities"].numpy()
    ours = probabilities_of(traced, inputs, split)[usable]
    difference = np.abs(served - ours).max(axis=1)
    if difference.max() > LARGEST_DIFFERENCE:
        worst = int(difference.argmax())
        raise ExitError(
            Exit.BUG,
            f"{run.uri}/{SAVED_MODEL}: of {examples[worst].name} it gives probabilities that differ by "
            f"{difference[worst]:.1e} from those that training computed; do not use this model, and report it",
        )
