"""Decodes the splits that a rank needs, within its share of memory; fails when too much of one is unreadable."""

import dataclasses
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from trainer.config import RunConfig
from trainer.contract import REJECTED
from trainer.data import cache
from trainer.data.cache import PixelCache, Rejected
from trainer.data.decode import path_of
from trainer.data.source import Source
from trainer.data.split import SPLITS
from trainer.exits import Exit, ExitError
from trainer.folder import files
from trainer.process.container import free_memory, local_workers, processors
from trainer.storage.base import Storage

log = logging.getLogger(__name__)

SHOWN = 5


def load_splits(config: RunConfig, source: Source, run: Storage | None) -> dict[str, PixelCache]:
    """Decode train and valid; with a `run` folder (rank 0) test too, where there is one, and list rejected pictures.

    Raises:
        ExitError: 65 when more than --max-rejected of a split is unreadable.
    """
    budget = (config.cache_memory * 2**20 or free_memory() // 3) // local_workers(os.environ)
    folder = Path(config.cache_dir) if config.cache_dir else None
    began = time.monotonic()
    loaded: dict[str, PixelCache] = {}
    for name in SPLITS if run is not None else ("train", "valid"):
        examples = source.data.splits[name]
        if not examples:
            continue  # a test split may be absent
        loaded[name] = cache.fill(examples, source.read, path_of(config), budget, folder, processors())
        budget -= 0 if loaded[name].on_disk else loaded[name].pixels.nbytes
    report_rejected(config, source.data.uri, run, loaded)
    log.info("decoded %d pictures in %.1f s", sum(map(len, loaded.values())), time.monotonic() - began)
    return loaded


class Checked(Protocol):
    """A split of which some pictures cannot be used."""

    @property
    def rejected(self) -> tuple[Rejected, ...]:
        """Those pictures."""

    @property
    def pictures(self) -> int:
        """How many the split has."""


def report_rejected(config: RunConfig, uri: str, run: Storage | None, loaded: Mapping[str, Checked]) -> None:
    """List unusable pictures in a `run` folder, if there is one (rank 0), and in the log.

    Raises:
        ExitError: 65 when more than --max-rejected of a split is unreadable.
    """
    if run is not None:
        rejected = [dataclasses.asdict(one) for split in loaded.values() for one in split.rejected]
        if rejected:
            files.write_json(run, REJECTED, rejected)
        for one in rejected[:SHOWN]:
            log.warning("rejected %s: %s", one["path"], one["reason"])
        if len(rejected) > SHOWN:
            log.warning("… and %d more, all in %s/%s", len(rejected) - SHOWN, run.uri, REJECTED)
    for name, split in loaded.items():
        _check(config, uri, name, split)


def _check(config: RunConfig, uri: str, name: str, split: Checked) -> None:
    if len(split.rejected) > config.max_rejected * split.pictures:
        first = split.rejected[0]
        raise ExitError(
            Exit.BAD_DATA,
            f"{uri}: {len(split.rejected)} of {split.pictures} pictures of {name} cannot be used, more than "
            f"{config.max_rejected:.1%}; the first is {first.path}: {first.reason} "
            f"(all are in {REJECTED}; fix or remove them, or raise --max-rejected)",
        )
