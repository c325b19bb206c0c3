"""The learning rate as a pure function of the step."""

import math

from trainer.training.phases import Phase


def learning_rate(phase: Phase, schedule: str, step: int) -> float:
    """Learning rate of a step (from 0, of the run): in each phase linear warm-up from 0, then constant, or half a
    cosine down to 0 at its end.

    Cosine: Loshchilov, Hutter 2017, without restarts.
    """
    within = step - phase.first_step
    if within < phase.warmup_steps:
        return phase.learning_rate * (within + 1) / phase.warmup_steps
    if schedule == "constant":
        return phase.learning_rate
    total = phase.last_step - phase.first_step
    done = (within - phase.warmup_steps) / max(1, total - phase.warmup_steps)
    return phase.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
