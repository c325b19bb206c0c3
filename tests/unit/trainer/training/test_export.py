import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.unit.trainer.data.odd_pictures import exif, jpeg, odd_pictures, with_segments
from trainer.config import RESIZES, RunConfig
from trainer.data.cache import PixelCache
from trainer.data.data_set import DataSet
from trainer.data.decode import PixelPath, path_of, pixels
from trainer.data.source import Source
from trainer.exits import Exit, ExitError
from trainer.folder import files
from trainer.models.registry import build_for_export
from trainer.storage.base import Storage
from trainer.storage.opening import open_storage
from trainer.training import export
from trainer.training.export import Classifier, Exported, load_exported
from trainer.training.inputs import Inputs
from trainer.training.predictions import logits_of

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
    export.export(
        storage,
        export.traced(export.Classifier(build_for_export("small", 32, 3, 0.0), PATH, ["ant", "bee", "cow"])),
        "a card",
    )
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
    tf.saved_model.save(
        classifier, str(folder / "model/saved_model"), signatures=export.traced(classifier).signatures()
    )
    storage = open_storage(str(folder))
    storage.write("model/labels.json", b'["ant", "bee"]')
    return storage


def test_a_model_of_before_there_were_two_has_pixel_path_1(tmp_path: Path) -> None:
    class Old(Classifier):
        pixel_path = pixel_resize = pixel_antialias = None

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


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("resize", RESIZES)
def test_the_exported_model_makes_the_pixels_of_training(resize: str, antialias: bool, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, resize=resize, antialias=antialias)
    model = build_for_export("small", 32, 3, 0.0)
    export.export(
        open_storage(str(tmp_path)),
        export.traced(export.Classifier(model, path_of(config), ["ant", "bee", "cow"])),
        "a card",
    )
    loaded = load_exported(open_storage(str(tmp_path)))
    assert loaded.path == path_of(config) == PixelPath(2, 32, resize, antialias)
    encoded = [PLAIN, TURNED, *(odd_pictures()[name] for name in sorted(odd_pictures())[:3])]
    shown = np.stack([pixels(one, path_of(config)) for one in encoded])
    made, ok = export.decode_each(tf.constant(encoded), loaded.path)
    assert ok.numpy().all()
    np.testing.assert_array_equal(made.numpy(), shown)
    answer, expected = loaded.serve_bytes(images=tf.constant(encoded)), loaded.serve_pixels(pixels=tf.constant(shown))
    np.testing.assert_array_equal(answer["probabilities"].numpy(), expected["probabilities"].numpy())
    others = {PixelPath(2, 32, way, smooth) for way in RESIZES for smooth in (False, True)} - {loaded.path}
    assert all((np.stack([pixels(one, other) for one in encoded]) != shown).any() for other in others)


def test_a_model_that_is_made_square_in_another_way_is_refused(tmp_path: Path) -> None:
    class New(Classifier):
        @tf.function(input_signature=[], autograph=False)
        def pixel_resize(self) -> tf.Tensor:
            return tf.constant("stretch")

    storage = saved(tmp_path, New(build_for_export("small", 32, 2, 0.0), PATH, ["ant", "bee"]))
    with pytest.raises(ExitError, match="of a newer catdog") as caught:
        load_exported(storage)
    assert caught.value.code == Exit.RUN_REFUSED


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("labels", [["ant", "bee"], ["ant", "bee", "cow"]], ids=["2", "3"])
def test_every_form_of_the_model_divides_the_logits_by_the_temperature(
    labels: list[str], temperature: float, tmp_path: Path
) -> None:
    random, empty = np.random.default_rng(0), build_for_export("small", 32, len(labels), 0.0)
    weights = {
        f"{layer.name}/{v.name}": random.normal(scale=0.09, size=v.shape).astype(np.float32)
        for layer in empty.layers
        for v in layer.trainable_variables
    }
    groups = {"weights": weights}
    model, storage = export.rebuild(CONFIG, labels, groups, temperature), open_storage(str(tmp_path))
    seen = random.integers(0, 256, (5, 32, 32, 3), np.uint8)
    cache = PixelCache(seen, np.zeros(5, np.int32), np.ones(5, bool), (), False)
    inputs = Inputs(
        Source(DataSet("", (), {}, ""), lambda _: pytest.fail("nothing is read"), False), {"valid": cache}, {}
    )
    plain = logits_of(export.logits_of(model), inputs, "valid")
    alone = export.logits_of(export.rebuild(CONFIG, labels, groups))
    np.testing.assert_array_equal(plain, logits_of(alone, inputs, "valid"))
    powers = np.exp(plain / temperature)
    expected = powers / powers.sum(axis=1, keepdims=True)
    assert 0.02 < expected.std() < 0.45  # neither all alike nor all 0 and 1

    export.export(storage, export.traced(export.Classifier(model, PATH, labels)), "a card")
    served = load_exported(storage).serve_pixels(pixels=tf.constant(seen))
    kept = keras.models.load_model(tmp_path / "model/model.keras")
    for given in (served["probabilities"].numpy(), kept(seen.astype(np.float32), training=False).numpy()):
        assert given.dtype == np.float32
        np.testing.assert_allclose(given, expected, atol=1e-5)
    assert served["label"].numpy().tolist() == [labels[at].encode() for at in plain.argmax(axis=1)]


@pytest.mark.parametrize(
    ("summary", "temperature"),
    [
        (None, 1.0),
        ({"test": None}, 1.0),
        ({"calibration": None}, 1.0),
        ({"calibration": {"temperature": 1.25, "valid": None, "test": None}}, 1.25),
    ],
)
def test_a_run_records_its_temperature(summary: dict[str, Any] | None, temperature: float, tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    if summary is not None:
        files.write_json(storage, "summary.json", summary)
    assert export.recorded_temperature(storage) == temperature
