"""What a run is: the options that decide which weights it trains, and their fingerprint."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from trainer.config import RunConfig
from trainer.fields import options

IDENTITY: tuple[str, ...] = tuple(name for name, option in options(RunConfig).items() if option.identity)
"""The fields that make up the fingerprint."""

_LATER = (
    "class_weights", "weights_sha256", "unfreeze", "head_epochs", "tune_learning_rate", "tune_warmup_steps",
    "label_smoothing", "best", "resize", "antialias", "shuffle",
)  # fmt: skip
_BEFORE: Mapping[str, Any] = {"pixel_path": 1, **{name: getattr(RunConfig, name) for name in _LATER}}
"""Identity fields that were added later → what held before."""


def fingerprint(config: RunConfig) -> str:
    """16 hex digits over the identity fields: equal for two configurations that train the same weights."""
    identity = {name: getattr(config, name) for name in IDENTITY}
    # What is as it was before there was such a field leaves no trace: runs from then keep their fingerprint.
    for name, before in _BEFORE.items():
        if identity[name] == before:
            del identity[name]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def differences(ours: RunConfig, theirs: RunConfig) -> dict[str, tuple[Any, Any]]:
    """Identity fields that differ: name → (ours, theirs)."""
    pairs = {name: (getattr(ours, name), getattr(theirs, name)) for name in IDENTITY}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
