"""The splits that a rank needs, within its share of memory; fails when too much of one is unreadable."""

import dataclasses
import logging
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from trainer.config import AUTO_INPUT, DECODED, ENCODED, STREAM, RunConfig
from trainer.contract import REJECTED
from trainer.data.blocks import BLOCK_BYTES, MOST_LANES, Blocks, block_order, first_pieces
from trainer.data.cache import reserve
from trainer.data.data_set import SPLITS
from trainer.data.decode import PixelPath, Pixels, path_of
from trainer.data.examples import Examples, Rejected
from trainer.data.order import Ids, epoch_order
from trainer.data.pipeline import in_order
from trainer.data.source import Source
from trainer.data.stream import Limits, PictureStream
from trainer.exits import Exit, ExitError
from trainer.folder import files
from trainer.process import temporary
from trainer.process.container import disk_limit, free_memory, local_workers, processors
from trainer.storage.base import Storage
from trainer.storage.retry import MIB
from trainer.words import mebibytes

log = logging.getLogger(__name__)

SHOWN = 5
SHARE_OF_DISK = 0.6  # of what is free: downloads may take a quarter of it, and checkpoints and models need some too
ROWS_AHEAD, MOST_AHEAD, BYTES_AHEAD = 256, 8, 128 * MIB
"""Pictures, batches, and bytes of files that are read from a bucket before they are trained on."""
LOCAL_AHEAD = 2
"""Batches from a disk, which does not make anybody wait: one is gathered while the next is decoded."""
TRIED, TRIED_AT_ONCE = 128, 4
"""Pictures by which the rate of a stream is told, and in how many parts they are read."""


@dataclass(frozen=True)
class Room:
    """Bytes that pictures may take, in memory and on disk."""

    memory: int
    disk: int


def load_splits(
    config: RunConfig, source: Source, run: Storage | None, batch_rows: int, blocks: Blocks | None = None
) -> dict[str, PictureStream]:
    """Train and valid, to be read and decoded when they are wanted; with a `run` folder (rank 0) test too, where there
    is one, and list rejected pictures. Of a batch, this worker takes `batch_rows`; `blocks` where train is shuffled by
    them. The first pictures are read at once, to tell how fast that is and whether they can be used.

    Raises:
        ExitError: 65 when more than --max-rejected of a split is unreadable, as far as it is known by then.
    """
    splits = {name: source.data.splits[name] for name in (SPLITS if run is not None else ("train", "valid"))}
    splits = {name: examples for name, examples in splits.items() if examples}  # a test split may be absent
    room = room_of(config)
    decoded = sum(map(len, splits.values())) * path_of(config).size ** 2 * 3
    encoded = sum(int(examples.sizes.sum()) for examples in splits.values())
    mode = chosen(config.input, decoded, encoded, room)
    loaded, budget = {}, 0 if mode == STREAM else room.memory
    for name, examples in splits.items():
        loaded[name] = _opened(config, source, examples, mode, budget, batch_rows)
        budget = max(0, budget - loaded[name].most_memory)
    _tell(mode, decoded, encoded, room, loaded["train"], _first(config, len(splits["train"]), blocks))
    report_rejected(config, source.data.uri, run, loaded)
    return loaded


def chosen(asked: str, decoded: int, encoded: int, room: Room) -> str:
    """How pictures are held that take so many bytes: as asked, else whatever needs the least work and has room."""
    if asked != AUTO_INPUT:
        return asked
    if decoded <= max(room.memory, room.disk):
        return DECODED
    return ENCODED if encoded <= room.memory else STREAM


