"""Host feeds → per-replica tensors of the step."""

from typing import NotRequired, TypedDict

import numpy as np
import tensorflow as tf

from trainer.data.pipeline import Feed
from trainer.tensors import Integer, Labels, PerReplica, Scalar, Tensor, Vector
from trainer.training.strategy import Distribution


class Rows(TypedDict):
    """Some rows of a global batch, on one replica."""

    inputs: Tensor  # pixels, uint8 [n, size, size, 3], or features, float32 [n, width]
    transforms: NotRequired[Tensor]  # float32 [n, 8], from augment.transforms; absent without augmentation
    labels: Labels
    weights: Vector  # [n], 0 for rows that do not count
    loss_weights: NotRequired[Vector]  # [n], of the row's class in the loss; absent without class weights
    first_row: Integer  # the position of row 0 in the global batch
    stop: Scalar  # the worker's stop request; 0 on all but one of its replicas


def to_devices(distribution: Distribution, feeds: tuple[Feed, ...], stop: float) -> PerReplica:
    """Feeds of the local replicas, and this worker's stop request (StopRequest.weight), as the Rows of a step."""
    first = distribution.local.start
    rows = [_rows(feed, stop if place == 0 else 0.0) for place, feed in enumerate(feeds)]
    if distribution.replicas == 1:
        return rows[0]
    return distribution.strategy.experimental_distribute_values_from_function(
        lambda context: rows[context.replica_id_in_sync_group - first]
    )


def _rows(feed: Feed, stop: float) -> Rows:
    rows: Rows = {
        "inputs": tf.constant(feed.inputs),
        "labels": tf.constant(feed.labels),
        "weights": tf.constant(feed.weights),
        "first_row": tf.constant(feed.first_row, tf.int64),
        "stop": tf.constant(stop, tf.float32),
    }
    if feed.transforms is not None:
        rows["transforms"] = tf.constant(np.ascontiguousarray(feed.transforms))
    if feed.loss_weights is not None:
        rows["loss_weights"] = tf.constant(feed.loss_weights)
    return rows
