"""What a run's objects are made from, besides the platform: the run itself, and the cluster's optional APIs."""

import re
from dataclasses import dataclass
from typing import Any

from k8s.exits import usage
from k8s.labels import (
    APP,
    COMPONENT_LABEL,
    INSTANCE_LABEL,
    MANAGER,
    MANAGER_LABEL,
    NAME_LABEL,
    RECIPE_LABEL,
    REPLICATED_JOB,
)
from trainer.config import RunConfig

Object = dict[str, Any]
"""An object, or a part of one, in the API's JSON form."""

NAME_LIMIT = 63  # a pod's host name, and a label's value


@dataclass(frozen=True)
class Served:
    """Which optional APIs the cluster has."""

    jobset: bool
    kueue: bool


@dataclass(frozen=True)
class RunSpec:
    """One run: its name in the cluster, its configuration, and how many GPUs each of its workers gets."""

    name: str
    config: RunConfig
    gpus: int

    @property
    def workers(self) -> int:
        """How many pods train together."""
        return self.config.workers


def check_name(name: str, workers: int) -> None:
    """Raise CliError 2 if `name` is invalid for a run: pods are named NAME-w-0-INDEX-xxxxx, in 63 characters."""
    longest = NAME_LIMIT - len(f"-{REPLICATED_JOB}-0-{workers - 1}-xxxxx")
    if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
        raise usage(
            f"--name is {name!r}; use lowercase letters, digits and dashes; start with a letter, do not end with a dash"
        )
    if len(name) > longest:
        raise usage(f"--name has {len(name)} characters; with {workers} workers the limit is {longest}")


def labels_of(spec: RunSpec, component: str) -> dict[str, str]:
    """The labels of the run's objects (RUN) and pods (WORKER)."""
    return {
        NAME_LABEL: APP,
        INSTANCE_LABEL: spec.name,
        COMPONENT_LABEL: component,
        MANAGER_LABEL: MANAGER,
        RECIPE_LABEL: spec.config.recipe,
    }
