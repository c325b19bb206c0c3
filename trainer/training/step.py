"""The exact training step: one function for one device, mirrored devices and several workers.

Each replica computes the gradient of the *sum* of its rows' losses, and one collective adds up everything that
replicas must agree on: gradient, loss, correct answers, weights, stop requests. Each replica then divides, clips,
decides and applies the totals, which are the same bits on every replica. No decision uses a replica's own numbers.

Fast mode sums with all_reduce. With --deterministic the batch is cut into fixed slices, one gradient each, which are
gathered and added in the order of slices: the same additions in the same order on any number of replicas.
"""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from trainer.config import RunConfig
from trainer.data import augment
from trainer.data.order import Layout
from trainer.models.randomness import Draw, drawing
from trainer.tensors import (
    Flag,
    Integer,
    Labels,
    Logits,
    Model,
    PerReplica,
    Scalar,
    Strategy,
    Tensor,
    Variable,
    Variables,
    Vector,
)
from trainer.training.feeding import Rows
from trainer.training.learner import Learner, weights_of

# What is summed in addition to the gradient, by position in the vector; the last only with class weights.
LOSS, CORRECT, WEIGHT, STOP, LOSS_WEIGHT = range(5)

LOSS_SCALE_GROWTH_STEPS = 2000.0
MAX_LOSS_SCALE = 2.0**24


@dataclass(frozen=True)
class StepResult:
    """Global sums over one batch, on the device; read them a few steps later."""

    sums: Vector  # float32 [4]: loss, correct, weight, stop; [5] with the weight of the loss
    gradient_norm: Scalar  # of the mean gradient, before clipping
    finite: Flag  # the update was applied
    ready: Tensor | None = None  # float64, seconds since 1970: this worker's part was, where the step is timed


TrainStep = Callable[[PerReplica, Integer, Scalar], StepResult]
EvaluationStep = Callable[[PerReplica], Vector]


def losses_and_hits(logits: Logits, labels: Labels, smoothing: float = 0.0) -> tuple[Vector, Vector]:
    """Cross-entropy and correctness of each row: float32 [n], float32 [n].

    One logit is the log-odds of class 1 (binary cross-entropy), several are for softmax. `smoothing` is the share of
    each label that is spread evenly over all classes (Szegedy et al. 2016).
    """
    if logits.shape[-1] == 1:
        truth = tf.cast(labels, tf.float32)
        truth = truth * (1 - smoothing) + smoothing / 2 if smoothing else truth
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=truth, logits=logits[:, 0])
        hits = tf.equal(tf.cast(logits[:, 0] > 0, tf.int32), labels)
    else:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        if smoothing:
            evenly = tf.reduce_logsumexp(logits, axis=-1) - tf.reduce_mean(logits, axis=-1)
            losses = losses * (1 - smoothing) + evenly * smoothing
        hits = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), labels)
    return losses, tf.cast(hits, tf.float32)


def _weighted(losses: Vector, hits: Vector, part: Rows) -> list[Scalar]:
    """The part's sums. Whether a row counts is one number, the weight of its class in the loss another."""
    # A padded row's loss can be anything; where(), unlike a product, keeps out even a nan.
    weights = part["weights"]
    real = weights > 0
    zero = tf.zeros_like(losses)
    in_loss = weights * part["loss_weights"] if "loss_weights" in part else weights
    sums = [
        tf.reduce_sum(tf.where(real, losses * in_loss, zero)),
        tf.reduce_sum(tf.where(real, hits * weights, zero)),
        tf.reduce_sum(weights),
        part["stop"],
    ]
    return [*sums, tf.reduce_sum(in_loss)] if "loss_weights" in part else sums