def room_of(config: RunConfig) -> Room:
    """What one worker's decoded pictures may take here: by --cache-memory, or by the limits of the container."""
    workers = local_workers(os.environ)
    memory = (config.cache_memory * MIB or free_memory() // 3) // workers
    folder = Path(config.cache_dir) if config.cache_dir else temporary.place()
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    free = shutil.disk_usage(there).free
    limit = disk_limit(os.environ)
    return Room(memory, int(SHARE_OF_DISK * (free if limit is None else min(free, limit))) // workers)


def _opened(
    config: RunConfig, source: Source, examples: Examples, mode: str, budget: int, batch_rows: int
) -> PictureStream:
    """A split that keeps what its mode says within so many bytes of memory; pixels beyond them on disk."""
    path, encoded = path_of(config), int(examples.sizes.sum())
    room = min(budget, encoded) if mode == ENCODED else 0
    store = _store(config, path, len(examples), budget) if mode == DECODED else None
    ahead = batches_ahead(batch_rows, encoded // len(examples))
    ahead = ahead if source.data.uri.startswith("gs://") else min(ahead, LOCAL_AHEAD)
    ahead_bytes = 2 * MOST_LANES * BLOCK_BYTES * batch_rows // config.batch_size
    all_at_once = max(0, budget - (0 if store is None or isinstance(store, np.memmap) else store.nbytes))
    limits = Limits(config.threads or processors(), ahead, room, ahead_bytes, all_at_once)
    return PictureStream(examples, source.read, path, limits, store)


def _store(config: RunConfig, path: PixelPath, pictures: int, budget: int) -> Pixels:
    """Room for the pixels of so many pictures.

    Raises:
        ExitError: 74 when the disk is full.
    """
    folder = Path(config.cache_dir) if config.cache_dir else None
    return reserve((pictures, path.size, path.size, 3), np.uint8, budget, folder)


def batches_ahead(batch_rows: int, picture_bytes: int) -> int:
    """How many batches of so many pictures, which take so many bytes in the mean, are read at a time."""
    by_rows = min(max(ROWS_AHEAD // batch_rows, 2), MOST_AHEAD)
    return max(1, min(by_rows, BYTES_AHEAD // max(1, batch_rows * picture_bytes)))


def _first(config: RunConfig, pictures: int, blocks: Blocks | None) -> Ids:
    """The first pictures of the first epoch, or those of its first blocks: what is read together."""
    if blocks is None:
        return epoch_order(config.seed, 0, pictures)[:TRIED]
    return first_pieces(block_order(config.seed, blocks, config.batch_size, 0), TRIED)


def _tell(mode: str, decoded: int, encoded: int, room: Room, train: PictureStream, order: Ids) -> None:
    """What was chosen, and how fast it is: measured on the first pictures."""
    train.rows(order[:1])  # makes the function that decodes
    order = order[1:]
    parts = [order[start : start + TRIED // TRIED_AT_ONCE] for start in range(0, len(order), TRIED // TRIED_AT_ONCE)]
    began = time.monotonic()
    for _ in in_order(train.rows, parts, train.ahead):
        pass
    rate = len(order) / (time.monotonic() - began)
    sizes = (
        f"{mebibytes(encoded)} as files, {mebibytes(decoded)} decoded, and there is room for {mebibytes(room.memory)}"
    )
    log.info("input: %s (%s); this worker reads and decodes about %.0f pictures/s", mode, sizes, rate)


class Checked(Protocol):
    """A split of which some pictures cannot be used."""

    @property
    def rejected(self) -> tuple[Rejected, ...]:
        """Those pictures."""

    @property
    def pictures(self) -> int:
        """How many the split has."""


def listed(splits: Mapping[str, Checked]) -> list[dict[str, str]]:
    """What rejected.json says of them."""
    return [dataclasses.asdict(one) for split in splits.values() for one in split.rejected]


def write_rejected(writer: files.Writer, run: Storage, rejected: Sequence[Mapping[str, str]]) -> None:
    """Add them to rejected.json: an attempt that began in mid-epoch has not seen all that are known."""
    known = {one["path"]: one for one in [*(files.read_json(run, REJECTED) or []), *rejected]}
    files.write_json(writer, REJECTED, [known[path] for path in sorted(known)])


def report_rejected(config: RunConfig, uri: str, run: Storage | None, loaded: Mapping[str, Checked]) -> None:
    """List unusable pictures in a `run` folder, if there is one (rank 0), and in the log.

    Raises:
        ExitError: 65 when more than --max-rejected of a split is unreadable.
    """
    if run is not None:
        rejected = listed(loaded)
        if rejected:
            write_rejected(run, run, rejected)
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
