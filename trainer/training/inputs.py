"""What a run trains and evaluates on, by split: pixels, features, or both."""

import dataclasses
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trainer.config import PRETRAINED, RunConfig
from trainer.contract import FEATURES, FEATURES_RECORD
from trainer.data import cache, features
from trainer.data.blocks import Blocks
from trainer.data.cache import PixelCache
from trainer.data.data_set import SPLITS
from trainer.data.decode import Pixels, path_of
from trainer.data.features import Block, BlockName, FeatureCache
from trainer.data.load import load_splits, report_rejected
from trainer.data.pipeline import Rows
from trainer.data.source import Source
from trainer.data.stream import PictureStream
from trainer.folder import files
from trainer.models.pretrained import FEATURES as WIDTH
from trainer.process.container import disk_limit, free_memory, local_workers, processors
from trainer.storage.base import Storage
from trainer.storage.opening import open_storage
from trainer.tensors import Arrays
from trainer.training.agreement import agree
from trainer.training.features import (
    Computing,
    Counted,
    Places,
    compute_missing,
    exchange,
    facts_of,
    require_same_bits,
)
from trainer.training.phases import Length
from trainer.training.strategy import Devices, Distribution
from trainer.workers.topology import Topology

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inputs:
    """Splits as pixels, as features, or as both. `told`: what summary.json says of the features; empty without any."""

    source: Source
    pixels: Mapping[str, PictureStream]
    features: Mapping[str, FeatureCache]
    told: Mapping[str, Any] = field(default_factory=dict)

    def by_phase(self, split: str, length: Length) -> dict[str, Rows]:
        """What each phase of the run takes of a split."""
        kinds: dict[bool, Mapping[str, Rows]] = {False: self.pixels, True: self.features}
        chosen = {phase.name: kinds[phase.on_features] for phase in length.phases}
        return {name: kind[split] for name, kind in chosen.items() if split in kind}

    @property
    def splits(self) -> Mapping[str, PictureStream | FeatureCache]:
        """Each split once, as pixels where there are any."""
        return {**self.features, **self.pixels}

    @property
    def pixel_bytes(self) -> int:
        """What decoded pictures take of this process's memory now."""
        return sum(split.memory for split in self.pixels.values())

    def release(self, split: str) -> None:
        """Give back the memory of a split's decoded pictures, for which nobody will ask any more."""
        if split in self.pixels:
            self.pixels[split].release()

    def pictures(self, config: RunConfig, split: str, ids: list[int]) -> Pixels:
        """Pixels of some pictures of a split, uint8 [n, size, size, 3]; zeros for those that cannot be used."""
        if split in self.pixels:
            return self.pixels[split].rows(np.array(ids, np.int64))[0]
        wanted = [self.source.data.splits[split][i] for i in ids]
        return cache.fill(wanted, self.source.read, path_of(config), 1 << 40, None, processors()).pixels


