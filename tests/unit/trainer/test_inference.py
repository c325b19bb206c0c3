"""evaluate on a real exported model, in this process."""

import json
import shutil
from pathlib import Path

import pytest

from tests.pictures import jpeg
from trainer.data.decode import PixelPath
from trainer.exits import Exit
from trainer.inference import MOST_IN_A_MATRIX, evaluate
from trainer.models.registry import build_for_export
from trainer.requests import EvaluateRequest
from trainer.storage.opening import open_storage
from trainer.training import export


def exported(folder: Path, labels: list[str]) -> str:
    model = build_for_export("small", 16, len(labels), 0.0)
    export.export(open_storage(str(folder)), export.traced(export.Classifier(model, PixelPath(2, 16), labels)), "")
    return str(folder)


def written(folder: Path, labels: list[str], per_class: int = 2) -> Path:
    for number, label in enumerate(labels):
        (folder / label).mkdir(parents=True)
        for i in range(per_class):
            (folder / label / f"{i}.jpg").write_bytes(jpeg(number * per_class + i))
    return folder


FEW = [f"class [{i}]" for i in range(MOST_IN_A_MATRIX)]
MANY = [*FEW, "one more"]


@pytest.mark.parametrize("labels", [FEW[:3], MANY], ids=["3", "13"])
def test_few_classes_are_a_matrix_and_many_are_the_worst_of_them(
    labels: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    run, data = exported(tmp_path / "run", labels), written(tmp_path / "data/test", labels).parent
    assert evaluate(EvaluateRequest(run, str(data))) == Exit.DONE
    text = capsys.readouterr().out
    assert "balanced accuracy" in text
    assert "worst class class [" in text
    assert "with 95 % confidence" in text
    assert "calibration error" in text
    assert ("top-5 accuracy" in text) == (len(labels) == 13)
    assert ("true \\ predicted" in text) == (len(labels) == 3)
    assert ("worst of 13 classes" in text) == ("taken for" in text) == (len(labels) == 13)
    evaluate(EvaluateRequest(run, str(data), "json"))
    answer = json.loads(capsys.readouterr().out)
    assert [len(row) for row in answer["confusion"]] == [len(labels)] * len(labels)
    assert len(answer["recall"]) == len(labels)
    assert answer["balanced_accuracy"] == pytest.approx(sum(answer["recall"]) / len(labels))
    assert answer["examples"] == 2 * len(labels)
    low, high = answer["accuracy_interval"]
    assert low <= answer["accuracy"] <= high
    assert ("top5_accuracy" in answer) == (len(labels) == 13)


def test_only_the_test_split_has_to_be_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = exported(tmp_path / "run", FEW[:2])
    written(tmp_path / "data/test", FEW[:2])
    written(tmp_path / "data/train", FEW[:2])
    shutil.rmtree(tmp_path / "data/train" / FEW[0])  # no data set to train on
    assert evaluate(EvaluateRequest(run, str(tmp_path / "data"), "json")) == Exit.DONE
    assert json.loads(capsys.readouterr().out)["examples"] == 4
