"""However pictures are held, training ends with the same bits: from a bucket with faults, packed or loose, on any
number of workers, killed in mid-epoch and resumed in another way."""

import dataclasses
import json
from pathlib import Path

import pytest

from tests import runs
from tests.integration.test_training_in_buckets import FAULTS, copied, packed
from tests.servers import FaultProxy, Faults
from trainer.config import RunConfig
from trainer.contract import REJECTED, SUMMARY
from trainer.data.load import TRIED
from trainer.data.order import epoch_order
from trainer.data.source import open_source
from trainer.training.checkpoint import Snapshot

# 5 steps an epoch, the last one of 16 pictures.
PER_CLASS, EPOCHS = 40, 3

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.drawn(tmp_path_factory.mktemp("data") / "drawn", PER_CLASS, 10, 10)


def asked(data: str | Path, run: str | Path, cache: Path, **changes: object) -> RunConfig:
    fixed = {"model": "small", "image_size": 32, "batch_size": 16, "epochs": EPOCHS, "deterministic": True}
    return runs.config("augmented", data, run, **{**fixed, "cache_dir": str(cache), **changes})


@pytest.fixture(scope="module")
def reference(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """Pixels kept, one device, uninterrupted."""
    folder = tmp_path_factory.mktemp("reference")
    printed = runs.train(asked(data, folder / "run", folder / "cache"))
    assert "input: decoded (" in printed
    return runs.last(folder / "run")


def agrees(run: str | Path, reference: Snapshot) -> None:
    snapshot = runs.last(run)
    assert runs.differing(snapshot, reference) == []
    assert runs.results(snapshot) == runs.results(reference)


@pytest.mark.parametrize("mode", ["encoded", "stream"])
def test_a_folder(mode: str, data: Path, reference: Snapshot, tmp_path: Path) -> None:
    printed = runs.train(asked(data, tmp_path / "run", tmp_path / "cache", input=mode))
    assert f"input: {mode} (" in printed
    agrees(tmp_path / "run", reference)


def test_loose_objects_through_faults_by_two_workers(
    data: Path, reference: Snapshot, proxy: FaultProxy, bucket: str, tmp_path: Path
) -> None:
    source, run = copied(data, bucket), f"{bucket}/runs/stream"
    proxy.faults = FAULTS
    config = asked(source, run, tmp_path / "cache", input="stream", workers=2)
    runs.train(config, STORAGE_EMULATOR_HOST=proxy.url)
    proxy.faults = Faults()
    agrees(run, reference)


def test_shards_killed_in_mid_epoch_and_resumed_in_another_way_on_another_number_of_workers(
    data: Path, reference: Snapshot, bucket: str, tmp_path: Path
) -> None:
    source, run = packed(data, f"{bucket}/packed"), f"{bucket}/runs/packed"
    config = asked(source, run, tmp_path / "cache", checkpoint_every=2, log_every=1, grace_period=5.0)
    for changes, step in (({"workers": 2}, 3), ({"input": "stream"}, 7), ({"input": "encoded", "workers": 4}, 9)):
        with runs.started(dataclasses.replace(config, **changes)) as process:
            runs.await_step(process, step)
            runs.await_checkpoint(run)
            runs.kill_all(process)
    runs.train(dataclasses.replace(config, input="stream", devices=4))
    agrees(run, reference)


def test_shards_shuffled_by_blocks_killed_in_mid_epoch_and_resumed_on_another_number_of_workers(
    proxy: FaultProxy, bucket: str, tmp_path: Path
) -> None:
    """600 pictures are three blocks, and 38 steps an epoch."""
    data = runs.drawn(tmp_path / "drawn", 300, 10, 10)
    source, run = packed(data, f"{bucket}/blocks"), f"{bucket}/runs/blocks"
    fixed = {"shuffle": "blocks", "checkpoint_every": 5, "log_every": 1, "grace_period": 5.0, "epochs": 2}
    config = asked(source, run, tmp_path / "cache", **fixed)
    undisturbed = dataclasses.replace(config, run=str(tmp_path / "undisturbed"))
    assert "input: decoded (" in runs.train(undisturbed)
    for changes, step in (({"input": "stream", "workers": 2}, 8), ({"input": "encoded"}, 43)):
        with runs.started(dataclasses.replace(config, **changes)) as process:
            runs.await_step(process, step)
            runs.await_checkpoint(run)
            runs.kill_all(process)
    proxy.faults = FAULTS
    runs.train(dataclasses.replace(config, input="stream", devices=4), STORAGE_EMULATOR_HOST=proxy.url)
    proxy.faults = Faults()
    agrees(run, runs.last(tmp_path / "undisturbed"))
    repacked = dataclasses.replace(config, data=str(tmp_path / "repacked"))
    runs.verb("data-pack", {"data": str(data), "target": repacked.data, "shard_size": 1})
    files = {path.name for path in (tmp_path / "repacked/shards").glob("train-*")}
    assert len(files) > 1
    assert "these pictures packed otherwise" in runs.train(repacked, 73)


def test_loose_pictures_cannot_be_shuffled_by_blocks(data: Path, tmp_path: Path) -> None:
    printed = runs.train(asked(data, tmp_path / "run", tmp_path / "cache", shuffle="blocks"), 64)
    assert "catdog data pack" in printed


@pytest.mark.parametrize(("workers", "mode"), [(1, "stream"), (2, "decoded")])
def test_broken_pictures_are_found_on_the_way_and_too_many_end_the_run_with_65(
    workers: int, mode: str, tmp_path: Path
) -> None:
    pictures = runs.drawn(tmp_path / "data", 120, 10, 10)
    late = epoch_order(0, 0, 240)[TRIED:]  # what is tried before training is judged then
    examples = open_source(str(pictures)).data.splits["train"]
    broken = {examples[int(i)].name for i in late[::8]}
    for name in broken:
        (pictures / name).write_bytes((pictures / name).read_bytes()[:100])
    config = asked(pictures, tmp_path / "few", tmp_path / "cache", input=mode, workers=workers, max_rejected=0.1)
    printed = runs.train(config)
    assert "rejected train/" in printed
    assert json.loads((tmp_path / "few" / SUMMARY).read_text())["data"]["rejected"] == len(broken)
    listed = {one["path"] for one in json.loads((tmp_path / "few" / REJECTED).read_text())}
    assert listed == broken
    many = dataclasses.replace(config, run=str(tmp_path / "many"), max_rejected=0.05)
    printed = runs.train(many, 65)
    assert "pictures of train that this epoch has seen cannot be used, more than 5.0% of 240" in printed
    assert {one["path"] for one in json.loads((tmp_path / "many" / REJECTED).read_text())} <= broken


def test_too_many_broken_pictures_of_valid_end_a_stream_and_those_of_test_are_told(tmp_path: Path) -> None:
    pictures = runs.drawn(tmp_path / "data", 40, 10, 10)
    broken = [str(path.relative_to(pictures)) for path in sorted(pictures.glob("test/*/*"))[:2]]
    for name in broken:
        (pictures / name).write_bytes((pictures / name).read_bytes()[:100])
    config = asked(pictures, tmp_path / "told", tmp_path / "cache", input="stream", epochs=1, max_rejected=0.05)
    assert "2 of 20 pictures of test cannot be used, more than 5.0 %" in runs.train(config)
    assert {one["path"] for one in json.loads((tmp_path / "told" / REJECTED).read_text())} == set(broken)
    for path in sorted(pictures.glob("valid/*/*"))[:2]:
        path.write_bytes(path.read_bytes()[:100])
    printed = runs.train(dataclasses.replace(config, run=str(tmp_path / "ended")), 65)
    assert "2 of the 20 pictures of valid cannot be used, more than 5.0%" in printed
