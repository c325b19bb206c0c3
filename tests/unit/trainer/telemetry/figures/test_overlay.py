import numpy as np
import pytest

from tests.unit.trainer.telemetry.figures.samples import LIMIT, history, opened
from trainer.telemetry.curves import rows
from trainer.telemetry.figures.overlay import COLOURS, overlay_png


def has(image, colour):
    """Whether some pixels of the figure have about this colour."""
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    pixels = np.asarray(image.convert("RGB")).astype(int)
    return bool((np.abs(pixels - wanted).max(axis=2) < 12).any())


@pytest.mark.parametrize("runs", [2, 7, 20])
def test_an_overlay_is_as_wide_as_the_curves_and_small(runs):
    png = overlay_png([f"run {at}" for at in range(runs)], [rows(history(20 + at)) for at in range(runs)])
    assert opened(png).width == 1800
    assert len(png) < LIMIT


def test_each_run_has_a_colour_of_its_own():
    two = opened(overlay_png(["a", "b"], [rows(history(9)), rows(history(30))]))
    *others, _ = COLOURS  # the last is a grey, as text is
    assert [has(two, colour) for colour in others] == [True, True, False, False, False, False]


def test_runs_without_an_epoch_are_in_the_legend_only():
    assert has(opened(overlay_png(["a", "b"], [rows(history(9)), ()])), COLOURS[1])


def test_losses_that_are_not_finite_or_absurd_are_left_out():
    odd = history(6)
    odd[1]["valid"] = None
    odd[2]["train"] = {"loss": float("inf"), "accuracy": float("nan")}
    odd[3]["valid"] = {"loss": 1e300, "accuracy": -1e300}
    odd[4]["valid"] = {"loss": -1e308, "accuracy": 1e308}
    assert opened(overlay_png(["a", "a"], [rows(odd)] * 2)).format == "PNG"


def test_an_overlay_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no run has an epoch yet"):
        overlay_png(["a", "b"], [(), ()])
