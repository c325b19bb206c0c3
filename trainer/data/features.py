"""Features of a split's pictures, computed once by a frozen network: float32, in memory or spilled, and as files.

They are computed, stored and exchanged in blocks: one block is the features of up to `BLOCK` consecutive pictures, and
of their mirror images where those are trained on. A block's file carries a SHA-256 of what is in it.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from trainer.data.cache import reserve, rows_of
from trainer.data.examples import Rejected
from trainer.data.order import Ids
from trainer.data.pipeline import GetRows
from trainer.storage.base import Storage
from trainer.storage.errors import StorageMissing

log = logging.getLogger(__name__)

CHUNK = 32
"""Rows that go through the network together, the last chunk of a block padded: kernels round by their rows."""
BLOCK = 16 * CHUNK
LARGEST_CACHE = 4 << 30
"""Bytes that features of earlier runs may take in the cache folder."""
READERS = 16

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class BlockName:
    """A block: pictures `first` … `last` - 1 of a split."""

    split: str
    number: int
    first: int
    last: int

    @property
    def file(self) -> str:
        """Its name in a folder of features."""
        return f"{self.split}-{self.number:06d}.safetensors"


@dataclass(frozen=True)
class Block:
    """Features float32 [variants, n, width] (as they are, then mirrored), usable bool [n], and who is not, by place."""

    features: Floats
    usable: npt.NDArray[np.bool_]
    rejected: Mapping[int, Rejected]


@dataclass(frozen=True)
class FeatureCache:
    """Features of a split: float32 [rows, width], labels int32 [rows], usable bool [rows].

    Row i is picture i, or, where there are twice as many rows as pictures, from the middle on its mirror image.
    """

    features: Floats
    labels: npt.NDArray[np.int32]
    usable: npt.NDArray[np.bool_]
    rejected: tuple[Rejected, ...]
    pictures: int
    sha256: str

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def ahead(self) -> int:
        """Batches worth making at once."""
        return 1

    def expecting(self, ids: Ids, pieces: Ids | None) -> nullcontext[GetRows]:
        """Nothing is gained by knowing what will be asked for."""
        return nullcontext(self.rows)

    def rows(self, ids: Ids) -> tuple[Floats, npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Features, labels and weights for ids; PADDING and rejected pictures are zeros with weight 0."""
        return rows_of(self.features, self.labels, self.usable, ids)


def blocks_of(counts: Mapping[str, int]) -> tuple[BlockName, ...]:
    """The blocks of splits of so many pictures, in order."""
    return tuple(
        BlockName(split, number, first, min(first + BLOCK, count))
        for split, count in counts.items()
        for number, first in enumerate(range(0, count, BLOCK))
    )


def chunks_of(pictures: int) -> Iterator[tuple[int, int]]:
    """First and last + 1 of each chunk of a block."""
    return ((first, min(first + CHUNK, pictures)) for first in range(0, pictures, CHUNK))


def key_of(facts: Mapping[str, Any]) -> str:
    """32 hex digits over everything that features depend on."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def encode(block: Block) -> bytes:
    """A block as a safetensors file, with a SHA-256 of the rest."""
    rejected = json.dumps({str(at): [one.path, one.reason] for at, one in sorted(block.rejected.items())}).encode()
    tensors: dict[str, npt.NDArray[Any]] = {
        "features": np.ascontiguousarray(block.features),
        "usable": block.usable.astype(np.uint8),
        "rejected": np.frombuffer(rejected, np.uint8),
    }
    return safetensors.numpy.save({**tensors, "sha256": np.frombuffer(_digest(tensors), np.uint8)})


def decode(data: bytes, variants: int, pictures: int, width: int) -> Block | None:
    """The block of a file, None when it is damaged or of another shape."""
    try:
        tensors = safetensors.numpy.load(data)
        digest = tensors.pop("sha256").tobytes()
        if digest != _digest(tensors) or tensors["features"].shape != (variants, pictures, width):
            return None
        rejected = json.loads(tensors["rejected"].tobytes())
        who = {int(at): Rejected(path, reason) for at, (path, reason) in rejected.items()}
        return Block(tensors["features"], tensors["usable"].astype(np.bool_), who)
    except (SafetensorError, ValueError, KeyError):
        return None


def _digest(tensors: Mapping[str, npt.NDArray[Any]]) -> bytes:
    digest = hashlib.sha256()
    for name in ("features", "usable", "rejected"):
        digest.update(np.ascontiguousarray(tensors[name]).data)
    return digest.digest()


def find(places: Sequence[Storage], name: BlockName, variants: int, width: int) -> Block | None:
    """A block from the first place that has it whole."""
    for place in places:
        try:
            block = decode(place.read(name.file), variants, name.last - name.first, width)
        except StorageMissing:
            continue
        if block is not None:
            return block
        log.warning("%s/%s is damaged; it is computed again", place.uri, name.file)
    return None


def find_all(
    places: Sequence[Storage], names: Sequence[BlockName], variants: Mapping[str, int], width: int
) -> dict[BlockName, Block]:
    """The blocks that are there."""
    with ThreadPoolExecutor(READERS, thread_name_prefix="features") as pool:
        found = pool.map(lambda name: find(places, name, variants[name.split], width), names)
        return {name: block for name, block in zip(names, found, strict=True) if block is not None}


def joined(
    blocks: Sequence[Block], labels: Sequence[int] | npt.NDArray[np.int32], budget: int, folder: Path | None
) -> FeatureCache:
    """The blocks of a split as one cache; above `budget` bytes in a file in `folder`.

    Raises:
        ExitError: 74 when the disk is full.
    """
    variants, _, width = blocks[0].features.shape
    pictures = len(labels)
    features = reserve((variants * pictures, width), np.float32, budget, folder)
    digest, rejected, at = hashlib.sha256(), [], 0
    for block in blocks:
        count = len(block.usable)
        for variant in range(variants):
            features[variant * pictures + at : variant * pictures + at + count] = block.features[variant]
        digest.update(np.ascontiguousarray(block.features).data)
        digest.update(block.usable.tobytes())
        rejected += [one for _, one in sorted(block.rejected.items())]
        at += count
    usable = np.concatenate([block.usable for block in blocks])
    return FeatureCache(
        features,
        np.tile(np.asarray(labels, np.int32), variants),
        np.tile(usable, variants),
        tuple(rejected),
        pictures,
        digest.hexdigest(),
    )


def cache_root(folder: str) -> Path:
    """Where features are kept between runs: below `folder`, or below the user's cache."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return (Path(folder) if folder else Path(home) / "catdog") / "features"


def make_room(root: Path, keep: str, limit: int = LARGEST_CACHE) -> None:
    """Delete the features that were used longest ago until the others, and those named `keep`, fit the limit."""
    folders = sorted((one for one in root.iterdir() if one.is_dir()), key=lambda one: one.stat().st_mtime)
    sizes = {one: sum(file.stat().st_size for file in one.rglob("*") if file.is_file()) for one in folders}
    total = sum(sizes.values())
    for one in folders:
        if total <= limit:
            return
        if one.name != keep:
            shutil.rmtree(one, ignore_errors=True)
            total -= sizes[one]
