import io
import sys

import matplotlib.pyplot
import numpy as np
import pytest
from PIL import Image

from trainer.telemetry.figures import Mistake, augmentation_png, confusion_png, curves_png, mistakes_png

LIMIT = 200_000


def opened(png):
    picture = Image.open(io.BytesIO(png))
    picture.load()
    return picture


def history(epochs):
    return [
        {
            "epoch": epoch,
            "step": epoch * 63,
            "train": {"loss": 0.7 / epoch, "accuracy": 1 - 0.5 / epoch},
            "valid": {"loss": 0.4 + 0.01 * abs(epoch - 20), "accuracy": 0.8 - 0.002 * abs(epoch - 30)},
            "learning_rate": 0.001,
            "examples_per_second": 60.0,
            "seconds": 33.0,
        }
        for epoch in range(1, epochs + 1)
    ]


def picture(seed, height=60, width=90):
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def mistakes(count, name="cats"):
    return [Mistake(picture(at), f"test/{name}/{at}.jpg", name, "dogs", 1 - at / 100) for at in range(count)]


def confusion(classes):
    return np.eye(classes, dtype=np.int64) * 40 + np.random.default_rng(0).integers(0, 3, (classes, classes))


@pytest.mark.parametrize("epochs", [1, 2, 30, 100])
def test_curves_are_wide_enough_for_900_css_pixels_twice_as_fine_and_small(epochs):
    png = curves_png(history(epochs))
    assert opened(png).width == 1800
    assert len(png) < LIMIT


def test_overfitting_and_best_epoch_are_drawn():
    overfits, before = opened(curves_png(history(60))), opened(curves_png(history(15)))

    def has_violet(image):  # the colour of the overfitting marker, mixed from no other
        pixels = np.asarray(image.convert("RGB")).astype(int)
        return bool((np.abs(pixels - (0x8F, 0x3F, 0x74)).max(axis=2) < 12).any())

    assert has_violet(overfits)
    assert not has_violet(before)


def test_curves_survive_epochs_without_validation_or_finite_loss():
    odd = history(5)
    odd[2]["valid"] = None
    odd[4]["train"] = {"loss": float("nan"), "accuracy": None}
    assert opened(curves_png(odd)).format == "PNG"


def test_curves_of_nothing_are_refused():
    with pytest.raises(ValueError, match="no epoch yet"):
        curves_png([])


@pytest.mark.parametrize("classes", [1, 2, 12, 13, 50, 200])
def test_confusion_is_drawn_for_few_and_many_classes(classes):
    png = confusion_png(confusion(classes), [f"class {at}" for at in range(classes)])
    assert opened(png).width > 600
    assert len(png) < LIMIT


def test_confusion_colours_follow_the_row_share():
    right = opened(confusion_png(np.array([[9, 0], [0, 9]]), ["a", "b"])).convert("L")
    wrong = opened(confusion_png(np.array([[0, 9], [9, 0]]), ["a", "b"])).convert("L")
    assert right.size == wrong.size
    across, down = int(right.width * 0.15), int(right.height * 0.1)
    assert right.getpixel((across, down)) < 100 < 200 < wrong.getpixel((across, down))


def test_a_class_without_pictures_is_no_division_by_zero():
    assert confusion_png(np.array([[3, 1], [0, 0]]), ["a", "b"])


@pytest.mark.parametrize("name", ["$x$", "$\\frac{", "a_b^c", "<script>", "two\nlines", "x" * 300, ""])
def test_names_are_drawn_as_text_whatever_they_hold(name):
    assert confusion_png(confusion(2), [name, "dogs"])
    assert mistakes_png(mistakes(1, name))


@pytest.mark.parametrize(
    ("matrix", "labels", "message"),
    [
        (np.zeros((2, 3), np.int64), ["a", "b"], r"shape \[2, 3\], expected \[2, 2\]"),
        (np.zeros((0, 0), np.int64), [], "0 labels"),
        (np.array([[1, -1], [0, 0]]), ["a", "b"], "negative"),
    ],
)
def test_a_matrix_that_does_not_fit_is_refused(matrix, labels, message):
    with pytest.raises(ValueError, match=message):
        confusion_png(matrix, labels)


@pytest.mark.parametrize("count", [1, 4, 9, 20])
def test_augmentation_shows_up_to_nine_variants(count):
    png = augmentation_png(picture(0), np.stack([picture(at) for at in range(count)]))
    assert opened(png).format == "PNG"
    if count == 20:
        assert png == augmentation_png(picture(0), np.stack([picture(at) for at in range(9)]))


@pytest.mark.parametrize(
    ("original", "variants"),
    [
        (picture(0).astype(np.float32), picture(0)[None]),
        (picture(0)[..., :1], picture(0)[None]),
        (picture(0), picture(0)),
        (picture(0), picture(0)[None][:0]),
        (picture(0), picture(0)[None].astype(np.float32)),
    ],
)
def test_pictures_of_another_kind_are_refused(original, variants):
    with pytest.raises(ValueError, match="expected"):
        augmentation_png(original, variants)


def test_the_twelve_surest_mistakes_are_shown_whatever_their_order():
    many = mistakes(20)
    assert mistakes_png(many[::-1]) == mistakes_png(many[:12])
    assert mistakes_png(many) != mistakes_png(many[1:])


def test_no_mistakes_are_refused():
    with pytest.raises(ValueError, match="no mistakes"):
        mistakes_png([])


def test_the_same_input_gives_the_same_bytes_without_metadata():
    for draw in (
        lambda: curves_png(history(40)),
        lambda: confusion_png(confusion(3), ["a", "b", "c"]),
        lambda: mistakes_png(mistakes(3)),
        lambda: augmentation_png(picture(0), picture(0)[None]),
    ):
        first = draw()
        assert first == draw()
        assert not getattr(opened(first), "text", {})


def test_no_figure_is_registered_with_pyplot():
    curves_png(history(3))
    assert "matplotlib.pyplot" in sys.modules
    assert matplotlib.pyplot.get_fignums() == []
