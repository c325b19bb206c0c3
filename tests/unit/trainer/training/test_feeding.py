import dataclasses

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from trainer.data.pipeline import Feed
from trainer.training.feeding import to_devices
from trainer.training.strategy import Devices, Distribution, distribute
from trainer.workers.topology import ALONE


def on(replicas: int) -> Distribution:
    return distribute(ALONE, Devices("CPU", tuple(f"/cpu:{i}" for i in range(replicas))), {})


def feed(replica: int, transforms: bool = True) -> Feed:
    matrices: npt.NDArray[np.float32] | None = np.full((2, 8), replica, np.float32, order="F") if transforms else None
    ids = np.array([replica, 9], np.int64)
    return Feed(
        inputs=np.full((2, 4, 4, 3), replica, np.uint8),
        transforms=matrices,
        labels=np.array([replica, 0], np.int32),
        weights=np.array([1, 0], np.float32),
        ids=ids,
        first_row=2 * replica,
    )


@pytest.mark.parametrize("replicas", [1, 2, 4])
def test_each_replica_gets_its_own_feed(replicas: int) -> None:
    distribution = on(replicas)
    value = to_devices(distribution, tuple(feed(r) for r in range(replicas)), stop=0.0)
    for r, local in enumerate(distribution.strategy.experimental_local_results(value)):
        assert local["inputs"].dtype == tf.uint8
        assert (local["inputs"].numpy() == r).all()
        assert (local["transforms"].numpy() == np.full((2, 8), r, np.float32)).all()
        assert local["labels"].numpy().tolist() == [r, 0]
        assert local["weights"].numpy().tolist() == [1, 0]
        assert (int(local["first_row"]), local["first_row"].dtype) == (2 * r, tf.int64)


@pytest.mark.parametrize("replicas", [1, 4])
@pytest.mark.parametrize("stop", [0.0, 1.0, 1024.0])
def test_a_worker_asks_to_stop_once_whatever_its_replicas(replicas: int, stop: float) -> None:
    distribution = on(replicas)
    value = to_devices(distribution, tuple(feed(r) for r in range(replicas)), stop)
    asked = [float(local["stop"]) for local in distribution.strategy.experimental_local_results(value)]
    assert asked == [stop] + [0.0] * (replicas - 1)


def test_without_augmentation_there_are_no_transforms() -> None:
    assert "transforms" not in to_devices(on(1), (feed(0, transforms=False),), 0.0)


def test_class_weights_come_beside_the_others_or_not_at_all() -> None:
    weighted = dataclasses.replace(feed(0), loss_weights=np.array([2.5, 0.5], np.float32))
    rows = to_devices(on(1), (weighted,), 0.0)
    assert (rows["weights"].numpy().tolist(), rows["loss_weights"].numpy().tolist()) == ([1, 0], [2.5, 0.5])
    assert "loss_weights" not in to_devices(on(1), (feed(0),), 0.0)
