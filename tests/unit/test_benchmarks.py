"""What benchmarks compute from what they measure; the measuring itself is run by hand."""

import importlib.util
import io

import numpy as np
import pytest
from PIL import Image

from benchmarks.__main__ import COMPARISONS
from benchmarks.gpu import Case, cases, figures
from benchmarks.growth import axes, commented, exponent
from trainer.config import RunConfig


@pytest.mark.parametrize("name", COMPARISONS)
def test_every_comparison_is_there(name: str) -> None:
    assert importlib.util.find_spec(f"benchmarks.{name}") is not None


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_an_exponent_is_the_power(power: float) -> None:
    points = [{"x": x, "step": 3.0 * x**power} for x in (2.0, 20.0, 200.0)]
    assert exponent(points, "step") == pytest.approx(power)
    assert exponent([*points, {"x": 400.0, "step": 0.0}], "step") is None


def test_a_commented_picture_has_other_bytes_and_the_same_pixels() -> None:
    plain = io.BytesIO()
    Image.effect_noise((40, 40), 50).save(plain, "JPEG")
    one, other = commented(plain.getvalue(), "1"), commented(plain.getvalue(), "2")
    assert one != other
    pixels = [np.asarray(Image.open(io.BytesIO(each))) for each in (plain.getvalue(), one, other)]
    assert all(np.array_equal(pixels[0], each) for each in pixels)


@pytest.mark.parametrize("small", [True, False])
def test_points_are_options_of_a_run_and_ascend(small: bool) -> None:
    for axis in axes(small).values():
        for point in axis.points:
            RunConfig(**point.options)
        x = [point.x or point.data.classes for point in axis.points]
        assert x == sorted(set(x))


def test_cases_of_gpus_have_names_of_their_own_and_share_a_batch_where_bits_are_compared() -> None:
    for gpus in (1, 2, 4, 8):
        found = cases(gpus)
        assert len({case.name for case in found}) == len(found)
        assert max(case.devices for case in found) == gpus
        assert len({case.rows * case.devices for case in found if case.deterministic}) == 1


def test_other_bits_on_another_number_of_gpus_are_told() -> None:
    told = {"images_per_second": 100.0, "start_seconds": 9.0, "peak_bytes": 2.0**30, "weights_sha256": "a"}
    one, two = (Case("float32", count, deterministic=True) for count in (1, 2))
    same = figures({one: [told, told], two: [told]})
    assert same["exactness"].met is True
    assert same["float32_1_gpu_deterministic_memory"].ours == 1.0
    assert figures({one: [told], two: [{**told, "weights_sha256": "b"}]})["exactness"].met is False


def test_gpus_and_xla_are_compared_with_one_without() -> None:
    told = {"images_per_second": 100.0, "start_seconds": 9.0, "peak_bytes": None, "weights_sha256": "a"}
    cases = {Case("float32"): [told], Case("float32", xla=True): [{**told, "images_per_second": 150.0}]}
    found = figures({**cases, Case("float32", 2): [{**told, "images_per_second": 190.0}]})
    assert found["float32_1_gpu_xla"].ratio == 1.5
    assert found["float32_2_gpus"].ratio == 1.9
    assert found["float32_2_gpus_memory"].ours is None
