"""What a user of Keras writes for the recipe `augmented`: a data set from the folders, three augmentation layers, fit.

    python -m benchmarks.keras_script --data DIR --precision mixed_bfloat16 --epochs 2 --to FOLDER

It evaluates the test split and saves the model both ways, and nothing else of what catdog does at the end. The last
line that it prints is JSON: the time at which each part was done, and the most memory by then.
"""

import argparse
import json
import os
import resource
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from keras import layers

SIZE, BATCH = 180, 32


class Clock(keras.callbacks.Callback):
    """Notes the Unix time at which each part is done, and the peak of memory by then."""

    def __init__(self) -> None:
        super().__init__()
        self.marks: list[dict[str, Any]] = []
        self._first = True

    def mark(self, name: str) -> None:
        """A part is done."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self.marks.append({"name": name, "at": time.time(), "peak_mib": round(peak, 1)})

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """The first one has traced the graph."""
        if self._first:
            self._first = False
            self.mark("first step")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Comes after the validation."""
        self.mark(f"epoch {epoch + 1}")


def article() -> keras.Model:
    """The article's convnet after the augmentation layers."""
    network = [keras.Input((SIZE, SIZE, 3)), layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)]
    network += [layers.RandomZoom(0.2), layers.Rescaling(1 / 255)]
    for index, filters in enumerate((32, 64, 128, 256, 256), start=1):
        network.append(layers.Conv2D(filters, 3, activation="relu"))
        if index < 5:
            network.append(layers.MaxPooling2D(2))
    network += [layers.Flatten(), layers.Dropout(0.5), layers.Dense(1, activation="sigmoid", dtype="float32")]
    return keras.Sequential(network)


def main() -> None:
    """Train, test, save; print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--steps", type=int, help="of each epoch; default: all of the data set's")
    parser.add_argument("--to", required=True, type=Path)
    asked = parser.parse_args()
    clock = Clock()
    clock.mark("import")
    keras.mixed_precision.set_global_policy(asked.precision)
    train, valid, test = (
        keras.utils.image_dataset_from_directory(
            asked.data / split, image_size=(SIZE, SIZE), batch_size=BATCH, label_mode="binary", verbose=False
        )
        for split in ("train", "valid", "test")
    )
    clock.mark("listing")
    model = article()
    model.compile(optimizer="rmsprop", loss="binary_crossentropy", metrics=["accuracy"])
    clock.mark("build")
    length = {"epochs": asked.epochs, "steps_per_epoch": asked.steps}
    model.fit(train, validation_data=valid, **length, callbacks=[clock], verbose=0)
    loss, accuracy = model.evaluate(test, verbose=0)
    clock.mark("test")
    model.save(asked.to / "model.keras")
    model.export(asked.to / "saved_model", verbose=False)
    clock.mark("export")
    print(json.dumps({"loss": loss, "accuracy": accuracy, "marks": clock.marks}), flush=True)


if __name__ == "__main__":
    main()
