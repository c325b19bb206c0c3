"""Recipes: named sets of defaults. Each docstring gives the command and the results on the reference pictures."""

from collections.abc import Callable

from trainer.config import RunConfig


def baseline() -> RunConfig:
    """The article's plain convnet, 30 epochs.

    catdog train --recipe baseline --data DIR

    On the article's 2,000 pictures: 74.6 % valid, 72.7 % test, overfitting from epoch 6; 20 s an epoch on two cores.
    """
    return RunConfig(recipe="baseline")


def augmented() -> RunConfig:
    """The article's convnet with flip, rotation, zoom and dropout, 100 epochs.

    catdog train --recipe augmented --data DIR

    On the article's 2,000 pictures: 87.1 % valid, 86.1 % test; 20 s an epoch on two cores.
    """
    return RunConfig(recipe="augmented", epochs=100, flip=True, rotation=0.1, zoom=0.2, dropout=0.5)


def transfer() -> RunConfig:
    """A new output layer on the features of EfficientNet-Lite0, which was trained on ImageNet; 20 epochs.

    catdog train --recipe transfer --data DIR

    On the article's 2,000 pictures: 99.0 % valid, 99.1 % test; 55 s in all on two cores, 21 s on the same again.
    """
    return RunConfig(
        recipe="transfer",
        model="efficientnet-lite0",
        image_size=224,
        epochs=20,
        optimizer="adam",
        schedule="cosine",
        best="loss",
        calibrate=True,
    )


def demo() -> RunConfig:
    """A small convnet on small pictures: done in minutes on two cores; meant for the drawn demo set.

    catdog train --recipe demo

    On the demo set: 97.8 % test in half a minute on two cores.
    """
    return RunConfig(
        recipe="demo",
        model="small",
        image_size=64,
        dropout=0.2,
        flip=True,
        epochs=25,
        optimizer="adam",
        learning_rate=2e-3,
        schedule="cosine",
        warmup_steps=100,
    )


RECIPES: dict[str, Callable[[], RunConfig]] = {make.__name__: make for make in (transfer, baseline, augmented, demo)}
DEFAULT = transfer.__name__
"""What a command without --recipe trains, where the platform says nothing else."""
