"""The exact training step: one function for one device, mirrored devices and several workers.

Each replica computes the gradient of the *sum* of its rows' losses, and one collective adds up everything there is to
agree on: gradient, loss, correct answers, weights, stop requests. On the totals, which are the same bits on every
replica, each replica then divides, clips, decides and applies. Nothing is decided on a replica's own numbers.

Fast mode sums with all_reduce. Under --deterministic the batch is cut into fixed slices, one gradient each, which are
gathered and added in the order of slices: the same additions in the same order on any number of replicas.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from trainer.config import RunConfig
from trainer.data import augment
from trainer.data.order import Layout
from trainer.models.randomness import Draw, drawing
from trainer.training.learner import Learner

# What is summed besides the gradient, by place in the vector.
LOSS, CORRECT, WEIGHT, STOP = range(4)
SUMS = 4

LOSS_SCALE_GROWTH_STEPS = 2000.0
MAX_LOSS_SCALE = 2.0**24

Feed = Mapping[str, Any]


@dataclass(frozen=True)
class StepResult:
    """Global sums over one batch, on the device: float32 scalars; read them a few steps later."""

    sums: Any  # float32 [4]: loss, correct, weight, stop
    gradient_norm: Any  # of the mean gradient, before clipping
    finite: Any  # bool: the update was applied


def losses_and_hits(logits: Any, labels: Any) -> tuple[Any, Any]:
    """Cross-entropy and correctness of each row: float32 [n], float32 [n].

    One logit is the log-odds of class 1 (binary cross-entropy), more are softmax's.
    """
    if logits.shape[-1] == 1:
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.cast(labels, tf.float32), logits=logits[:, 0])
        hits = tf.equal(tf.cast(logits[:, 0] > 0, tf.int32), labels)
    else:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        hits = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), labels)
    return losses, tf.cast(hits, tf.float32)


def _weighted(losses: Any, hits: Any, weights: Any) -> list[Any]:
    # A padded row's loss may be anything; where() rather than a product keeps even its nan out.
    real = weights > 0
    zero = tf.zeros_like(losses)
    return [
        tf.reduce_sum(tf.where(real, losses * weights, zero)),
        tf.reduce_sum(tf.where(real, hits * weights, zero)),
        tf.reduce_sum(weights),
    ]


def part_gradient(learner: Learner, config: RunConfig, part: Feed, step: Any) -> Any:
    """Gradient of the summed loss of one part, flattened, then the part's sums: float32 [parameters + 4].

    A `part` has pixels uint8 [n,h,w,3], transforms float32 [n,8], labels int32 [n], weights float32 [n] and first_row
    int64.
    """
    pixels = tf.cast(part["pixels"], tf.float32)
    if augmentation_of(config).any:
        pixels = augment.apply(pixels, part["transforms"])
    scale = learner.loss_scale["scale"] if learner.loss_scale else tf.constant(1.0)
    with tf.GradientTape() as tape, drawing(Draw(config.seed, step, part["first_row"])):
        logits = learner.model(pixels, training=True)
        losses, hits = losses_and_hits(logits, part["labels"])
        sums = _weighted(losses, hits, part["weights"])
        target = sums[LOSS] * scale
    gradients = tape.gradient(target, [v.value for v in learner.model.trainable_variables])
    flat = [tf.reshape(g, [-1]) / scale for g in gradients]
    return tf.concat([*flat, tf.stack([*sums, part["stop"]])], axis=0)


def augmentation_of(config: RunConfig) -> augment.Augmentation:
    """The augmentation that a configuration asks for."""
    return augment.Augmentation(config.flip, config.rotation, config.zoom)


def split_parts(feed: Feed, layout: Layout) -> list[dict[str, Any]]:
    """Cut a replica's rows into its parts; the stop request goes with the first."""
    rows = layout.rows_per_part
    parts = []
    for p in range(layout.parts_per_replica):
        part = {
            name: feed[name][p * rows : (p + 1) * rows]
            for name in ("pixels", "transforms", "labels", "weights")
            if name in feed
        }
        part = {name: tf.ensure_shape(value, [rows, *value.shape[1:]]) for name, value in part.items()}
        part["first_row"] = feed["first_row"] + p * rows
        part["stop"] = feed["stop"] if p == 0 else tf.zeros_like(feed["stop"])
        parts.append(part)
    return parts


def total(vectors: list[Any], layout: Layout, deterministic: bool) -> Any:
    """Add up the parts' vectors over all replicas; the same result on each. Call in replica context."""
    context = tf.distribute.get_replica_context()
    if not deterministic:
        (vector,) = vectors
        return context.all_reduce(tf.distribute.ReduceOp.SUM, vector) if layout.replicas > 1 else vector
    stacked = tf.stack(vectors)
    if layout.replicas > 1:
        stacked = context.all_gather(stacked, axis=0)
    summed = stacked[0]
    for p in range(1, layout.parts):
        summed = summed + stacked[p]
    return summed


