from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.unit.trainer.data.odd_pictures import exif, jpeg, odd_pictures, with_segments
from trainer.config import RunConfig
from trainer.data.decode import PixelPath, pixels
from trainer.exits import Exit, ExitError
from trainer.models.registry import build_for_export
from trainer.storage.base import Storage
from trainer.storage.opening import open_storage
from trainer.training import export
from trainer.training.export import Classifier, Exported, load_exported

CONFIG = RunConfig(model="small", image_size=32)
PATH = PixelPath(2, 32)
PLAIN = jpeg()
TURNED = with_segments(PLAIN, exif(6))
UNUSABLE = {
    "a body cut off": PLAIN[: len(PLAIN) // 2],
    "a header cut off": PLAIN[:30],
    "nothing": b"",
    "text": b"<html>",
    "a png cut off": odd_pictures()["plain.png"][:-60],
    "a gif": b"GIF89a" + bytes(50),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    storage = open_storage(str(tmp_path_factory.mktemp("run")))
    export.export(storage, build_for_export("small", 32, 3, 0.0), CONFIG, ["ant", "bee", "cow"], "a card")
    return storage


@pytest.fixture(scope="module")
def exported(run: Storage) -> Exported:
    return load_exported(run)


def test_a_model_says_its_own_pixel_path(run: Storage, exported: Exported) -> None:
    assert exported.path == PATH
    assert exported.labels == ("ant", "bee", "cow")


@pytest.mark.parametrize("place", ["model/saved_model", "model/saved_model/1"])
def test_it_can_be_loaded_as_it_is_and_served_as_a_version(place: str, run: Storage) -> None:
    loaded = tf.saved_model.load(run.uri.removeprefix("file://") + "/" + place)
    assert set(loaded.signatures) == {"serving_default", "serve_bytes", "serve_pixels"}
    answers = [loaded.signatures[name](images=tf.constant([PLAIN])) for name in ("serving_default", "serve_bytes")]
    assert set(answers[0]) == {"probabilities", "label", "ok"}
    for name in answers[0]:
        assert np.array_equal(answers[0][name], answers[1][name])


@pytest.mark.parametrize("what", list(UNUSABLE))
def test_a_picture_that_cannot_be_decoded_is_one_flagged_row(what: str, exported: Exported) -> None:
    answer = exported.serve_bytes(images=tf.constant([PLAIN, UNUSABLE[what], TURNED]))
    assert answer["ok"].numpy().tolist() == [True, False, True]
    assert answer["label"].numpy()[1] == b""
    assert not answer["probabilities"].numpy()[1].any()
    shown = np.stack([pixels(one, PATH) for one in (PLAIN, TURNED)])
    expected = exported.serve_pixels(pixels=tf.constant(shown))
    np.testing.assert_allclose(answer["probabilities"].numpy()[[0, 2]], expected["probabilities"].numpy(), atol=1e-6)
    assert answer["label"].numpy()[[0, 2]].tolist() == expected["label"].numpy().tolist()


def test_a_batch_of_unusable_pictures_alone(exported: Exported) -> None:
    answer = exported.serve_bytes(images=tf.constant(list(UNUSABLE.values())))
    assert not answer["ok"].numpy().any()
    assert answer["probabilities"].shape == (len(UNUSABLE), 3)


def saved(folder: Path, classifier: Classifier) -> Storage:
    tf.saved_model.save(classifier, str(folder / "model/saved_model"), signatures=classifier.signatures())
    storage = open_storage(str(folder))
    storage.write("model/labels.json", b'["ant", "bee"]')
    return storage


def test_a_model_of_before_there_were_two_has_pixel_path_1(tmp_path: Path) -> None:
    class Old(Classifier):
        pixel_path = None

    old = Old(build_for_export("small", 32, 2, 0.0), PixelPath(1, 32), ["ant", "bee"])
    assert load_exported(saved(tmp_path, old)).path == PixelPath(1, 32)


def test_a_model_of_a_newer_catdog_is_refused(tmp_path: Path) -> None:
    class New(Classifier):
        @tf.function(input_signature=[], autograph=False)
        def pixel_path(self) -> tf.Tensor:
            return tf.constant(99)

    storage = saved(tmp_path, New(build_for_export("small", 32, 2, 0.0), PATH, ["ant", "bee"]))
    with pytest.raises(ExitError, match="of a newer catdog") as caught:
        load_exported(storage)
    assert caught.value.code == Exit.RUN_REFUSED
