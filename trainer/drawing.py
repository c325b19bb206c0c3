"""The figures of a finished run, and its report: all that needs Matplotlib, which takes half a second to import."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from trainer.config import RunConfig
from trainer.data import augment
from trainer.data.augment import transforms
from trainer.data.decode import Pixels
from trainer.storage.base import Storage
from trainer.telemetry.figures.confusion import confusion_png
from trainer.telemetry.figures.photos import MOST_MISTAKES, Mistake, augmentation_png, mistakes_png
from trainer.telemetry.run_report import write_figure, write_report
from trainer.training.evaluation import Evaluation
from trainer.training.inputs import Inputs
from trainer.training.step import augmentation_of

__all__ = ["preview", "write_figures", "write_report"]

PREVIEW_PICTURES = 9


def write_figures(
    run: Storage,
    inputs: Inputs,
    labels: Sequence[str],
    config: RunConfig,
    original: Pixels,
    result: Evaluation | None,
) -> None:
    """figures/: augmentation.png, of an original picture; of a test split confusion.png and mistakes.png."""
    write_figure(run, "augmentation", augmentation_png(original, preview(original, config)))
    if result is None:
        return
    test, examples = inputs.splits["test"], inputs.source.data.splits["test"]
    write_figure(run, "confusion", confusion_png(result.matrix, labels))
    worst = list(result.most_wrong[:MOST_MISTAKES])
    mistakes = [
        Mistake(
            pixels=pixels,
            path=examples[i].name,
            true=labels[int(test.labels[i])],
            predicted=labels[int(result.predicted[i])],
            probability=float(result.probability[i]),
        )
        for i, pixels in zip(worst, inputs.pictures(config, "test", worst), strict=True)
    ]
    if mistakes:
        write_figure(run, "mistakes", mistakes_png(mistakes))


def preview(original: Pixels, config: RunConfig) -> Pixels:
    """One picture, uint8 [size, size, 3], as nine epochs of training would see it: uint8 [9, size, size, 3]."""
    augmentation = augmentation_of(config)
    size = original.shape[0]
    matrices = np.concatenate(
        [transforms(augmentation, config.seed, epoch, np.zeros(1, np.int64), size) for epoch in range(PREVIEW_PICTURES)]
    )
    pixels = tf.constant(np.repeat(original[None], PREVIEW_PICTURES, axis=0), tf.float32)
    seen = augment.apply(pixels, matrices) if augmentation.any else pixels
    return np.clip(np.round(seen.numpy()), 0, 255).astype(np.uint8)
