import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from trainer.data.cache import PixelCache
from trainer.training.calibration import THRESHOLDS
from trainer.training.evaluation import BATCH, evaluate, probabilities


def cache(labels: list[int], usable: list[bool] | None = None) -> PixelCache:
    pixels = np.broadcast_to(np.arange(len(labels), dtype=np.uint8)[:, None, None, None], (len(labels), 2, 2, 3))
    good = np.ones(len(labels), bool) if usable is None else np.array(usable)
    return PixelCache(pixels, np.array(labels, np.int32), good, (), False)


def predictions(*rows: list[float]) -> npt.NDArray[np.float64]:
    return np.array(rows, np.float64)


THREE = predictions([0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1], [0.9, 0.05, 0.05])


def test_accuracy_loss_and_confusion() -> None:
    result = evaluate(THREE, cache([0, 2, 0, 1, 2]))
    assert result.accuracy == 2 / 5
    assert result.loss == pytest.approx(-sum(map(math.log, (0.7, 0.6, 0.2, 0.4, 0.05))) / 5)
    assert result.examples == 5
    assert result.confusion == ((1, 1, 0), (1, 0, 0), (1, 0, 1))
    assert result.predicted.tolist() == [0, 2, 1, 0, 0]
    assert result.probability.tolist() == [0.7, 0.6, 0.7, 0.5, 0.9]


def test_the_most_wrong_come_first() -> None:
    assert evaluate(THREE, cache([0, 2, 0, 1, 2])).most_wrong == (4, 2, 3)


def test_pictures_that_cannot_be_used_do_not_count() -> None:
    result = evaluate(THREE, cache([0, 2, 0, 1, 2], [True, False, True, False, False]))
    assert (result.accuracy, result.examples) == (0.5, 2)
    assert result.loss == pytest.approx(-(math.log(0.7) + math.log(0.2)) / 2)
    assert result.confusion == ((1, 1, 0), (0, 0, 0), (0, 0, 0))
    assert result.most_wrong == (2,)


def test_no_usable_picture_is_no_division_by_zero() -> None:
    result = evaluate(THREE, cache([0] * 5, [False] * 5))
    assert (result.accuracy, result.loss, result.examples, result.most_wrong) == (0.0, 0.0, 0, ())


def test_a_probability_of_zero_is_a_finite_loss() -> None:
    assert evaluate(predictions([1.0, 0.0]), cache([1])).loss == pytest.approx(-math.log(1e-7))


def test_json_has_the_numbers_and_not_the_pictures() -> None:
    result = evaluate(predictions([0.75, 0.25], [0.75, 0.25]), cache([0, 1]))
    assert result.as_json() == {
        "accuracy": 0.5,
        "accuracy_interval": pytest.approx([0.0945, 0.9055], abs=1e-4),
        "loss": pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2),
        "examples": 2,
        "confusion": [[1, 0], [1, 0]],
        "balanced_accuracy": 0.5,
        "macro_f1": pytest.approx(1 / 3),
        "recall": [1.0, 0.0],
        "wrong": [0, 1],
        "ece": 0.25,
        "thresholds": [
            {"threshold": threshold, "answered": 2 * sure, "share": sure, "accuracy": 0.5 if sure else None}
            for threshold in THRESHOLDS
            for sure in [threshold <= 0.75]
        ],
    }


def test_thresholds_are_for_two_classes_and_the_five_most_probable_for_many() -> None:
    three = evaluate(THREE, cache([0, 2, 0, 1, 2])).as_json()
    assert not {"thresholds", "top5_accuracy"} & set(three)
    many = predictions(*[[(i + at) % 11 / 55 for at in range(11)] for i in range(4)])
    result = evaluate(many, cache([10, 6, 0, 6], [True, True, True, False])).as_json()
    assert result["top5_accuracy"] == pytest.approx(2 / 3)
    assert "thresholds" not in result


def test_pictures_that_cannot_be_used_change_no_score() -> None:
    made = np.random.default_rng(0).dirichlet(np.ones(11), 30)
    labels, usable = (np.arange(30) % 11).tolist(), np.arange(30) % 3 > 0
    some = evaluate(made, cache(labels, usable.tolist())).as_json()
    alone = evaluate(made[usable], cache(np.array(labels)[usable].tolist())).as_json()
    assert some == alone
    none = evaluate(made, cache(labels, [False] * 30)).as_json()
    assert (none["accuracy_interval"], none["ece"]) == (None, None)
    assert "top5_accuracy" not in none


@pytest.mark.parametrize("count", [1, BATCH, BATCH + 1, 2 * BATCH + 3])
def test_probabilities_come_in_order_whatever_the_batches(count: int) -> None:
    sizes = []

    def serve(pixels: Any) -> dict[str, Any]:
        sizes.append(int(pixels.shape[0]))
        second = tf.cast(pixels[:, 0, 0, 0], tf.float32) / 256
        return {"probabilities": tf.stack([1 - second, second], axis=1)}

    made = probabilities(serve, cache([0] * count))
    assert made.shape == (count, 2)
    assert made.dtype == np.float64
    assert made[:, 1].tolist() == [i / 256 for i in range(count)]
    assert max(sizes) <= BATCH
