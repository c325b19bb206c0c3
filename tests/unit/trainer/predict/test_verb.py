"""predict on a real exported model, in this process."""

import csv
import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tests.pictures import jpeg
from trainer.data.decode import PixelPath
from trainer.exits import Exit, ExitError
from trainer.models.registry import build_for_export
from trainer.predict import verb
from trainer.predict.pictures import Picture
from trainer.predict.verb import BATCH, READERS, predict
from trainer.requests import PredictRequest
from trainer.storage.opening import open_storage
from trainer.training import export
from trainer.training.export import Exported, load_exported

LABELS = ("cats", "dogs", "foxes")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("run")
    model = build_for_export("small", 16, len(LABELS), 0.0)
    export.export(open_storage(str(folder)), export.traced(export.Classifier(model, PixelPath(2, 16), LABELS)), "")
    return str(folder)


@pytest.fixture(scope="module")
def exported(run: str) -> Exported:
    return load_exported(open_storage(run))


@pytest.fixture
def pics(tmp_path: Path) -> Path:
    for number in range(5):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(number))
    (tmp_path / "2.jpg").write_bytes(b"GIF89a")
    return tmp_path


def test_a_bad_picture_is_a_bad_row_and_the_others_are_told(
    run: str, pics: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(PredictRequest(run, (str(pics), str(pics / "none.jpg")), "csv")) == Exit.DONE
    said = capsys.readouterr()
    rows = list(csv.DictReader(said.out.splitlines()))
    assert [Path(row["image"]).name for row in rows] == ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg", "none.jpg"]
    assert [row["error"] for row in rows] == ["", "", "neither a JPEG nor a PNG", "", "", "no such picture"]
    assert "2 of 6 pictures cannot be used" in said.err


def test_batches_give_what_each_picture_alone_does(
    run: str, exported: Exported, pics: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import tensorflow as tf

    predict(PredictRequest(run, (str(pics / "[01]*.jpg"), str(pics / "4.jpg")), "json"))
    answers = json.loads(capsys.readouterr().out)
    assert [Path(one["image"]).stem for one in answers] == ["0", "1", "4"]
    for one in answers:
        alone = exported.serve_bytes(images=tf.constant([Path(one["image"]).read_bytes()]))
        np.testing.assert_allclose(list(one["probabilities"].values()), alone["probabilities"].numpy()[0], rtol=1e-5)
        assert one["class"] == alone["label"].numpy()[0].decode()
        assert one["probability"] == max(one["probabilities"].values())


def test_no_picture_that_can_be_used_is_65_after_the_rows(
    run: str, pics: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ExitError, match=r"none of 2 pictures can be used; the first, .*2\.jpg: neither") as caught:
        predict(PredictRequest(run, (str(pics / "2.jpg"), str(pics / "none.jpg")), "jsonl"))
    assert caught.value.code == Exit.BAD_DATA
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("none.jpg",), "none.jpg: no such picture"),
        (("*.jpg",), "*.jpg: nothing matches"),
        ((".",), ".: no pictures in this folder"),
        (("none.jpg", "a/*.png"), "none.jpg: no such picture (and 1 more)"),
    ],
)
def test_nothing_that_matches_is_66(
    run: str, given: tuple[str, ...], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExitError) as caught:
        predict(PredictRequest(run, given))
    assert (caught.value.code, caught.value.message) == (Exit.INPUT_MISSING, words)


def test_another_form_is_64(run: str) -> None:
    with pytest.raises(ExitError, match="--output is 'xml'; it must be one of text, json, jsonl, csv") as caught:
        predict(PredictRequest(run, ("a.jpg",), "xml"))
    assert caught.value.code == Exit.BAD_OPTION


def test_pictures_are_read_as_answers_are_taken_and_come_in_order(exported: Exported) -> None:
    guard, read = threading.Lock(), 0
    body = jpeg(1)

    def picture(number: int) -> Picture:
        def slow() -> bytes:
            nonlocal read
            time.sleep(0.001 * (number * 7 % 5))
            with guard:
                read += 1
            return body

        return Picture(f"{number}.jpg", slow)

    answers = verb.answers(exported, map(picture, range(100_000)))
    first = [next(answers).image for _ in range(BATCH + 1)]
    assert first == [f"{number}.jpg" for number in range(BATCH + 1)]
    assert read <= 2 * BATCH + READERS + 2 * verb.processors() + 4
    answers.close()  # type: ignore[attr-defined]
