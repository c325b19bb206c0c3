"""Snapshots of what is trained: taken between two steps, and put back on every replica."""

from trainer.training.checkpoint import Snapshot
from trainer.training.learner import Learner, groups, hold, require_same, restore
from trainer.training.state import LoopState


def take(learner: Learner, state: LoopState) -> Snapshot:
    """All tensors as they are between two steps."""
    held = {group: hold(variables) for group, variables in groups(learner).items()}
    return Snapshot(state, {**held, **learner.fixed})


def put_back(learner: Learner, good: Snapshot) -> LoopState:
    """Assign a snapshot's tensors on every replica; return its state.

    Raises:
        ValueError: it does not belong to this network and optimizer.
    """
    ours, fixed = groups(learner), learner.fixed
    if set(ours) | set(fixed) != set(good.groups):
        raise ValueError(f"has {', '.join(sorted(good.groups))}; expected {', '.join(sorted([*ours, *fixed]))}")
    for group, arrays in fixed.items():
        require_same(arrays, good.groups[group])
    for group, variables in ours.items():
        restore(variables, good.groups[group])
    return good.state
