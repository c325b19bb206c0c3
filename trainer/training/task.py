"""What is trained: network, pictures, phases, and how batches are cut and ordered."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from trainer.config import RunConfig
from trainer.data.blocks import Blocks, block_order
from trainer.data.order import EpochOrder, Layout, global_order
from trainer.data.pipeline import Rows
from trainer.exits import Exit, ExitError
from trainer.training.learner import Learner
from trainer.training.phases import Length, Phase
from trainer.training.strategy import Distribution


@dataclass(frozen=True)
class Task:
    """What to train, on what, on which pictures, and until when. `train` and `valid` are by name of phase."""

    config: RunConfig
    distribution: Distribution
    learner: Learner
    train: Mapping[str, Rows]
    valid: Mapping[str, Rows]
    length: Length
    layout: Layout
    class_weights: tuple[float, ...] | None = None  # in the training loss, by label; None: all the same
    blocks: Blocks | None = None  # of the training pictures, with --shuffle blocks

    def layout_of(self, phase: Phase) -> Layout:
        """The layout of a phase's batches."""
        return self.layout.at_most(phase.rows)

    def order_of(self, phase: Phase) -> Callable[[int], EpochOrder]:
        """The order of each epoch (of the run) of a phase; features are in memory, and always shuffled as a whole."""
        if self.blocks is None or phase.on_features:
            return partial(global_order, self.config.seed, phase.rows)
        return partial(block_order, self.config.seed, self.blocks, self.layout_of(phase).batch_size)


def lay_out(config: RunConfig, replicas: int, parts_per_replica: int = 1) -> Layout:
    """How a global batch is divided into parts and over replicas; fast mode has `parts_per_replica`.

    Raises:
        ExitError: 64 when the slices cannot be divided equally among the replicas.
    """
    if config.deterministic and config.slices % replicas:
        raise ExitError(
            Exit.BAD_OPTION,
            f"--slices is {config.slices}; --deterministic on {replicas} replicas needs a multiple of {replicas}",
        )
    return Layout(config.batch_size, config.slices if config.deterministic else replicas * parts_per_replica, replicas)
