import hashlib
import io
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from trainer.data.drawing.draw import LABELS, SPLITS, draw

ROOT = Path(__file__).resolve().parents[5]
PER_CLASS = 200

Floats = NDArray[np.float64]


def digest(image: Image.Image) -> str:
    return hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("index", range(12))
def test_a_picture_is_rgb_of_the_stated_size_and_not_flat(label: str, index: int) -> None:
    image = draw(label, 3, index, "train")
    assert image.mode == "RGB"
    assert 120 <= min(image.size) <= max(image.size) <= 260
    assert np.asarray(image).std() > 8


def test_a_picture_depends_on_its_arguments_alone() -> None:
    first = digest(draw("cats", 0, 5, "train"))
    draw("dogs", 1, 6, "valid")
    np.random.default_rng(0).random(10)
    assert digest(draw("cats", 0, 5, "train")) == first


def test_every_argument_changes_the_picture() -> None:
    calls = [("cats", 0, 5, "train"), ("dogs", 0, 5, "train"), ("cats", 1, 5, "train")]
    calls += [("cats", 0, 6, "train"), ("cats", 0, 5, "valid"), ("cats", 0, 5, "test")]
    assert len({digest(draw(*call)) for call in calls}) == len(calls)


def test_a_picture_is_the_same_in_a_process_with_another_hash_seed() -> None:
    script = (
        "import hashlib; from trainer.data.drawing.draw import draw; image = draw('dogs', 7, 1, 'test');"
        "print(hashlib.sha256(f'{image.size}'.encode() + image.tobytes()).hexdigest())"
    )
    environment = os.environ | {"PYTHONHASHSEED": "12345", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest(draw("dogs", 7, 1, "test"))


def test_no_picture_of_one_split_is_in_another() -> None:
    seen = [digest(draw(label, 0, index, split)) for label in LABELS for split in SPLITS for index in range(5)]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(
    ("label", "split", "named"), [("cat", "train", "'cat'"), ("cats", "validation", "'validation'")]
)
def test_an_unknown_label_or_split_is_named(label: str, split: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        draw(label, 0, 0, split)


# --- only shape tells the classes apart ------------------------------------------------------------------------------


@cache
def sample() -> tuple[list[Image.Image], Floats]:
    """Pictures of both classes in turn, with targets -1 (cats) and 1 (dogs); the last 40 % are for testing."""
    images = [draw(label, 11, index, "train") for index in range(PER_CLASS) for label in LABELS]
    return images, np.tile([-1.0, 1.0], PER_CLASS)


def linear_accuracy(features: Floats, target: Floats, penalty: float) -> float:
    """Test accuracy of ridge regression on the signs, in its dual form: (n, d) features with d >> n stay cheap."""
    cut = round(0.6 * len(features))
    scaled = (features - features[:cut].mean(0)) / (features[:cut].std(0) + 1e-9)
    kernel = scaled @ scaled[:cut].T / features.shape[1]
    weights = np.linalg.solve(kernel[:cut] + penalty * np.eye(cut), target[:cut])
    return float(np.mean(np.sign(kernel[cut:] @ weights) == target[cut:]))


@pytest.mark.parametrize("penalty", [0.1, 10.0])
def test_a_linear_model_on_pixels_stays_below_70_percent(penalty: float) -> None:
    images, target = sample()
    pixels = np.stack([np.asarray(image.resize((64, 64)), np.float64).ravel() for image in images])
    assert linear_accuracy(pixels, target, penalty) < 0.7


@pytest.mark.parametrize("penalty", [0.1, 10.0])
def test_a_linear_model_on_colours_sizes_and_bytes_is_near_chance(penalty: float) -> None:
    images, target = sample()
    rows = []
    for image in images:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG")
        histogram = np.array(image.histogram(), np.float64).reshape(24, 32).sum(1) / (image.width * image.height)
        width, height = image.size
        rows.append([*histogram, width, height, width / height, buffer.tell() / (width * height)])
    assert linear_accuracy(np.array(rows), target, penalty) < 0.64


def test_the_linear_model_would_notice_a_tell_tale() -> None:
    """A check on the two tests above: one class 12 grey levels brighter is found out."""
    images, target = sample()
    pixels = np.stack([np.asarray(image.resize((64, 64)), np.float64).ravel() for image in images])
    flattened = pixels * 0.2  # the scenes alone vary far more than 12 levels
    assert linear_accuracy(flattened + 12 * (target[:, None] > 0), target, 0.1) > 0.8
