"""Host feeds → per-replica tensors of the step."""

from typing import Any

import numpy as np
import tensorflow as tf

from trainer.data.pipeline import Feed
from trainer.training.strategy import Distribution


def to_devices(distribution: Distribution, feeds: tuple[Feed, ...], stop: float) -> Any:
    """Feeds of the local replicas, and this worker's stop request (StopRequest.weight), as the step's argument."""
    first = distribution.local.start
    tensors = [_tensors(feed, stop if place == 0 else 0.0) for place, feed in enumerate(feeds)]
    if distribution.replicas == 1:
        return tensors[0]
    return distribution.strategy.experimental_distribute_values_from_function(
        lambda context: tensors[context.replica_id_in_sync_group - first]
    )


def _tensors(feed: Feed, stop: float) -> dict[str, Any]:
    tensors = {
        "pixels": tf.constant(feed.pixels),
        "labels": tf.constant(feed.labels),
        "weights": tf.constant(feed.weights),
        "first_row": tf.constant(feed.first_row, tf.int64),
        "stop": tf.constant(stop, tf.float32),
    }
    if feed.transforms is not None:
        tensors["transforms"] = tf.constant(np.ascontiguousarray(feed.transforms))
    return tensors
