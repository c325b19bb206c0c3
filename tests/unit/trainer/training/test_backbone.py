"""The pre-trained weights that a run begins with, and what is wrong with some."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from trainer.backbones import stored
from trainer.backbones.stored import Weights, packaged
from trainer.config import RunConfig
from trainer.contract import BEST
from trainer.exits import Exit, ExitError
from trainer.storage.opening import open_storage
from trainer.training import checkpoint
from trainer.training.backbone import backbone_for
from trainer.training.checkpoint import Snapshot
from trainer.training.state import LoopState

LITE = RunConfig(model="efficientnet-lite0")


@pytest.fixture(scope="module")
def weights() -> Weights:
    return packaged("efficientnet-lite0")


def refused(config: RunConfig) -> ExitError:
    with pytest.raises(ExitError) as caught:
        backbone_for(config)
    assert "\n" not in caught.value.message
    return caught.value


def test_a_network_from_nothing_has_none() -> None:
    assert backbone_for(RunConfig()) is None


def test_by_default_they_are_the_installed_ones_and_else_those_at_the_uri(weights: Weights, tmp_path: Path) -> None:
    ours = backbone_for(LITE)
    assert ours is not None
    assert ours.card == weights.card
    changed = {**weights.tensors, "head_norm/beta": weights.tensors["head_norm/beta"] + 1}
    other = Weights(dataclasses.replace(weights.card, sha256=stored.sha256_of(changed)), changed)
    stored.write(open_storage(str(tmp_path)), other)
    found = backbone_for(dataclasses.replace(LITE, weights=str(tmp_path)))
    assert found is not None
    assert found.card.sha256 == other.card.sha256 != weights.card.sha256


def test_another_runs_best_network_gives_its_backbone(weights: Weights, tmp_path: Path) -> None:
    trained = {"head/kernel": weights.tensors["head/kernel"] * 2, "logits/bias": np.zeros(1, np.float32)}
    frozen = {name: array for name, array in weights.tensors.items() if name not in trained}
    checkpoint.write(open_storage(str(tmp_path)), BEST, Snapshot(LoopState(), {"weights": trained, "frozen": frozen}))
    found = backbone_for(dataclasses.replace(LITE, init_from=str(tmp_path)))
    assert found is not None
    assert set(found.tensors) == set(weights.tensors)
    np.testing.assert_array_equal(found.tensors["head/kernel"], trained["head/kernel"])
    assert found.card.sha256 == stored.sha256_of(found.tensors) != weights.card.sha256


def test_weights_of_another_architecture_are_64(weights: Weights, tmp_path: Path) -> None:
    stored.write(open_storage(str(tmp_path)), weights)
    error = refused(RunConfig(model="efficientnet-lite1", weights=str(tmp_path)))
    assert (error.code, "weights of efficientnet-lite0; --model is efficientnet-lite1" in error.message) == (64, True)


def test_no_weights_are_66(tmp_path: Path) -> None:
    assert refused(dataclasses.replace(LITE, weights=str(tmp_path))).code == Exit.INPUT_MISSING
    assert refused(dataclasses.replace(LITE, init_from=str(tmp_path))).code == Exit.INPUT_MISSING


@pytest.mark.parametrize("fault", ["cut", "altered", "pickle"])
def test_damaged_weights_are_65(fault: str, weights: Weights, tmp_path: Path) -> None:
    stored.write(open_storage(str(tmp_path)), weights)
    file = tmp_path / "weights.safetensors"
    data = file.read_bytes()
    altered = data[:-1] + bytes([data[-1] ^ 1])
    file.write_bytes({"cut": data[:-4], "altered": altered, "pickle": b"\x80\x02cos\nsystem\n."}[fault])
    assert refused(dataclasses.replace(LITE, weights=str(tmp_path))).code == Exit.BAD_DATA


def test_a_run_of_another_network_is_64(tmp_path: Path) -> None:
    groups = {"weights": {"conv1/kernel": np.zeros((3, 3), np.float32)}}
    checkpoint.write(open_storage(str(tmp_path)), BEST, Snapshot(LoopState(), groups))
    error = refused(dataclasses.replace(LITE, init_from=str(tmp_path)))
    assert error.code == Exit.BAD_OPTION
    assert "its weights do not fit --model efficientnet-lite0" in error.message


@pytest.mark.parametrize("block", ["block16", "Head", "block1_expand", "everything"])
def test_a_block_that_is_none_is_64_and_told_the_names(block: str) -> None:
    error = refused(dataclasses.replace(LITE, unfreeze=block))
    assert error.code == Exit.BAD_OPTION
    assert error.message == f"--unfreeze is {block!r}; efficientnet-lite0 has stem, block0 … head"
