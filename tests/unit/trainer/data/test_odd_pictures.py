"""Pixels are those that Pillow shows: turned upright, as RGB, before resizing."""

import io
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from tests.unit.trainer.data.odd_pictures import (
    chunk,
    deep_pictures,
    jpeg,
    odd_pictures,
    raw_png,
    scene,
    segment,
    tiff,
    turned,
    with_segments,
)
from trainer.data.decode import PixelPath, Pixels, pixels
from trainer.training.export import Classifier, traced

PATH = PixelPath(2, 32)

ODD = {**odd_pictures(), **turned()}
DEEP = deep_pictures()


def differing() -> Mapping[str, tuple[bytes, str]]:
    """Where Pillow shows something else, and why we do not."""
    rows = [row.tobytes() for row in scene()]
    xmp = b'http://ns.adobe.com/xap/1.0/\0<rdf:Description tiff:Orientation="6"/>'
    return {
        "orientation in xmp.jpg": (with_segments(jpeg(), segment(0xE1, xmp)), "only Exif's orientation is read"),
        "orientation in a png.png": (raw_png(8, 2, rows, chunk(b"eXIf", tiff(6))), "a PNG is as it is stored"),
    }


def shown(encoded: bytes) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(encoded)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def resized(picture: npt.NDArray[np.uint8]) -> Pixels:
    return np.asarray(tf.cast(tf.round(tf.image.resize(picture, [PATH.size, PATH.size])), tf.uint8).numpy(), np.uint8)


def distance(ours: Pixels, theirs: Pixels) -> float:
    return float(np.abs(ours.astype(int) - theirs).mean())


def test_there_are_enough() -> None:
    assert len(odd_pictures()) + len(DEEP) >= 40
    assert len(turned()) == 16


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.parametrize("name", list(ODD))
def test_pixels_are_those_that_pillow_shows(name: str) -> None:
    assert distance(pixels(ODD[name], PATH), resized(shown(ODD[name]))) <= 1


@pytest.mark.parametrize("name", list(DEEP))
def test_sixteen_bits_are_their_upper_eight(name: str) -> None:
    encoded, expected = DEEP[name]
    assert distance(pixels(encoded, PATH), resized(expected)) == 0


@pytest.mark.parametrize("name", list(differing()))
def test_pictures_that_pillow_shows_otherwise(name: str) -> None:
    encoded, _why = differing()[name]
    as_stored = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))
    assert distance(pixels(encoded, PATH), resized(as_stored)) <= 1
    assert distance(pixels(encoded, PATH), resized(shown(encoded))) > 1


class Identity(keras.Model):
    """A network whose probabilities are the pixels."""

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        return keras.ops.reshape(inputs, (-1, PATH.size * PATH.size * 3))


@pytest.mark.parametrize("version", [1, 2])
def test_the_exported_model_sees_the_very_pixels_of_training(version: int, tmp_path: Path) -> None:
    path = PixelPath(version, PATH.size)
    model = traced(Classifier(Identity(), path, [str(i) for i in range(3 * PATH.size**2)]))
    tf.saved_model.save(model.classifier, str(tmp_path), signatures=model.signatures())
    loaded = tf.saved_model.load(str(tmp_path))
    encoded = [*ODD.values(), *(one for one, _ in DEEP.values())]
    answer = loaded.signatures["serving_default"](images=tf.constant(encoded))
    seen = answer["probabilities"].numpy().reshape(-1, PATH.size, PATH.size, 3)
    assert answer["ok"].numpy().all()
    assert np.array_equal(seen, np.stack([pixels(one, path) for one in encoded]))
