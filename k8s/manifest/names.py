"""The names of all objects of a run: which are its own, and which of them another run may have too. Pure.

| shape | Job | pods of worker I | Service |
|---|---|---|---|
| a Job | RUN | RUN-I-xxxxx | RUN, if there are several workers |
| a JobSet | RUN-w-0 | RUN-w-0-I-xxxxx | RUN, made by JobSet |

The suffix of a pod is what Kubernetes appends to generateName (apimachinery/pkg/util/rand): five characters.
"""

import re
from collections.abc import Collection

from k8s.labels import REPLICATED_JOB

_CHILD = f"-{REPLICATED_JOB}-0"
_WORKER = re.compile(r"(?P<job>.+)-(?P<index>0|[1-9][0-9]*)-[bcdfghjklmnpqrstvwxz2456789]{5}")


def job_of(run: str, kind: str) -> str:
    """The name of the Job that has the run's pods; `kind` is that of the object that owns all others."""
    return f"{run}{_CHILD}" if kind == "JobSet" else run


def same_job(run: str) -> tuple[str, str]:
    """The two other runs whose objects would bear a name of this one: as a JobSet, and (or "") as a Job.

    A JobSet `exp` makes a Job `exp-w-0`, which a run of that name is itself.
    """
    return f"{run}{_CHILD}", run.removesuffix(_CHILD) if run.endswith(_CHILD) else ""


def is_of(run: str, kind: str, workers: int, about: tuple[str, str], others: Collection[str] = ()) -> bool:
    """Whether a Job or pod (kind, name) is, or was, an object of this run, by its exact name.

    `kind` and `workers` are the run's shape. `others` are the names of other runs that exist: where the names of two
    runs coincide, it belongs to the run with the longer name.
    """
    object_kind, name = about
    job = job_of(run, kind)
    if job != run and job in others:
        return False
    if object_kind == "Job":
        return kind == "JobSet" and name == job
    found = _WORKER.fullmatch(name) if object_kind == "Pod" else None
    return found is not None and found["job"] == job and int(found["index"]) < workers
