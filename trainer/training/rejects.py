"""Whether too many pictures cannot be used, judged while training sees them: the same on every rank, at the same step.

A picture that cannot be used has weight 0, so the summed weight of an epoch's steps, which all ranks have, tells how
many there were.
"""

import math

from trainer.contract import REJECTED
from trainer.data.pipeline import Rows
from trainer.exits import Exit, ExitError
from trainer.training.phases import Phase

FIRST_ROWS = 1000
CERTAIN = 5.0
"""Standard deviations above what is allowed: before all of a split was seen, more than that is no accident."""


def too_many(rejected: int, rows: int, pictures: int, share: float) -> bool:
    """Whether more than `share` of a split of so many pictures cannot be used, after `rows` of them in random order."""
    if rejected > share * pictures:
        return True
    allowed = share * rows
    return rows >= FIRST_ROWS and rejected > allowed + CERTAIN * math.sqrt(allowed)


def require_few_of(name: str, split: Rows, weight: float, share: float) -> None:
    """Judge a split that was evaluated as a whole, by its summed weight.

    Raises:
        ExitError: 65 saying how many of how many.
    """
    pictures = len(split)
    rejected = pictures - round(weight)
    if too_many(rejected, pictures, pictures, share):
        raise ExitError(
            Exit.BAD_DATA,
            f"{rejected} of the {pictures} pictures of {name} cannot be used, more than {share:.1%}{_told(split)}",
        )


def require_few(phase: Phase, train: Rows, batch_size: int, step: int, weight: float, share: float) -> None:
    """Judge after `step`, by the summed weight of its epoch so far.

    Raises:
        ExitError: 65 saying how many of how many.
    """
    rows = min((phase.batch_of(step - 1) + 1) * batch_size, phase.rows)
    rejected = rows - round(weight)
    if too_many(rejected, rows, phase.rows, share):
        raise ExitError(
            Exit.BAD_DATA,
            f"{rejected} of the {rows} pictures of train that this epoch has seen cannot be used, more than "
            f"{share:.1%} of {phase.rows}{_told(train)}",
        )


def _told(split: Rows) -> str:
    known = split.rejected
    first = f"; the first known here is {known[0].path}: {known[0].reason}" if known else ""
    return (
        f"{first} (each worker's log names those that it read, {REJECTED} those of rank 0: fix or remove them, "
        "`catdog data check` lists all; or raise --max-rejected)"
    )
