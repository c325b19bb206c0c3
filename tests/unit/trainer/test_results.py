"""What a finished run leaves: the temperature, the model's card, the best epoch."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest

from tests import runs
from trainer.config import RunConfig
from trainer.contract import BEST, STATE, SUMMARY
from trainer.data.cache import PixelCache
from trainer.data.data_set import DataSet
from trainer.data.source import Source
from trainer.folder.files import Record
from trainer.results import calibrate, model_card, rates
from trainer.storage.opening import open_storage
from trainer.tensors import Model
from trainer.training import checkpoint
from trainer.training.inputs import Inputs
from trainer.training.phases import length_of
from trainer.training.state import Best, LoopState

NO_SOURCE = Source(DataSet("", (), {}, ""), lambda _: pytest.fail("nothing is read"), False)
RECORD = Record(RunConfig(), "0" * 16, {"catdog": "1"}, "", 1)


def brightness(factor: float) -> Model:
    """A network whose one logit goes by the brightness of the first pixel: from -factor to factor."""
    pixels = keras.Input((2, 2, 3))
    middle = keras.layers.Flatten()(pixels)[:, :1]
    return keras.Model(pixels, keras.layers.Rescaling(factor / 127.5, offset=-factor)(middle))


def drawn(seed: int, count: int, factor: float) -> PixelCache:
    """Pictures whose labels are drawn with the probabilities of brightness(factor); a third cannot be used."""
    random = np.random.default_rng(seed)
    shade = random.integers(0, 256, count)
    second = 1 / (1 + np.exp(-factor * (shade / 127.5 - 1)))
    labels, usable = random.uniform(size=count) < second, np.arange(count) % 3 > 0
    labels = np.where(usable, labels, shade < 128)  # misleading, were they counted
    pixels = np.broadcast_to(shade.astype(np.uint8)[:, None, None, None], (count, 2, 2, 3))
    return PixelCache(pixels, labels.astype(np.int32), usable, (), False)


def test_the_temperature_is_fitted_on_the_usable_pictures_of_valid() -> None:
    pixels = {"valid": drawn(1, 9000, 2.0), "test": drawn(2, 900, 2.0)}
    found = calibrate(brightness(6.0), Inputs(NO_SOURCE, pixels, {}))
    assert found.temperature == pytest.approx(3.0, rel=0.1)
    for part in (found.valid, found.test):
        assert part is not None
        assert part.loss_after < part.loss_before
        assert part.ece_after < part.ece_before


def test_without_a_test_split_or_a_usable_picture_there_is_nothing_to_tell() -> None:
    found = calibrate(brightness(6.0), Inputs(NO_SOURCE, {"train": drawn(1, 9, 2.0), "valid": drawn(1, 90, 2.0)}, {}))
    assert (found.valid is None, found.test) == (False, None)
    nothing = PixelCache(np.zeros((3, 2, 2, 3), np.uint8), np.zeros(3, np.int32), np.zeros(3, bool), (), False)
    found = calibrate(brightness(6.0), Inputs(NO_SOURCE, {"valid": nothing}, {}))
    assert (found.temperature, found.valid, found.test) == (1.0, None, None)


def test_speeds_are_told_apart_by_what_an_example_is() -> None:
    config = RunConfig(model="efficientnet-lite0", unfreeze="block12", epochs=4, head_epochs=2, batch_size=50, steps=7)
    length = length_of(config, 100)  # 2 steps an epoch
    speeds = [0.0, 5000.0, 40.0, 42.0]
    rows = tuple({"step": min(2 * epoch, 7), "examples_per_second": speeds[epoch - 1]} for epoch in range(1, 5))
    assert rates(length, LoopState(history=rows)) == {"images_per_second": 41.0, "feature_rows_per_second": 5000.0}
    frozen = length_of(dataclasses.replace(config, unfreeze=""), 100)
    assert rates(frozen, LoopState(history=rows[:1])) == {"images_per_second": None, "feature_rows_per_second": None}
    assert rates(length_of(RunConfig(), 100), LoopState(history=rows)) == {}


@pytest.mark.parametrize("temperature", [1.0, 1.537])
def test_the_card_of_a_calibrated_model_says_so(temperature: float) -> None:
    card = model_card(RECORD, ["cats", "dogs"], None, 0.8, False, temperature)
    assert ("| Calibration | logits are divided by 1.537" in card) == (temperature != 1.0)
    assert "| Validation accuracy | 80.0% of the best epoch; there was no test split |" in card


@pytest.mark.timeout(240)
def test_the_best_epoch_is_that_of_the_weights_in_best(tmp_path: Path) -> None:
    """A process killed between best/ and its checkpoint leaves best weights that the repeated epoch may not reach."""
    run, data = tmp_path / "run", runs.drawn(tmp_path / "data", 20, 8, 8)
    asked = runs.config("demo", data, run, model="small", image_size=32, epochs=1)
    runs.train(asked)
    held, kept = checkpoint.read(open_storage(str(run)), BEST), Best(7, 70, 0.875, 0.25)
    later = dataclasses.replace(held, state=dataclasses.replace(held.state, best=kept))
    checkpoint.write(open_storage(str(run)), BEST, later)
    killed = {**json.loads((run / STATE).read_text()), "state": "running"}
    (run / STATE).write_text(json.dumps(killed))
    runs.train(asked)
    told = json.loads((run / SUMMARY).read_text())
    assert (told["best_epoch"], told["valid"]["accuracy"], told["valid"]["loss"]) == (7, 0.875, 0.25)
