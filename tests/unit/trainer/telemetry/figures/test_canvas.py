import sys

import matplotlib.pyplot
import pytest

from tests.unit.trainer.telemetry.figures.samples import confusion, history, mistakes, opened, picture
from trainer.telemetry.figures.confusion import confusion_png
from trainer.telemetry.figures.curves import curves_png
from trainer.telemetry.figures.photos import augmentation_png, mistakes_png


@pytest.mark.parametrize("name", ["$x$", "$\\frac{", "a_b^c", "<script>", "two\nlines", "x" * 300, ""])
def test_names_are_drawn_as_text_whatever_they_hold(name):
    assert confusion_png(confusion(2), [name, "dogs"])
    assert mistakes_png(mistakes(1, name))


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
