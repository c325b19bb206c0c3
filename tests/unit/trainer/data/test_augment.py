import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data.augment import Augmentation, apply, transforms, uniforms

seeds = st.integers(0, 2**31 - 1)
epochs = st.integers(0, 10_000)
ids = st.lists(st.integers(-1, 2**40), min_size=1, max_size=40)
NONE = Augmentation(False, 0.0, 0.0)
ALL = Augmentation(True, 0.1, 0.2)


def array(values: list[int] | range) -> npt.NDArray[np.int64]:
    return np.array(values, np.int64)


def picture(size: int, seed: int = 1) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).integers(0, 256, (1, size, size, 3)).astype(np.float32)


def matrix(mirror: float = 1.0, turns: float = 0.0, side: float = 1.0, size: int = 9) -> npt.NDArray[np.float32]:
    """The transform that a drawn mirror, rotation and zoom should give, built from the meaning of the words."""
    angle, centre = turns * 2 * math.pi, (size - 1) / 2
    to_centre = np.array([[1, 0, -centre], [0, 1, -centre], [0, 0, 1]])
    turn = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
    scale = np.diag([mirror * side, side, 1])
    flat = (np.linalg.inv(to_centre) @ scale @ turn @ to_centre).flatten()
    return flat[None, :8].astype(np.float32)


def applied(pixels: npt.NDArray[np.float32], matrices: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(apply(tf.constant(pixels), tf.constant(matrices)).numpy(), np.float32)


def reference(image: npt.NDArray[np.float32], row: Any) -> npt.NDArray[np.float64]:
    """One picture transformed pixel by pixel: bilinear, edges reflected ("d c b a | a b c d | d c b a")."""
    size = image.shape[0]
    out = np.zeros(image.shape, np.float64)

    def inside(at: float) -> float:
        at = at % (2 * size)
        return min(max(at if at < size else 2 * size - at - 1, 0), size - 1)

    for y in range(size):
        for x in range(size):
            left = inside(row[0] * x + row[1] * y + row[2])
            top = inside(row[3] * x + row[4] * y + row[5])
            x0, y0 = math.floor(left), math.floor(top)
            for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
                weight = (1 - abs(top - (y0 + dy))) * (1 - abs(left - (x0 + dx)))
                if weight:
                    out[y, x] += weight * image[y0 + dy, x0 + dx]
    return out


@given(seeds, epochs, ids)
def test_randomness_is_a_function_of_seed_epoch_and_id(seed: int, epoch: int, chosen: list[int]) -> None:
    together = uniforms(seed, epoch, array(chosen), 3)
    assert together.shape == (len(chosen), 3)
    assert together.dtype == np.float64
    assert ((together >= 0) & (together < 1)).all()
    for row, one in zip(together, chosen, strict=True):
        assert np.array_equal(row, uniforms(seed, epoch, array([one]), 3)[0])


@given(seeds, epochs, st.integers(0, 1000))
def test_a_column_does_not_depend_on_how_many_there_are(seed: int, epoch: int, one: int) -> None:
    assert np.array_equal(uniforms(seed, epoch, array([one]), 2), uniforms(seed, epoch, array([one]), 7)[:, :2])


def test_each_of_seed_epoch_id_and_column_matters() -> None:
    base = uniforms(3, 4, array([5]), 2)[0]
    drawn = [
        *base,
        *(uniforms(*other, 1)[0, 0] for other in ((4, 4, array([5])), (3, 5, array([5])), (3, 4, array([6])))),
    ]
    assert len(set(drawn)) == len(drawn)
    assert uniforms(1, 2, array([3]), 1) != uniforms(2, 1, array([3]), 1)


@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize("along", ["ids", "epochs", "seeds"])
def test_numbers_are_uniform_in_every_direction(column: int, along: str) -> None:
    count = 4000
    if along == "ids":
        drawn = uniforms(0, 0, array(range(count)), 3)[:, column]
    elif along == "epochs":
        drawn = np.array([uniforms(0, epoch, array([7]), 3)[0, column] for epoch in range(count)])
    else:
        drawn = np.array([uniforms(seed, 0, array([7]), 3)[0, column] for seed in range(count)])
    # Kolmogorov-Smirnov: a uniform sample stays below 1.95 / sqrt(n) in 999 cases of 1,000.
    distance = np.abs(np.sort(drawn) - (np.arange(count) + 0.5) / count).max()
    assert distance < 1.95 / math.sqrt(count)


def test_columns_and_neighbours_are_not_correlated() -> None:
    drawn = uniforms(0, 0, array(range(20_000)), 3)
    series = [*drawn.T, [*drawn[1:, 0].tolist(), 0.5], uniforms(0, 1, array(range(20_000)), 1)[:, 0]]
    correlations = np.corrcoef(np.array(series))
    assert np.abs(correlations - np.eye(len(series))).max() < 0.03


def test_numbers_never_change_silently() -> None:
    assert uniforms(0, 0, array([0, 1]), 3).tolist() == [
        [0.17541561601846456, 0.4732158221135335, 0.6540049304066852],
        [0.3660577160841394, 0.26405596930022257, 0.2253186993256141],
    ]
    assert uniforms(2**31 - 1, 99, array([1234]), 2).tolist() == [[0.2598309030291197, 0.8117379566144529]]


def test_nothing_is_drawn_when_all_is_off() -> None:
    assert not NONE.any
    assert all(one.any for one in (Augmentation(True, 0, 0), Augmentation(False, 0.1, 0), Augmentation(False, 0, 0.1)))


def test_without_augmentation_every_transform_is_the_identity() -> None:
    rows = transforms(NONE, 1, 2, array(range(20)), 9)
    assert np.array_equal(rows, np.tile(np.array([1, 0, 0, 0, 1, 0, 0, 0], np.float32), (20, 1)))
    pixels = picture(9)
    assert np.array_equal(applied(pixels, rows[:1]), pixels)


@pytest.mark.parametrize("size", [9, 16, 180])
def test_a_flip_is_the_exact_mirror_image(size: int) -> None:
    rows = transforms(Augmentation(True, 0, 0), 0, 0, array(range(40)), size)
    flipped = rows[:, 0] < 0
    assert 8 < flipped.sum() < 32
    pixels = picture(size)
    for row in rows[:4]:
        expected = pixels[:, :, ::-1] if row[0] < 0 else pixels
        assert np.array_equal(applied(pixels, row[None]), expected)


def test_a_quarter_turn_moves_a_known_pixel() -> None:
    pixels = np.zeros((1, 9, 9, 3), np.float32)
    pixels[0, 4, 7] = 255  # right of the centre, 3 pixels away
    turned = applied(pixels, matrix(turns=0.25))
    assert turned[0, 1, 4] == pytest.approx([255] * 3, abs=0.01)  # above it
    assert turned.sum() == pytest.approx(3 * 255, rel=1e-4)


@given(seeds, st.integers(0, 1000))
def test_transforms_are_a_mirror_a_rotation_and_a_zoom_within_their_limits(seed: int, one: int) -> None:
    row = transforms(ALL, seed, 0, array([one]), 9)[0].astype(np.float64)
    linear = np.array([[row[0], row[1]], [row[3], row[4]]])
    determinant = np.linalg.det(linear)
    side = math.sqrt(abs(determinant))
    assert 0.8 - 1e-6 <= side <= 1.2 + 1e-6
    turn = np.diag([math.copysign(1, determinant), 1]) @ linear / side
    assert turn @ turn.T == pytest.approx(np.eye(2), abs=1e-6)
    turns = math.atan2(turn[1, 0], turn[1, 1]) / (2 * math.pi)
    assert abs(turns) <= 0.1 + 1e-6
    assert row == pytest.approx(matrix(math.copysign(1, determinant), turns, side)[0], abs=1e-5)


@given(seeds, epochs, st.sampled_from([8, 9, 180]))
def test_the_centre_stays_where_it_is(seed: int, epoch: int, size: int) -> None:
    row = transforms(Augmentation(True, 0.5, 0.9), seed, epoch, array([3]), size)[0].astype(np.float64)
    centre = (size - 1) / 2
    assert row[0] * centre + row[1] * centre + row[2] == pytest.approx(centre, abs=1e-4)
    assert row[3] * centre + row[4] * centre + row[5] == pytest.approx(centre, abs=1e-4)


def test_limits_are_used_to_the_full() -> None:
    rows = transforms(ALL, 0, 0, array(range(5000)), 9)
    sides = np.hypot(rows[:, 3], rows[:, 4])
    turns = np.arctan2(rows[:, 3], rows[:, 4]) / (2 * math.pi)
    for values, low, high in ((sides, 0.8, 1.2), (turns, -0.1, 0.1)):
        assert low <= values.min() + 1e-6 < low + 0.01
        assert high - 0.01 < values.max() - 1e-6 <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.01)


