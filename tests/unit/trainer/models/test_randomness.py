from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.models.randomness import Draw, RowDropout, drawing, layer_key, uniform_rows


def draw(seed: int = 1, step: int = 2, first_row: int = 0) -> Draw:
    return Draw(seed, tf.constant(step, tf.int64), tf.constant(first_row, tf.int64))


def rows(made: Draw, count: int, width: int, name: str = "dropout") -> npt.NDArray[np.float32]:
    return np.asarray(uniform_rows(made, name, count, width).numpy(), np.float32)


def mask(made: Draw, shape: tuple[int, ...], rate: float = 0.5, name: str = "dropout") -> npt.NDArray[np.bool_]:
    with drawing(made):
        return np.asarray(RowDropout(rate, name)(tf.ones(shape), training=True).numpy()) > 0


@settings(max_examples=40)
@given(st.integers(1, 9), st.integers(0, 40), st.integers(0, 40), st.integers(0, 2**31 - 1), st.integers(0, 2**40))
def test_any_rows_are_a_slice_of_the_whole_draw(width: int, first: int, count: int, seed: int, step: int) -> None:
    whole = rows(draw(seed, step), 80, width)
    assert whole.shape == (80, width)
    assert ((whole >= 0) & (whole < 1)).all()
    assert np.array_equal(rows(draw(seed, step, first), count, width), whole[first : first + count])


def test_numbers_never_change_silently() -> None:
    # A run that is resumed with another TensorFlow must go on with the same masks.
    assert rows(draw(0, 0), 1, 4).tolist() == [
        [0.4572288990020752, 0.43548786640167236, 0.4144374132156372, 0.08185184001922607]
    ]
    assert rows(draw(7, 123, 5), 2, 3).tolist() == [
        [0.2620255947113037, 0.5980863571166992, 0.9802020788192749],
        [0.7495765686035156, 0.40280187129974365, 0.7633688449859619],
    ]


def test_numbers_are_uniform_and_no_row_repeats() -> None:
    whole = rows(draw(), 500, 37)
    assert whole.mean() == pytest.approx(0.5, abs=0.01)
    assert whole.var() == pytest.approx(1 / 12, abs=0.005)
    assert len({row.tobytes() for row in whole}) == 500
    assert np.abs(np.corrcoef(whole[:-1].ravel(), whole[1:].ravel())[0, 1]) < 0.03


def test_seed_step_and_name_each_give_other_numbers() -> None:
    drawn = [
        rows(draw(), 4, 8),
        rows(draw(seed=3), 4, 8),
        rows(draw(step=3), 4, 8),
        rows(draw(), 4, 8, name="dropout2"),
    ]
    assert len({one.tobytes() for one in drawn}) == 4


def test_steps_do_not_overlap() -> None:
    seen = {row.tobytes() for step in range(20) for row in rows(draw(step=step), 64, 8)}
    assert len(seen) == 20 * 64


def test_keys_are_63_bits_of_seed_and_name() -> None:
    keys = {layer_key(seed, name) for seed in range(50) for name in ("a", "b", "dropout")}
    assert len(keys) == 150
    assert all(0 <= key < 2**63 for key in keys)
    assert max(keys) > 2**60
    assert layer_key(1, "1/a") != layer_key(11, "/a")


@pytest.mark.parametrize("replicas", [1, 2, 3, 4, 8])
def test_the_mask_does_not_depend_on_the_number_of_replicas(replicas: int) -> None:
    whole = mask(draw(), (24, 5, 3))
    share = 24 // replicas
    parts = [mask(draw(first_row=r * share), (share, 5, 3)) for r in range(replicas)]
    assert np.array_equal(np.concatenate(parts), whole)


def test_the_mask_is_the_same_in_a_graph() -> None:
    layer = RowDropout(0.3, "dropout")

    @tf.function(autograph=False)
    def traced(inputs: Any, step: Any, first_row: Any) -> Any:
        with drawing(Draw(1, step, first_row)):
            return layer(inputs, training=True)

    for first in (0, 6):
        out = traced(tf.ones((6, 10)), tf.constant(2, tf.int64), tf.constant(first, tf.int64)).numpy()
        assert np.array_equal(out > 0, mask(draw(first_row=first), (6, 10), 0.3))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_rate_is_the_share_that_is_dropped_and_the_mean_stays(rate: float) -> None:
    with drawing(draw()):
        out = RowDropout(rate, "dropout")(tf.fill((200, 200), 3.0), training=True).numpy()
    assert (out == 0).mean() == pytest.approx(rate, abs=0.01)
    assert out[out > 0] == pytest.approx(3 / (1 - rate), rel=1e-6)
    assert out.mean() == pytest.approx(3, rel=0.06)


def test_masks_change_with_step_seed_and_name() -> None:
    masks = [
        mask(draw(), (8, 50)),
        mask(draw(step=9), (8, 50)),
        mask(draw(seed=9), (8, 50)),
        mask(draw(), (8, 50), name="other"),
    ]
    assert len({one.tobytes() for one in masks}) == 4


def test_the_input_passes_when_nothing_is_to_be_dropped() -> None:
    inputs = tf.random.stateless_normal((4, 9), seed=(1, 2))
    layer = RowDropout(0.5, "dropout")
    assert np.array_equal(layer(inputs, training=True).numpy(), inputs.numpy())  # outside of `drawing`
    with drawing(draw()):
        assert np.array_equal(layer(inputs, training=False).numpy(), inputs.numpy())
        assert np.array_equal(RowDropout(0.0, "none")(inputs, training=True).numpy(), inputs.numpy())
        assert not np.array_equal(layer(inputs, training=True).numpy(), inputs.numpy())
    assert np.array_equal(layer(inputs, training=True).numpy(), inputs.numpy())


def test_drawing_ends_with_an_error_too() -> None:
    with pytest.raises(KeyError), drawing(draw()):
        raise KeyError("broken")
    assert RowDropout(0.5, "dropout")(tf.ones((4, 9)), training=True).numpy().all()


def test_half_precision_stays_half() -> None:
    layer = RowDropout(0.5, "dropout")
    with drawing(draw()):
        out = layer(tf.ones((8, 64), tf.bfloat16), training=True)
    assert layer.variables == []
    assert set(np.unique(tf.cast(out, tf.float32).numpy())) == {0.0, 2.0}
