"""predict on pictures in a bucket: by name, folder and pattern; evaluate on a bucket lists its test split alone."""

import json
from pathlib import Path

import pytest

from tests.pictures import jpeg
from trainer.data.decode import PixelPath
from trainer.models.registry import build_for_export
from trainer.predict.pictures import pictures
from trainer.predict.verb import predict
from trainer.requests import PredictRequest
from trainer.storage.opening import open_storage
from trainer.training import export

NAMES = ["a.jpg", "in/b.jpg", "in/deep/c.PNG", "in/notes.txt", "in/.hidden.jpg", "in/x[1].jpg", "other/d.jpg"]


@pytest.fixture
def filled(bucket: str) -> str:
    storage = open_storage(bucket)
    for name in NAMES:
        storage.write(f"pics/{name}", jpeg(len(name)))
    return bucket


def shown(bucket: str, *given: str) -> list[str]:
    return [one.shown.removeprefix(f"{bucket}/") for one in pictures(f"{bucket}{name}" for name in given)]


IN = ["pics/in/b.jpg", "pics/in/deep/c.PNG", "pics/in/x[1].jpg"]


def test_names_folders_and_patterns(filled: str) -> None:
    assert shown(filled, "/pics/in/notes.txt") == ["pics/in/notes.txt"]
    assert shown(filled, "/pics/in") == shown(filled, "/pics/in/") == shown(filled, "/pics/i*") == IN
    assert shown(filled, "") == shown(filled, "/") == ["pics/a.jpg", *IN, "pics/other/d.jpg"]
    assert shown(filled, "/pics/in/x[1].jpg") == ["pics/in/x[1].jpg"]
    assert shown(filled, "/pics/**/*.jpg") == ["pics/a.jpg", "pics/in/b.jpg", "pics/in/x[1].jpg", "pics/other/d.jpg"]
    assert shown(filled, "/pics/*/?.jpg", "/pics/a.jpg") == ["pics/in/b.jpg", "pics/other/d.jpg", "pics/a.jpg"]
    (missing,) = pictures([f"{filled}/none/*.jpg"])
    assert not missing.there


def test_rows_come_for_what_is_in_a_bucket(filled: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = build_for_export("small", 16, 2, 0.0)
    run = f"{filled}/run"
    export.export(open_storage(run), export.traced(export.Classifier(model, PixelPath(2, 16), ["cats", "dogs"])), "")
    assert predict(PredictRequest(run, (f"{filled}/pics/in", f"{filled}/pics/none.jpg"), "jsonl")) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["image"] for row in rows] == [f"{filled}/{name}" for name in (*IN, "pics/none.jpg")]
    assert [bool(row["error"]) for row in rows] == [False, False, False, True]
