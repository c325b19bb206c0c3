"""One step, in fast and in deterministic mode, on one device and on several in one process."""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from keras import layers

from trainer.config import RunConfig
from trainer.data.order import PADDING, Layout
from trainer.data.pipeline import Feed
from trainer.models import registry
from trainer.models.network import DropoutLayer, Network
from trainer.training.feeding import to_devices
from trainer.training.learner import Learner, build_learner, copy_to_host, restore
from trainer.training.step import (
    CORRECT,
    LOSS,
    LOSS_WEIGHT,
    WEIGHT,
    build_evaluation_step,
    build_train_step,
    part_gradient,
)
from trainer.training.strategy import Devices, Distribution, distribute, set_precision
from trainer.training.task import lay_out
from trainer.workers.topology import ALONE

SIZE = 24


def normalised(network: Network, dropout: DropoutLayer) -> Any:
    """A little network with group normalisation and dropout."""
    x = layers.Rescaling(1 / 255, dtype="float32", name="rescale")(network.inputs)
    x = layers.Conv2D(8, 3, strides=2, name="conv1")(x)
    x = layers.GroupNormalization(4, name="norm1")(x)
    x = layers.ReLU(name="relu1")(x)
    x = layers.Flatten(name="flatten")(x)
    return dropout(network.dropout, "dropout")(x) if network.dropout else x


@pytest.fixture(autouse=True)
def little_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(registry.MODELS, "normalised", normalised)
    yield
    keras.mixed_precision.set_global_policy("float32")


def asked(**changes: Any) -> RunConfig:
    # With plain SGD at rate 1 the change of a weight is minus its gradient.
    base = RunConfig(
        model="normalised",
        image_size=SIZE,
        optimizer="sgd",
        dropout=0.5,
        flip=True,
        rotation=0.1,
        zoom=0.2,
        precision="float32",
    )
    return dataclasses.replace(base, **changes)


@dataclasses.dataclass(frozen=True)
class Batch:
    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int32]
    transforms: npt.NDArray[np.float32]
    real: int  # rows after these are padding
    class_weights: tuple[float, float] | None = None


def batch(config: RunConfig, rows: int, real: int, seed: int = 0) -> Batch:
    from trainer.data.augment import transforms
    from trainer.training.step import augmentation_of

    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (rows, SIZE, SIZE, 3), dtype=np.uint8)
    labels = rng.integers(0, 2, rows).astype(np.int32)
    return Batch(pixels, labels, transforms(augmentation_of(config), 0, 0, np.arange(rows), SIZE), real)


