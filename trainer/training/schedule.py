"""The learning rate as a pure function of the step."""

import math

from trainer.config import RunConfig


def learning_rate(config: RunConfig, step: int, total_steps: int) -> float:
    """Learning rate of a step (from 0): linear warm-up from 0, then constant, or half a cosine down to 0 at the end.

    Cosine: Loshchilov, Hutter 2017, without restarts.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.learning_rate
    done = (step - config.warmup_steps) / max(1, total_steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