def part_gradient(learner: Learner, network: Model, config: RunConfig, part: Rows, step: Integer) -> Vector:
    """Gradient of the summed loss of one part, flattened, then the part's sums: float32 [parameters + 4 or 5]."""
    inputs = tf.cast(part["inputs"], tf.float32)
    if "transforms" in part:
        inputs = augment.apply(inputs, part["transforms"])
    scale = learner.loss_scale["scale"] if learner.loss_scale else tf.constant(1.0)
    with tf.GradientTape() as tape, drawing(Draw(config.seed, step, part["first_row"])):
        logits = network(inputs, training=True)
        losses, hits = losses_and_hits(logits, part["labels"], config.label_smoothing)
        sums = _weighted(losses, hits, part)
        target = sums[LOSS] * scale
    gradients = tape.gradient(target, [v.value for v in network.trainable_variables])
    flat = [tf.reshape(g, [-1]) / scale for g in gradients]
    return tf.concat([*flat, tf.stack(sums)], axis=0)


def augmentation_of(config: RunConfig) -> augment.Augmentation:
    """The augmentation that a configuration asks for."""
    return augment.Augmentation(config.flip, config.rotation, config.zoom)


def split_parts(rows: Rows, layout: Layout) -> list[Rows]:
    """Cut a replica's rows into its parts; the stop request goes with the first."""
    return [_part(rows, p, layout.rows_per_part) for p in range(layout.parts_per_replica)]


def _part(rows: Rows, p: int, count: int) -> Rows:
    first = p * count

    def cut(tensor: Tensor) -> Tensor:
        return tf.ensure_shape(tensor[first : first + count], [count, *tensor.shape[1:]])

    part: Rows = {
        "inputs": cut(rows["inputs"]),
        "labels": cut(rows["labels"]),
        "weights": cut(rows["weights"]),
        "first_row": rows["first_row"] + first,
        "stop": rows["stop"] if p == 0 else tf.zeros_like(rows["stop"]),
    }
    if "transforms" in rows:
        part["transforms"] = cut(rows["transforms"])
    if "loss_weights" in rows:
        part["loss_weights"] = cut(rows["loss_weights"])
    return part


def total(vectors: list[Vector], layout: Layout, deterministic: bool) -> Vector:
    """Add up the parts' vectors over all replicas; the same result on each. Call in replica context."""
    context = tf.distribute.get_replica_context()
    if not deterministic:
        vector = vectors[0]
        for other in vectors[1:]:
            vector = vector + other
        return context.all_reduce(tf.distribute.ReduceOp.SUM, vector) if layout.replicas > 1 else vector
    stacked = tf.stack(vectors)
    if layout.replicas > 1:
        stacked = context.all_gather(stacked, axis=0)
    summed = stacked[0]
    for p in range(1, layout.parts):
        summed = summed + stacked[p]
    return summed


def build_train_step(
    strategy: Strategy, learner: Learner, phase: str, config: RunConfig, layout: Layout, timed: bool = False
) -> TrainStep:
    """The compiled step of a phase: (Rows of the local replicas, step, learning rate) → StepResult.

    `timed`: it tells when the gradient of a replica here was ready to be added to those of the others.
    """
    network = learner.networks[phase]
    weights = {name: learner.weights[name] for name in weights_of(network)}
    shapes = [tuple(v.shape) for v in weights.values()]
    sizes = [int(tf.TensorShape(shape).num_elements() or 1) for shape in shapes]
    parameters = sum(sizes)

    def replica_step(rows: Rows, step: Integer, rate: Scalar) -> tuple[Tensor, ...]:
        vectors = [part_gradient(learner, network, config, part, step) for part in split_parts(rows, layout)]
        with tf.control_dependencies(vectors):
            ready = [tf.timestamp()] if timed else []
        summed = total(vectors, layout, config.deterministic)
        sums = summed[parameters:]
        mean = summed[:parameters] / _divisor(sums, "loss_weights" in rows)
        norm = tf.sqrt(tf.reduce_sum(tf.square(mean)))
        finite = tf.logical_and(tf.math.is_finite(norm), tf.math.is_finite(sums[LOSS]))
        if config.clip_norm:
            mean = mean * tf.minimum(1.0, config.clip_norm / tf.maximum(norm, 1e-12))
        flat = tf.split(mean, sizes)
        gradients = [tf.reshape(part, shape) for part, shape in zip(flat, shapes, strict=True)]
        _update(learner, weights, config, gradients, rate, finite)
        return sums, norm, finite, *ready

    @tf.function(autograph=False)
    def train_step(rows: PerReplica, step: Integer, rate: Scalar) -> tuple[Tensor, ...]:
        return tuple(_first(strategy, value) for value in strategy.run(replica_step, args=(rows, step, rate)))

    def run(rows: PerReplica, step: Integer, rate: Scalar) -> StepResult:
        return StepResult(*train_step(rows, step, rate))

    return run


