import numpy as np
import pytest

from tests.unit.trainer.telemetry.figures.samples import mistakes, opened, picture
from trainer.telemetry.figures.photos import augmentation_png, mistakes_png


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


def test_the_twelve_most_confident_mistakes_are_shown_whatever_their_order():
    many = mistakes(20)
    assert mistakes_png(many[::-1]) == mistakes_png(many[:12])
    assert mistakes_png(many) != mistakes_png(many[1:])


def test_no_mistakes_are_refused():
    with pytest.raises(ValueError, match="no mistakes"):
        mistakes_png([])
