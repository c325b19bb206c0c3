"""`--shuffle blocks`: an order of packed pictures in which a worker reads large pieces of shards, and no other's.

A block is what lies in one stretch of a shard. Each epoch, the blocks in a new order are cut into lanes of equal
length, the pictures of each block are shuffled within their lane, and each batch takes as many rows from each lane. A
batch thus has pictures from as many places of the data set as there are lanes; since the lanes follow each other in a
batch, a replica has some for itself, as long as their number can be divided by that of the replicas.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainer.data.examples import LOOSE, Example, Examples
from trainer.data.order import EpochOrder, Ids
from trainer.storage.retry import MIB

BLOCK_BYTES = 2 * MIB
MOST_LANES = 32
SORTED = 0.5
"""Part of the way from a mixed order of the classes to a sorted one, from which on an order counts as sorted."""


@dataclass(frozen=True)
class Blocks:
    """The pictures of a split as the shards have them: `laid`, int64 [n], are their ids, one shard after another, of
    which block b is laid[starts[b]:starts[b + 1]]; starts int64 [blocks + 1]."""

    laid: Ids
    starts: Ids

    @property
    def fingerprint(self) -> str:
        """16 hex digits: the same pictures packed in another way have another order."""
        digest = hashlib.sha256(f"{MOST_LANES}".encode())
        for column in (self.laid, self.starts):
            digest.update(column.astype("<i8").tobytes())
        return digest.hexdigest()[:16]


def blocks_of(examples: Sequence[Example], block_bytes: int = BLOCK_BYTES) -> Blocks | None:
    """The blocks of a split: what begins in the same `block_bytes` of a shard. None where a picture is not packed."""
    columns = Examples.of(examples)
    if (columns.shard == LOOSE).any():
        return None
    numbers = {name: number for number, name in enumerate(sorted(columns.shards))}
    shard = np.array([numbers[name] for name in columns.shards], np.int64)[columns.shard]
    offset = columns.offset
    laid = np.lexsort((offset, shard)).astype(np.int64)
    shard, stretch = shard[laid], offset[laid] // block_bytes
    begins = np.flatnonzero((np.diff(shard, prepend=-1) != 0) | (np.diff(stretch, prepend=-1) != 0))
    return Blocks(laid, np.append(begins, len(laid)).astype(np.int64))


def lanes(batch_size: int) -> int:
    """How many lanes batches of so many rows have: of the numbers that divide them, the one that most numbers of
    replicas divide, and of equal ones the largest."""
    divisors = [number for number in range(1, min(batch_size, MOST_LANES) + 1) if batch_size % number == 0]
    return max(divisors, key=lambda lane: (sum(lane % number == 0 for number in divisors), lane))


def block_order(seed: int, blocks: Blocks, batch_size: int, epoch: int) -> EpochOrder:
    """The order of an epoch. The short last batch has what the lanes have left, one lane after another.

    Random numbers are from the raw stream of Philox, as in `trainer.data.order.epoch_order`.
    """
    n, count, width = len(blocks.laid), len(blocks.starts) - 1, lanes(batch_size)
    drawn = np.random.Philox(key=[np.uint64(seed), np.uint64(epoch)]).random_raw(count + n)
    turn = np.argsort(drawn[:count], kind="stable")
    sizes = np.diff(blocks.starts)[turn]
    begins = np.cumsum(sizes) - sizes
    laid = blocks.laid[np.repeat(blocks.starts[turn] - begins, sizes) + np.arange(n)]
    ends = np.arange(1, width + 1) * n // width
    cuts = np.zeros(n + 1, np.int64)
    cuts[begins] = 1
    cuts[ends] = 1  # a block may lie in two lanes
    piece = np.cumsum(cuts[:n]) - 1
    # By piece, and in it at random: one key of 24 bits and 40, for one sort.
    ids = laid[np.argsort((piece.astype(np.uint64) << np.uint64(40)) | (drawn[count:] >> np.uint64(24)), kind="stable")]
    each = n // batch_size * (batch_size // width)  # rows that full batches take from a lane
    first = np.append(0, ends[:-1])
    full = (first[:, None] + np.arange(each)).reshape(width, -1, max(1, batch_size // width)).transpose(1, 0, 2)
    rest = [np.arange(begin + each, end) for begin, end in zip(first, ends, strict=True)]
    taken = np.concatenate([full.reshape(-1), *rest])
    return EpochOrder(ids[taken].astype(np.int64), piece[taken].astype(np.int64))


def first_pieces(order: EpochOrder, least: int) -> Ids:
    """The ids of so many of the pieces that come first that they are at least `least`, piece by piece."""
    assert order.pieces is not None
    pieces, first, counts = np.unique(order.pieces, return_index=True, return_counts=True)
    by_use = np.argsort(first)
    enough = int(np.searchsorted(np.cumsum(counts[by_use]), least)) + 1
    chosen = pieces[by_use[:enough]]
    return np.concatenate([order.ids[order.pieces == piece] for piece in chosen] or [order.ids[:0]])


def is_sorted_by_class(blocks: Blocks, labels: npt.NDArray[np.int32]) -> bool:
    """Whether neighbours in the shards are of one class much more often than if they were mixed."""
    laid = labels[blocks.laid]
    if len(laid) < 2:
        return False
    alike = float(np.mean(laid[1:] == laid[:-1]))
    mixed = float(np.sum((np.bincount(laid) / len(laid)) ** 2))
    return alike > mixed + SORTED * (1 - mixed)