def build_train_step(
    strategy: Any, learner: Learner, config: RunConfig, layout: Layout
) -> Callable[[Any, Any, Any], StepResult]:
    """The compiled step: (feeds of the local replicas, step int64, learning rate float32) → StepResult."""
    parameters = learner.parameters
    shapes = [tuple(v.shape) for v in learner.weights.values()]
    sizes = [int(tf.TensorShape(shape).num_elements() or 1) for shape in shapes]

    def replica_step(feed: Feed, step: Any, rate: Any) -> tuple[Any, Any, Any]:
        vectors = [part_gradient(learner, config, part, step) for part in split_parts(feed, layout)]
        summed = total(vectors, layout, config.deterministic)
        sums = summed[parameters:]
        mean = summed[:parameters] / tf.maximum(sums[WEIGHT], 1.0)
        norm = tf.sqrt(tf.reduce_sum(tf.square(mean)))
        finite = tf.logical_and(tf.math.is_finite(norm), tf.math.is_finite(sums[LOSS]))
        if config.clip_norm:
            mean = mean * tf.minimum(1.0, config.clip_norm / tf.maximum(norm, 1e-12))
        flat = tf.split(mean, sizes)
        gradients = [tf.reshape(part, shape) for part, shape in zip(flat, shapes, strict=True)]
        _update(learner, config, gradients, rate, finite)
        return sums, norm, finite

    @tf.function(autograph=False)
    def train_step(feed: Any, step: Any, rate: Any) -> tuple[Any, Any, Any]:
        sums, norm, finite = strategy.run(replica_step, args=(feed, step, rate))
        return _first(strategy, sums), _first(strategy, norm), _first(strategy, finite)

    def run(feed: Any, step: Any, rate: Any) -> StepResult:
        return StepResult(*train_step(feed, step, rate))

    return run


def _first(strategy: Any, value: Any) -> Any:
    """One replica's copy of a value that is the same on all."""
    return strategy.experimental_local_results(value)[0]


def _update(learner: Learner, config: RunConfig, gradients: list[Any], rate: Any, finite: Any) -> None:
    """Apply identical gradients on every replica, or nothing at all when they are not finite. Replica context.

    `optimizer.apply` would sum over the replicas once more, so the optimizer's update_step is called on each replica's
    own copy, as Keras does itself.
    """

    def one(copy: Any, gradient: Any, average: Any, ok: Any, at: Any) -> Any:
        def apply() -> Any:
            if config.weight_decay and len(copy.shape) > 1:
                copy.assign_sub(copy * config.weight_decay * at)
            learner.optimizer.update_step(gradient, copy, at)
            if average is not None:
                average.assign(average * config.ema + copy * (1.0 - config.ema))
            return tf.constant(0)

        return tf.cond(ok, apply, lambda: tf.constant(0))

    def every(strategy: Any, gradients: list[Any], at: Any, ok: Any) -> None:
        for (name, variable), gradient in zip(learner.weights.items(), gradients, strict=True):
            average = learner.ema.get(name)
            strategy.extended.update(variable, one, args=(gradient, average, ok, at), group=False)
        # After the weights: Adam corrects its bias by the number of updates before this one.
        strategy.extended.update(learner.slots["iterations"], _count, args=(ok,), group=False)
        if learner.loss_scale:
            good, scale = learner.loss_scale["good_steps"], learner.loss_scale["scale"]
            strategy.extended.update(scale, _rescale, args=(good, ok), group=False)

    tf.distribute.get_replica_context().merge_call(every, args=(gradients, rate, finite))


def _count(copy: Any, ok: Any) -> Any:
    return copy.assign_add(tf.cast(ok, copy.dtype))


def _rescale(scale: Any, good_steps: Any, ok: Any) -> Any:
    """Dynamic loss scaling (Micikevicius et al. 2018): halve on overflow, double after 2,000 good steps."""
    counted = tf.where(ok, good_steps + 1.0, 0.0)
    grow = counted >= LOSS_SCALE_GROWTH_STEPS
    good_steps.assign(tf.where(grow, 0.0, counted))
    wanted = tf.where(ok, tf.where(grow, scale * 2.0, scale), scale * 0.5)
    return scale.assign(tf.clip_by_value(wanted, 1.0, MAX_LOSS_SCALE))


def build_evaluation_step(strategy: Any, model: Any, layout: Layout, deterministic: bool) -> Callable[[Any], Any]:
    """The compiled evaluation step: feeds of the local replicas → global sums, float32 [4]."""

    def replica_step(feed: Feed) -> Any:
        vectors = []
        for part in split_parts(feed, layout):
            out = model(tf.cast(part["pixels"], tf.float32), training=False)
            losses, hits = losses_and_hits(out, part["labels"])
            vectors.append(tf.stack([*_weighted(losses, hits, part["weights"]), part["stop"]]))
        return total(vectors, layout, deterministic)

    @tf.function(autograph=False)
    def evaluation_step(feed: Any) -> Any:
        return _first(strategy, strategy.run(replica_step, args=(feed,)))

    return evaluation_step