def _divisor(sums: Vector, weighted: bool) -> Scalar:
    """What the summed gradient is divided by: the pictures, or what their classes weigh; 1 where nothing counts."""
    if not weighted:
        return tf.maximum(sums[WEIGHT], 1.0)
    return tf.where(sums[LOSS_WEIGHT] > 0, sums[LOSS_WEIGHT], 1.0)


def _first(strategy: Strategy, value: PerReplica) -> Tensor:
    """One replica's copy of a value that is the same on all."""
    return strategy.experimental_local_results(value)[0]


def _update(
    learner: Learner, weights: Variables, config: RunConfig, gradients: list[Tensor], rate: Scalar, finite: Flag
) -> None:
    """Apply identical gradients on every replica, or nothing at all when they are not finite. Replica context.

    `optimizer.apply` would sum over the replicas once more, so the optimizer's update_step is called on each replica's
    own copy, as Keras does itself.
    """

    def one(copy: Variable, gradient: Tensor, average: Variable | None, ok: Flag, at: Scalar) -> Tensor:
        def apply() -> Tensor:
            if config.weight_decay and len(copy.shape) > 1:
                copy.assign_sub(copy * config.weight_decay * at)
            learner.optimizer.update_step(gradient, copy, at)
            if average is not None:
                average.assign(average * config.ema + copy * (1.0 - config.ema))
            return tf.constant(0)

        return tf.cond(ok, apply, lambda: tf.constant(0))

    def every(strategy: Strategy, gradients: list[PerReplica], at: PerReplica, ok: PerReplica) -> None:
        for (name, variable), gradient in zip(weights.items(), gradients, strict=True):
            average = learner.ema.get(name)
            strategy.extended.update(variable, one, args=(gradient, average, ok, at), group=False)
        # After the weights: Adam corrects its bias by the number of updates before this one.
        strategy.extended.update(learner.slots["iterations"], _count, args=(ok,), group=False)
        if learner.loss_scale:
            good, scale = learner.loss_scale["good_steps"], learner.loss_scale["scale"]
            strategy.extended.update(scale, _rescale, args=(good, ok), group=False)

    tf.distribute.get_replica_context().merge_call(every, args=(gradients, rate, finite))


def _count(copy: Variable, ok: Flag) -> Tensor:
    return copy.assign_add(tf.cast(ok, copy.dtype))


def _rescale(scale: Variable, good_steps: Variable, ok: Flag) -> Tensor:
    """Dynamic loss scaling (Micikevicius et al. 2018): halve on overflow, double after 2,000 good steps."""
    counted = tf.where(ok, good_steps + 1.0, 0.0)
    grow = counted >= LOSS_SCALE_GROWTH_STEPS
    good_steps.assign(tf.where(grow, 0.0, counted))
    wanted = tf.where(ok, tf.where(grow, scale * 2.0, scale), scale * 0.5)
    return scale.assign(tf.clip_by_value(wanted, 1.0, MAX_LOSS_SCALE))


def build_evaluation_step(strategy: Strategy, model: Model, layout: Layout, deterministic: bool) -> EvaluationStep:
    """The compiled evaluation step: Rows of the local replicas → global sums, float32 [4]."""

    def replica_step(rows: Rows) -> Vector:
        vectors = []
        for part in split_parts(rows, layout):
            out = model(tf.cast(part["inputs"], tf.float32), training=False)
            losses, hits = losses_and_hits(out, part["labels"])
            vectors.append(tf.stack(_weighted(losses, hits, part)))
        return total(vectors, layout, deterministic)

    @tf.function(autograph=False)
    def evaluation_step(rows: PerReplica) -> Vector:
        return _first(strategy, strategy.run(replica_step, args=(rows,)))

    return evaluation_step
