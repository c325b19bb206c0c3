"""The order of examples: a pure function of (seed, epoch, step), independent of the number of workers.

Also how a global batch is divided among slices and replicas, including a short last one.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]

PADDING = -1


@dataclass(frozen=True)
class Schedule:
    """Steps and epochs of a run of `examples` training pictures in global batches of `batch_size`."""

    examples: int
    batch_size: int

    @property
    def steps_per_epoch(self) -> int:
        """The last step of an epoch may be short."""
        return -(-self.examples // self.batch_size)

    def epoch_of(self, step: int) -> int:
        """The epoch (from 0) that the step (from 0) belongs to."""
        return step // self.steps_per_epoch


def epoch_order(seed: int, epoch: int, examples: int) -> Ids:
    """A permutation of 0 … examples-1, int64 [examples].

    Each example gets a key from the raw stream of Philox (Salmon et al. 2011), which numpy keeps stable between
    versions (NEP 19), and examples are sorted by key.
    """
    keys = np.random.Philox(key=[np.uint64(seed), np.uint64(epoch)]).random_raw(examples)
    return np.argsort(keys, kind="stable").astype(np.int64)


@dataclass(frozen=True)
class EpochOrder:
    """The order of an epoch: ids int64 [n], and the `pieces` of storage they are in, int64 [n]; pictures of one piece
    lie side by side and are trained on at about the same time. None: each lies for itself."""

    ids: Ids
    pieces: Ids | None = None


def global_order(seed: int, examples: int, epoch: int) -> EpochOrder:
    """Every example may come anywhere."""
    return EpochOrder(epoch_order(seed, epoch, examples))


def batch_ids(order: Ids, batch: int, batch_size: int) -> Ids:
    """Example ids of the batch-th batch of an order, int64 [batch_size]; past the end: PADDING."""
    ids = np.full(batch_size, PADDING, np.int64)
    part = order[batch * batch_size : (batch + 1) * batch_size]
    ids[: len(part)] = part
    return ids


@dataclass(frozen=True)
class Layout:
    """A global batch cut into `parts` equal parts of ceil(batch/parts) rows, in order, the last ones padded.

    Fast mode has one part per replica; --deterministic has a fixed number of slices, several per replica. Replica r
    takes parts [r·parts/replicas, (r+1)·parts/replicas).
    """

    batch_size: int
    parts: int
    replicas: int

    def __post_init__(self) -> None:
        if self.parts % self.replicas:
            raise ValueError(f"{self.parts} parts cannot be shared equally by {self.replicas} replicas")

    def at_most(self, rows: int) -> "Layout":
        """The layout of batches cut from so many rows: a larger batch would be padding, and take memory like rows."""
        return self if rows >= self.batch_size else replace(self, batch_size=rows)

    @property
    def rows_per_part(self) -> int:
        """ceil(batch_size / parts)."""
        return -(-self.batch_size // self.parts)

    @property
    def parts_per_replica(self) -> int:
        """The same for all replicas."""
        return self.parts // self.replicas

    @property
    def rows_per_replica(self) -> int:
        """Rows that each replica gets, including padding."""
        return self.rows_per_part * self.parts_per_replica

    def pad(self, ids: Ids) -> Ids:
        """Ids of a global batch, int64 [batch_size] → [rows_per_replica · replicas], padded at the end."""
        padded = np.full(self.rows_per_replica * self.replicas, PADDING, np.int64)
        padded[: len(ids)] = ids
        return padded

    def rows_of(self, replica: int) -> slice:
        """The rows of a padded batch that the replica takes."""
        return slice(replica * self.rows_per_replica, (replica + 1) * self.rows_per_replica)
