"""What was asked about a data set beside its address: how to read it and how to cut what it lacks."""

from dataclasses import dataclass

from trainer.config import LABEL_COLUMNS, SHARES, RunConfig


@dataclass(frozen=True)
class Rules:
    """The options of the same names in RunConfig."""

    layout: str = "auto"
    labels: str = ""
    labels_columns: str = LABEL_COLUMNS
    split: str = SHARES
    seed: int = 0


def rules_of(config: RunConfig) -> Rules:
    """The rules that a run goes by."""
    return Rules(config.layout, config.labels, config.labels_columns, config.split, config.seed)