def feeds(batch: Batch, layout: Layout) -> tuple[Feed, ...]:
    """Lay a batch over the replicas; padding keeps whatever pixels the batch has there."""
    total = layout.rows_per_replica * layout.replicas
    extra = total - len(batch.pixels)

    def padded(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.concatenate([array, np.repeat(array[-1:], extra, axis=0)]) if extra else array

    weights = (np.arange(total) < batch.real).astype(np.float32)
    ids = np.where(weights > 0, np.arange(total), PADDING)
    rows = [layout.rows_of(r) for r in range(layout.replicas)]
    by_label = None if batch.class_weights is None else np.array(batch.class_weights, np.float32)
    return tuple(
        Feed(
            padded(batch.pixels)[at],
            padded(batch.transforms)[at],
            padded(batch.labels)[at],
            weights[at],
            ids[at],
            at.start,
            None if by_label is None else by_label[padded(batch.labels)[at]],
        )
        for at in rows
    )


def on(replicas: int) -> Distribution:
    names = tuple(f"/cpu:{i}" for i in range(replicas))
    return distribute(ALONE, Devices("CPU", names), {})


@dataclasses.dataclass(frozen=True)
class Outcome:
    sums: npt.NDArray[np.float32]
    applied: bool
    norm: float
    before: dict[str, npt.NDArray[Any]]
    after: dict[str, npt.NDArray[Any]]
    copies: dict[str, list[bytes]]  # of each weight, one a replica
    learner: Learner

    @property
    def gradient(self) -> npt.NDArray[np.float64]:
        return np.concatenate([(self.before[n].astype(np.float64) - self.after[n]).ravel() for n in self.before])


def one_step(
    config: RunConfig,
    replicas: int,
    given: Batch,
    scale: float | None = None,
    poison: float | None = None,
    parts: int = 1,
) -> Outcome:
    set_precision(config.precision)
    distribution = on(replicas)
    learner = build_learner(config, 2, distribution.strategy)
    if scale is not None:
        restore(learner.loss_scale, {**copy_to_host(learner.loss_scale), "scale": np.array(scale, np.float32)})
    if poison is not None:
        restore(learner.weights, {**copy_to_host(learner.weights), "logits/bias": np.array([poison], np.float32)})
    layout = lay_out(dataclasses.replace(config, batch_size=max(given.real, config.batch_size)), replicas, parts)
    step = build_train_step(distribution.strategy, learner, "train", config, layout)
    before = copy_to_host(learner.weights)
    result = step(to_devices(distribution, feeds(given, layout), 0.0), tf.constant(5, tf.int64), tf.constant(1.0))
    copies = {
        name: [copy.numpy().tobytes() for copy in (getattr(v, "values", None) or (v,))]
        for name, v in learner.weights.items()
    }
    return Outcome(
        result.sums.numpy(),
        bool(result.finite.numpy()),
        float(result.gradient_norm.numpy()),
        before,
        copy_to_host(learner.weights),
        copies,
        learner,
    )


def assert_close(one: Outcome, other: Outcome, tolerance: float = 1e-5) -> None:
    """Loss, counts and gradient, relative to the largest entry."""
    np.testing.assert_allclose(one.sums[LOSS], other.sums[LOSS], rtol=tolerance)
    assert one.sums[CORRECT] == other.sums[CORRECT]
    assert one.sums[WEIGHT] == other.sums[WEIGHT]
    largest = np.abs(other.gradient).max()
    assert largest > 0
    assert np.abs(one.gradient - other.gradient).max() <= tolerance * largest


@pytest.mark.parametrize("replicas", [2, 3, 4])
@pytest.mark.parametrize("real", [32, 29, 5])
def test_fast_mode_gives_the_same_loss_and_gradient_on_any_replicas(replicas: int, real: int) -> None:
    config = asked()
    given = batch(config, 32, real)
    assert_close(one_step(config, replicas, given), one_step(config, 1, given))


@pytest.mark.parametrize(("replicas", "parts"), [(1, 4), (2, 2)])
def test_fast_mode_gives_the_same_step_however_many_parts_a_replica_has(replicas: int, parts: int) -> None:
    given = batch(asked(), 32, 29)
    one, other = one_step(asked(), 1, given), one_step(asked(), replicas, given, parts=parts)
    np.testing.assert_allclose(other.sums, one.sums, rtol=1e-5)
    largest = float(np.abs(one.gradient).max())
    np.testing.assert_allclose(other.gradient, one.gradient, atol=1e-5 * largest)


@pytest.mark.parametrize("replicas", [2, 4])
def test_deterministic_mode_gives_the_same_bits_on_any_replicas(replicas: int) -> None:
    config = asked(deterministic=True)
    given = batch(config, 32, 29)
    one, many = one_step(config, 1, given), one_step(config, replicas, given)
    assert {name: array.tobytes() for name, array in many.after.items()} == {
        name: array.tobytes() for name, array in one.after.items()
    }
    assert many.sums.tobytes() == one.sums.tobytes()


def test_deterministic_and_fast_mode_compute_the_same_step() -> None:
    given = batch(asked(), 32, 29)
    assert_close(one_step(asked(deterministic=True), 1, given), one_step(asked(), 1, given))


@pytest.mark.parametrize("deterministic", [False, True])
def test_padded_rows_are_not_seen_by_loss_gradient_metrics_or_normalisation(deterministic: bool) -> None:
    config = asked(deterministic=deterministic)
    plain = batch(config, 32, 29)
    # The same 29 pictures with three other pictures and labels in the padded rows.
    other = batch(config, 32, 29, seed=1)
    garbage = Batch(
        np.concatenate([plain.pixels[:29], other.pixels[29:]]),
        np.concatenate([plain.labels[:29], 1 - plain.labels[29:]]),
        plain.transforms,
        29,
    )
    assert not np.array_equal(garbage.pixels, plain.pixels)
    one, two = one_step(config, 1, plain), one_step(config, 1, garbage)
    assert one.sums[WEIGHT] == 29
    assert two.sums.tobytes() == one.sums.tobytes()
    assert {n: a.tobytes() for n, a in two.after.items()} == {n: a.tobytes() for n, a in one.after.items()}


def test_padded_rows_change_nothing_against_a_batch_without_them() -> None:
    config = asked()
    given = batch(config, 32, 29)
    alone = Batch(given.pixels[:29], given.labels[:29], given.transforms[:29], 29)
    padded = one_step(config, 1, given)
    unpadded = one_step(dataclasses.replace(config, batch_size=29), 1, alone)
    assert_close(padded, unpadded)


@pytest.mark.parametrize("replicas", [1, 2, 3, 4])
def test_clipping_uses_the_norm_of_the_global_gradient(replicas: int) -> None:
    given = batch(asked(), 32, 32)
    free = one_step(asked(), replicas, given)
    clipped = one_step(asked(clip_norm=free.norm / 2), replicas, given)
    np.testing.assert_allclose(np.linalg.norm(clipped.gradient), free.norm / 2, rtol=1e-4)
    np.testing.assert_allclose(clipped.gradient, free.gradient / 2, atol=1e-5 * np.abs(free.gradient).max())
    assert all(len(set(copies)) == 1 for copies in clipped.copies.values())


@pytest.mark.parametrize("replicas", [2, 4])
def test_overflow_on_one_replica_skips_the_update_on_all(replicas: int) -> None:
    config = asked(precision="mixed_float16", dropout=0.0, flip=False, rotation=0.0, zoom=0.0)
    given = batch(config, 32, 32)
    # Only the first replica's rows have light in them; the others' gradients of the first layer stay small.
    pixels = np.zeros_like(given.pixels)
    pixels[: 32 // replicas] = 255
    outcome = one_step(config, replicas, Batch(pixels, given.labels, given.transforms, 32), scale=2.0**24)
    assert not outcome.applied
    for name, copies in outcome.copies.items():
        assert set(copies) == {outcome.before[name].tobytes()}, f"{name} changed on some replica"
    scale = outcome.learner.loss_scale["scale"]
    assert [float(copy.numpy()) for copy in scale.values] == [2.0**23] * replicas
    assert int(copy_to_host({"n": outcome.learner.slots["iterations"]})["n"]) == 0


def test_loss_scale_does_not_change_the_gradient() -> None:
    config = asked(precision="mixed_float16")
    given = batch(config, 32, 32)
    small, large = one_step(config, 1, given, scale=2.0**4), one_step(config, 1, given, scale=2.0**10)
    assert small.applied
    assert large.applied
    largest = np.abs(small.gradient).max()
    assert np.abs(small.gradient - large.gradient).max() < 0.01 * largest


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_step_that_is_not_finite_is_not_applied(replicas: int) -> None:
    config = asked()
    outcome = one_step(config, replicas, batch(config, 32, 32), poison=float("nan"))
    assert not outcome.applied
    assert {n: a.tobytes() for n, a in outcome.after.items()} == {n: a.tobytes() for n, a in outcome.before.items()}
    assert int(copy_to_host({"n": outcome.learner.slots["iterations"]})["n"]) == 0


def test_iterations_count_applied_updates() -> None:
    outcome = one_step(asked(optimizer="adam"), 2, batch(asked(), 32, 32))
    assert int(copy_to_host({"n": outcome.learner.slots["iterations"]})["n"]) == 1


def test_weight_decay_is_decoupled_and_leaves_biases() -> None:
    given = batch(asked(), 32, 32)
    plain, decayed = one_step(asked(), 1, given), one_step(asked(weight_decay=0.1), 1, given)
    kernel, bias = "conv1/kernel", "conv1/bias"
    np.testing.assert_allclose(plain.after[kernel] - decayed.after[kernel], 0.1 * plain.before[kernel], atol=1e-5)
    np.testing.assert_array_equal(plain.after[bias], decayed.after[bias])


def test_moving_average_follows_the_weights() -> None:
    config = asked(ema=0.9)
    outcome = one_step(config, 2, batch(config, 32, 32))
    average = copy_to_host(outcome.learner.ema)
    for name in outcome.before:
        np.testing.assert_allclose(
            average[name], 0.9 * outcome.before[name] + 0.1 * outcome.after[name], rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("replicas", [2, 3])
def test_evaluation_counts_every_picture_once(replicas: int) -> None:
    config = asked()
    distribution = on(replicas)
    learner = build_learner(config, 2, distribution.strategy)
    layout = Layout(32, replicas, replicas)
    given = batch(config, 32, 29)
    sums = build_evaluation_step(distribution.strategy, learner.networks["train"], layout, False)(
        to_devices(distribution, feeds(given, layout), 0.0)
    ).numpy()
    logits = learner.networks["train"](given.pixels[:29].astype(np.float32)).numpy()[:, 0]
    assert sums[WEIGHT] == 29
    assert sums[CORRECT] == ((logits > 0) == given.labels[:29]).sum()
    expected = np.log1p(np.exp(-np.where(given.labels[:29] == 1, logits, -logits).astype(np.float64))).sum()
    np.testing.assert_allclose(sums[LOSS], expected, rtol=1e-5)


def test_a_stop_request_reaches_every_replica_once() -> None:
    config, distribution = asked(), on(3)
    learner = build_learner(config, 2, distribution.strategy)
    layout = lay_out(config, 3)
    step = build_train_step(distribution.strategy, learner, "train", config, layout)
    result = step(
        to_devices(distribution, feeds(batch(config, 32, 32), layout), 1.0), tf.constant(0, tf.int64), tf.constant(0.0)
    )
    assert result.sums.numpy()[3] == 1.0


def weighted(given: Batch, cats: float, dogs: float) -> Batch:
    return dataclasses.replace(given, class_weights=(cats, dogs))


def dogs_thrice(given: Batch) -> Batch:
    times = np.where(given.labels == 1, 3, 1)
    real = int(times[: given.real].sum())
    every = (np.repeat(array, times, axis=0) for array in (given.pixels, given.labels, given.transforms))
    return Batch(*every, real)


@pytest.mark.parametrize(("replicas", "deterministic", "scale"), [(1, False, 1.0), (2, True, 0.001), (3, False, 0.001)])
def test_a_class_of_weight_3_counts_like_three_of_each_of_its_pictures_in_the_loss_alone(
    replicas: int, deterministic: bool, scale: float
) -> None:
    config = asked(deterministic=deterministic, dropout=0.0, flip=False, rotation=0.0, zoom=0.0)
    given = batch(config, 12, 11)
    one, repeated = (
        one_step(config, replicas, weighted(given, scale, 3 * scale)),
        one_step(config, replicas, dogs_thrice(given)),
    )
    assert len(set(given.labels[:11])) == 2
    np.testing.assert_allclose(one.sums[LOSS_WEIGHT], scale * repeated.sums[WEIGHT], rtol=1e-6)
    np.testing.assert_allclose(one.sums[LOSS], scale * repeated.sums[LOSS], rtol=1e-5)
    np.testing.assert_allclose(one.norm, repeated.norm, rtol=1e-4)
    assert np.abs(one.gradient - repeated.gradient).max() <= 1e-4 * np.abs(repeated.gradient).max()
    plain = one_step(config, replicas, given)
    assert one.sums[WEIGHT] == 11
    assert one.sums[CORRECT] == plain.sums[CORRECT]
    assert np.abs(one.gradient - plain.gradient).max() > 0.01 * np.abs(plain.gradient).max()


@pytest.mark.parametrize(("replicas", "real"), [(2, 29), (4, 5)])
def test_weighted_steps_have_the_same_bits_on_any_replicas(replicas: int, real: int) -> None:
    config = asked(deterministic=True, clip_norm=0.5)
    given = weighted(batch(config, 32, real), 0.6, 2.7)
    one, many = one_step(config, 1, given), one_step(config, replicas, given)
    assert many.sums.tobytes() == one.sums.tobytes()
    assert many.norm == one.norm
    assert {n: a.tobytes() for n, a in many.after.items()} == {n: a.tobytes() for n, a in one.after.items()}


def test_the_weights_of_padded_rows_are_not_seen() -> None:
    config = asked()
    plain = batch(config, 32, 29)
    other = dataclasses.replace(plain, labels=np.where(np.arange(32) < 29, plain.labels, 1 - plain.labels))
    one, two = (one_step(config, 1, weighted(given, 0.5, 100.0)) for given in (plain, other))
    assert two.sums.tobytes() == one.sums.tobytes()
    assert {n: a.tobytes() for n, a in two.after.items()} == {n: a.tobytes() for n, a in one.after.items()}


def test_clipping_goes_by_the_norm_of_the_weighted_mean() -> None:
    given = weighted(batch(asked(), 32, 29), 0.5, 4.0)
    free = one_step(asked(), 2, given)
    clipped = one_step(asked(clip_norm=free.norm / 2), 2, given)
    np.testing.assert_allclose(np.linalg.norm(clipped.gradient), free.norm / 2, rtol=1e-4)


def test_without_class_weights_the_step_sums_what_it_always_did() -> None:
    config, distribution = asked(), on(1)
    learner = build_learner(config, 2, distribution.strategy)
    layout = lay_out(config, 1)
    plain = batch(config, 32, 29)
    rows = [to_devices(distribution, feeds(given, layout), 0.0) for given in (plain, weighted(plain, 1.0, 2.0))]
    step = tf.function(
        lambda part: part_gradient(learner, learner.networks["train"], config, part, tf.constant(0, tf.int64)),
        autograph=False,
    )
    off, on_ = (step.get_concrete_function(one) for one in rows)
    assert (off.output_shapes[0], on_.output_shapes[0]) == (learner.parameters + 4, learner.parameters + 5)
    kinds = [Counter(op.type for op in one.graph.get_operations()) for one in (off, on_)]
    # One placeholder, one product with the weights and one sum of them; the gradient of the loss goes over the product.
    more = kinds[1] - kinds[0]
    assert not kinds[0] - kinds[1]
    assert more["Placeholder"] == 1
    assert set(more) <= {"Placeholder", "Mul", "Sum", "Const"}
