"""What was asked about a data set beside its address: how to read it and how to cut what it lacks."""

from dataclasses import dataclass

from trainer.config import LABEL_COLUMNS, SHARES, RunConfig
from trainer.requests import DataCheckRequest, DataPackRequest


@dataclass(frozen=True)
class Rules:
    """The options of the same names in RunConfig."""

    layout: str = "auto"
    labels: str = ""
    labels_columns: str = LABEL_COLUMNS
    split: str = SHARES
    seed: int = 0


AS_IT_IS = Rules()
"""Nothing was asked."""


def rules_of(asked: RunConfig | DataCheckRequest | DataPackRequest) -> Rules:
    """The rules that a run, or a verb on a data set, goes by."""
    return Rules(asked.layout, asked.labels, asked.labels_columns, asked.split, asked.seed)
