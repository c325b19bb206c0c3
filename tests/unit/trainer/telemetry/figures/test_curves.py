import numpy as np
import pytest

from tests.unit.trainer.telemetry.figures.samples import LIMIT, history, opened
from trainer.telemetry.figures.curves import curves_png


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
