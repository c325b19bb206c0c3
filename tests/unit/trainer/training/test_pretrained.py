"""A pre-trained network in training and export: what is trained, what stays, and that no variable is forgotten."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from trainer.backbones.stored import packaged
from trainer.config import RunConfig
from trainer.contract import BEST, FROZEN
from trainer.data.order import Layout
from trainer.models.pretrained import head_of
from trainer.storage.opening import open_storage
from trainer.tensors import Arrays
from trainer.training import checkpoint, export
from trainer.training.checkpoint import Snapshot, Unusable
from trainer.training.feeding import Rows
from trainer.training.learner import Learner, begin_phase, build_learner, copy_to_host, hold, require_same, restore
from trainer.training.state import LoopState
from trainer.training.step import build_train_step, losses_and_hits

FROZEN_NET = RunConfig(model="efficientnet-lite0", image_size=32, precision="float32", optimizer="adam", batch_size=8)
TUNED = dataclasses.replace(FROZEN_NET, unfreeze="block14", ema=0.5)
LABELS = ["ant", "bee", "cow"]


@pytest.fixture(scope="module")
def backbone() -> Arrays:
    return packaged("efficientnet-lite0").tensors


def learner_of(config: RunConfig, backbone: Arrays) -> Learner:
    return build_learner(config, len(LABELS), tf.distribute.get_strategy(), backbone)


@pytest.fixture(scope="module")
def tuned(backbone: Arrays) -> Learner:
    return learner_of(TUNED, backbone)


def test_of_a_frozen_network_only_the_head_is_trained_and_all_else_is_fixed(backbone: Arrays) -> None:
    learner = learner_of(FROZEN_NET, backbone)
    assert set(learner.weights) == {"logits/kernel", "logits/bias"}
    assert set(learner.fixed) == {"frozen", "state"}
    assert {name for group in learner.fixed.values() for name in group} == set(backbone)
    assert all(name.endswith(("moving_mean", "moving_variance")) for name in learner.fixed["state"])
    assert learner.parameters == learner.trained_parameters + sum(array.size for array in backbone.values())


def test_from_a_block_on_all_kernels_are_trained_and_no_normalisation(tuned: Learner, backbone: Arrays) -> None:
    parts = {name.split("_")[0].split("/")[0] for name in tuned.weights}
    assert parts == {"block14", "block15", "head", "logits"}
    assert not [name for name in tuned.weights if "_norm/" in name]
    fixed = {name for group in tuned.fixed.values() for name in group}
    assert fixed | set(tuned.weights) == {*backbone, "logits/kernel", "logits/bias"}
    assert not fixed & set(tuned.weights)
    np.testing.assert_array_equal(copy_to_host(tuned.weights)["head/kernel"], backbone["head/kernel"])


def rows(step: int) -> Rows:
    random = np.random.default_rng(step)
    return {
        "inputs": tf.constant(random.integers(0, 256, (8, 32, 32, 3), np.uint8)),
        "labels": tf.constant(random.integers(0, 3, 8).astype(np.int32)),
        "weights": tf.ones(8),
        "first_row": tf.constant(0, tf.int64),
        "stop": tf.constant(0.0),
    }


def test_twenty_steps_change_weights_and_not_a_bit_of_what_is_fixed(tuned: Learner) -> None:
    network = tuned.networks["tune"]
    before = {f"{layer.name}/{v.name}": v.numpy() for layer in network.layers for v in layer.weights}
    step = build_train_step(tf.distribute.get_strategy(), tuned, "tune", TUNED, Layout(8, 1, 1))
    for number in range(20):
        result = step(rows(number), tf.constant(number, tf.int64), tf.constant(1e-2))
        assert bool(result.finite)
    for layer in network.layers:
        for variable in layer.weights:
            name = f"{layer.name}/{variable.name}"
            same = variable.numpy().tobytes() == before[name].tobytes()
            assert same is (name not in tuned.weights), name


def test_a_phase_begins_with_the_average_and_an_optimizer_that_has_seen_nothing(tuned: Learner) -> None:
    step = build_train_step(tf.distribute.get_strategy(), tuned, "tune", TUNED, Layout(8, 1, 1))
    step(rows(0), tf.constant(0, tf.int64), tf.constant(1e-2))
    average = copy_to_host(tuned.ema)
    for _ in range(2):  # repeating it changes nothing
        begin_phase(tuned)
        require_same(average, copy_to_host(tuned.weights))
        assert not any(array.any() for array in copy_to_host(tuned.slots).values())


def test_the_head_on_features_shares_the_weights_of_the_whole_network(tuned: Learner) -> None:
    features = np.random.default_rng(0).uniform(0, 2, (4, 1280)).astype(np.float32)
    before = tuned.networks["head"](features).numpy()
    weights = copy_to_host(tuned.weights)
    restore(tuned.weights, {**weights, "logits/bias": weights["logits/bias"] + 1})
    np.testing.assert_allclose(tuned.networks["head"](features).numpy(), before + 1, rtol=1e-5)
    np.testing.assert_allclose(head_of(tuned.networks["tune"])(features).numpy(), before + 1, rtol=1e-5)


@pytest.mark.parametrize("classes", [1, 3])
def test_smoothed_labels_are_those_of_the_definition(classes: int) -> None:
    random = np.random.default_rng(classes)
    logits = random.normal(size=(16, classes)).astype(np.float32)
    labels = random.integers(0, max(2, classes), 16).astype(np.int32)
    losses, hits = losses_and_hits(tf.constant(logits), tf.constant(labels), 0.2)
    every = np.concatenate([np.zeros_like(logits), logits], axis=1) if classes == 1 else logits
    log = every - np.log(np.exp(every).sum(axis=1, keepdims=True))
    truth = np.eye(every.shape[1])[labels] * 0.8 + 0.2 / every.shape[1]
    np.testing.assert_allclose(losses.numpy(), -(truth * log).sum(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(hits.numpy(), every.argmax(axis=1) == labels)


# What is saved and exported.


@pytest.fixture
def saved(tuned: Learner, tmp_path: Path) -> dict[str, Any]:
    """A run folder with best/, and every tensor of the network."""
    run = open_storage(str(tmp_path))
    fixed = checkpoint.write_fixed(run, tuned.fixed)
    snapshot = Snapshot(LoopState(), {"weights": hold(tuned.weights), **tuned.fixed})
    checkpoint.write(run, BEST, snapshot, fixed)
    tensors = {**copy_to_host(tuned.weights), **tuned.fixed["frozen"], **tuned.fixed["state"]}
    return {"run": run, "fixed": fixed, "tensors": tensors, "snapshot": snapshot, "root": tmp_path}


def test_every_variable_of_the_exported_network_has_its_value(saved: dict[str, Any]) -> None:
    model = export.best_network(saved["run"], TUNED, LABELS, 1.0)
    named = {f"{layer.name}/{v.name}": v for layer in model.layers for v in layer.weights}
    assert len(named) == len(model.weights) == len(saved["tensors"])
    for name, variable in named.items():
        np.testing.assert_array_equal(variable.numpy(), saved["tensors"][name], err_msg=name)


def test_what_is_fixed_is_written_once_and_named_by_every_manifest(saved: dict[str, Any], tuned: Learner) -> None:
    run = saved["run"]
    [before] = run.list(f"{FROZEN}/")
    assert checkpoint.write_fixed(run, tuned.fixed) == saved["fixed"]
    checkpoint.write(run, "checkpoints/step-000000000", saved["snapshot"], saved["fixed"])
    assert list(run.list(f"{FROZEN}/")) == [before]
    for prefix in (BEST, "checkpoints/step-000000000"):
        groups = checkpoint.read(run, prefix).groups
        assert set(groups) == {"weights", "frozen", "state"}
        for group, arrays in tuned.fixed.items():
            require_same(arrays, groups[group])
    assert sum(stat.size for stat in run.list("checkpoints/")) < before.size  # the rest is much less


@pytest.mark.parametrize("fault", ["missing", "cut", "altered", "another run's"])
def test_without_what_is_fixed_a_checkpoint_is_none(fault: str, saved: dict[str, Any]) -> None:
    [stat] = saved["run"].list(f"{FROZEN}/")
    file = saved["root"] / stat.name
    data = file.read_bytes()
    if fault == "missing":
        file.unlink()
    else:
        other = checkpoint.encode({"frozen/x": np.zeros(len(data) // 8, np.float32)})
        file.write_bytes(
            {
                "cut": data[:-1],
                "altered": data[:-1] + bytes([data[-1] ^ 1]),
                "another run's": b"".join(map(bytes, other)),
            }[fault]
        )
    with pytest.raises(Unusable, match=FROZEN):
        checkpoint.read(saved["run"], BEST)


@pytest.mark.parametrize("change", ["one more", "one less", "one twice"])
def test_a_network_that_gets_not_exactly_its_variables_is_refused(change: str, saved: dict[str, Any]) -> None:
    tensors = dict(saved["tensors"])
    groups = {"weights": tensors, "frozen": {}}
    if change == "one more":
        tensors["block99/kernel"] = np.zeros(1, np.float32)
    elif change == "one less":
        del tensors["block3_project_norm/moving_mean"]
    else:
        groups["frozen"] = {"stem/kernel": tensors["stem/kernel"]}
    with pytest.raises(ValueError, match=r"another network|in two groups"):
        export.rebuild(TUNED, LABELS, groups)