@dataclass(frozen=True)
class Worker:
    """Where this process stands, and on what it computes."""

    topology: Topology
    distribution: Distribution
    devices: Devices
    environment: Mapping[str, str]

    def rows_of(self, batch_size: int) -> int:
        """How many rows of a global batch this worker takes."""
        return -(-batch_size * len(self.distribution.local) // self.distribution.replicas)


def load_inputs(
    config: RunConfig,
    source: Source,
    length: Length,
    step: int,
    backbone: Arrays | None,
    blocks: Blocks | None,
    run: Storage,
    worker: Worker,
) -> Inputs:
    """Decode pictures, or compute their features, or both, as the phases from `step` on need them.

    Raises:
        ExitError: 65 when too many pictures of a split cannot be used; 73 when features have other bits than when the
            run began; 69 when workers differ in what features depend on; 74 from storage; 75 when a worker is lost.
    """
    ours = run if worker.topology.rank == 0 else None
    rows = worker.rows_of(config.batch_size)
    if config.model not in PRETRAINED or backbone is None:
        return Inputs(source, load_splits(config, source, ours, rows, blocks), {})
    pixels = load_splits(config, source, ours, rows, blocks) if config.unfreeze else {}
    if not any(phase.on_features and step <= phase.last_step for phase in length.phases):
        return Inputs(source, pixels, {})
    return _with_features(config, source, backbone, run, worker, pixels)


def _with_features(
    config: RunConfig,
    source: Source,
    backbone: Arrays,
    run: Storage,
    worker: Worker,
    pixels: Mapping[str, PictureStream],
) -> Inputs:
    topology, distribution = worker.topology, worker.distribution
    facts = facts_of(config, source.data.fingerprint, path_of(config), worker.devices)
    key = features.key_of(facts)
    agree(distribution, "what features depend on", json.dumps(facts, sort_keys=True))
    places = _places(config, run, key, worker)
    # With pixels of the test split there is no need for its features.
    counts = {name: len(source.data.splits[name]) for name in SPLITS if name != "test" or not pixels}
    variants = {name: 2 if config.flip and name == "train" else 1 for name in SPLITS}
    names = features.blocks_of(counts)
    own = [name for number, name in enumerate(names) if number % topology.world == topology.rank]
    wanted = [name for name in names if name.split != "test" or topology.rank == 0]
    threads = config.threads or max(1, processors() // local_workers(worker.environment))
    computing = Computing(config.model, backbone, path_of(config), variants, worker.devices, threads)

    def pixels_of(name: BlockName) -> PixelCache:
        if name.split in pixels:
            return pixels[name.split].part(name.first, name.last)
        examples = source.data.splits[name.split][name.first : name.last]
        return cache.fill(examples, source.read, path_of(config), 1 << 40, None, threads)

    found, counted = compute_missing(computing, own, WIDTH, places, pixels_of)
    blocks = exchange(distribution, found, wanted, variants, WIDTH, places)
    loaded = _joined(config, source, blocks)
    report_rejected(config, source.data.uri, run if topology.rank == 0 else None, loaded)
    sha256 = {name: split.sha256 for name, split in loaded.items() if name != "test"}
    agree(distribution, "the bits of the features", json.dumps(sha256, sort_keys=True))
    record = {"key": key, "facts": facts, "sha256": sha256}
    if topology.rank == 0:
        before = files.read_json(run, FEATURES_RECORD)
        require_same_bits(before, record, run.uri)
        if before is None:
            files.write_json(run, FEATURES_RECORD, record)
    _tell(counted, sum(split.pictures for split in loaded.values()))
    return Inputs(source, pixels, loaded, {**dataclasses.asdict(counted), "key": key, "sha256": sha256})


def _places(config: RunConfig, run: Storage, key: str, worker: Worker) -> Places:
    """The run folder where other workers, or a later attempt on another machine, look for features; and a cache on this
    machine for later runs, except in a pod, whose disk goes with it."""
    kept = None
    root = features.cache_root(config.cache_dir)
    if disk_limit(worker.environment) is None:
        try:
            (root / key).mkdir(parents=True, exist_ok=True)
            (root / key).touch()
            features.make_room(root, key)
            kept = open_storage(str(root / key))
        except OSError as error:
            log.info("%s: features are not kept there: %s", root, error.strerror)
    shared = worker.topology.world > 1 or run.uri.startswith("gs://") or kept is None
    return Places(run.child(f"{FEATURES}/{key}") if shared else None, kept)


def _joined(config: RunConfig, source: Source, blocks: Mapping[BlockName, Block]) -> dict[str, FeatureCache]:
    budget = (config.cache_memory * 2**20 or free_memory() // 3) // 2
    folder = Path(config.cache_dir) if config.cache_dir else None
    joined = {}
    for split in dict.fromkeys(name.split for name in blocks):
        parts = [blocks[name] for name in sorted(blocks, key=lambda one: one.number) if name.split == split]
        joined[split] = features.joined(parts, source.data.splits[split].labels, budget, folder)
    return joined


def _tell(counted: Counted, total: int) -> None:
    if counted.pictures:
        rate = counted.pictures / counted.seconds
        log.info("features of %d pictures in %.1f s, %.0f pictures/s", counted.pictures, counted.seconds, rate)
    else:
        log.info("features of all %d pictures were there already", total)


def forget_features(run: Storage) -> None:
    """Delete the features of a finished run from its folder; their record stays."""
    for stat in list(run.list(f"{FEATURES}/")):
        run.delete(stat.name)
