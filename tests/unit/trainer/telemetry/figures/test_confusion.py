import numpy as np
import pytest

from tests.unit.trainer.telemetry.figures.samples import LIMIT, confusion, opened
from trainer.telemetry.figures.confusion import confusion_png


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
