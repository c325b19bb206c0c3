"""The first weights and state of an attempt: from a checkpoint, else from another run, else from the seed."""

from trainer.contract import BEST
from trainer.exits import Exit, ExitError
from trainer.storage.opening import open_storage
from trainer.training import checkpoint
from trainer.training.checkpoint import Snapshot, Unusable
from trainer.training.learner import Learner, restore
from trainer.training.snapshots import put_back
from trainer.training.state import LoopState
from trainer.training.task import Task


def first_state(task: Task, snapshot: Snapshot | None, first_start: float) -> LoopState:
    """Put the first weights on the devices and return the state to start from.

    `first_start` is the Unix time at which a run that starts now has started.

    Raises:
        ExitError: 73 when the checkpoint is for another network; 66 or 64 when --init-from has no weights or no fitting
            ones.
    """
    if snapshot is not None:
        try:
            return put_back(task.learner, snapshot)
        except ValueError as error:
            raise ExitError(
                Exit.RUN_REFUSED,
                f"{task.config.run}: its checkpoint is for another network or optimizer: {error}; use another --run",
            ) from error
    if task.config.init_from:
        _init_from(task.config.init_from, task.learner)
    return LoopState(first_start=first_start)


def _init_from(uri: str, learner: Learner) -> None:
    try:
        groups = checkpoint.read(open_storage(uri), BEST).groups
        # What one run trained, another may keep frozen: its backbone is loaded with the run's own (training.backbone).
        every = {name: array for group in groups.values() for name, array in group.items()}
        weights = {name: every[name] for name in learner.weights if name in every} if learner.fixed else every
        restore(learner.weights, weights)
        if learner.ema:
            restore(learner.ema, weights)
    except Unusable as error:
        raise ExitError(Exit.INPUT_MISSING, f"--init-from {uri}: no best weights there: {error}") from error
    except ValueError as error:
        raise ExitError(Exit.BAD_OPTION, f"--init-from {uri}: its weights do not fit this network: {error}") from error