def test_zoom_is_the_side_of_the_window() -> None:
    pixels = np.zeros((1, 9, 9, 3), np.float32)
    pixels[0, 4, 6] = 255  # two pixels right of the centre
    closer = applied(pixels, matrix(side=0.5))
    assert closer[0, 4, 8, 0] == 255  # four
    farther = applied(pixels, matrix(side=2.0))
    assert farther[0, 4, 5, 0] == 255  # one
    assert applied(pixels, matrix(side=0.5))[0, 4, 4, 0] == 0


def test_one_call_draws_as_many_calls() -> None:
    together = transforms(ALL, 1, 2, array([4, 9, 2]), 16)
    assert together.dtype == np.float32
    assert np.array_equal(together, np.concatenate([transforms(ALL, 1, 2, array([one]), 16) for one in (4, 9, 2)]))


@settings(max_examples=25)
@given(seeds)
def test_pixels_equal_a_slow_reference(seed: int) -> None:
    wild = Augmentation(True, 0.5, 0.6)
    rows = transforms(wild, seed, 0, array([0, 1]), 7)
    pixels = np.concatenate([picture(7, seed), picture(7, seed + 1)])
    expected = np.stack([reference(image, row) for image, row in zip(pixels, rows, strict=True)])
    assert applied(pixels, rows) == pytest.approx(expected, abs=0.05)


def test_edges_are_reflected() -> None:
    pixels = picture(6)
    moved = np.array([[1, 0, -2, 0, 1, 0, 0, 0]], np.float32)  # two columns to the right
    expected = np.concatenate([pixels[:, :, 1::-1], pixels[:, :, :4]], axis=2)
    assert np.array_equal(applied(pixels, moved), expected)
