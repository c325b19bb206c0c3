"""What a Job and a JobSet do differently for the same pods: host names, and the counting of failures."""

import math
from dataclasses import dataclass

from k8s.labels import (
    FAILURES_ANNOTATION,
    IGNORED_FAILURES_ANNOTATION,
    JOB_UID_LABEL,
    JOBSET_ATTEMPT_LABEL,
    JOBSET_UID_LABEL,
    RENDEZVOUS_PORT,
    REPLICATED_JOB,
    TENSORFLOW_PORT,
)
from k8s.manifest.spec import RunSpec
from trainer.contract import HOST_INDEX

PORT = 2222
PORTS = {TENSORFLOW_PORT: PORT, RENDEZVOUS_PORT: PORT + 1}
"""At which workers of a gang listen for each other, by name; the trainer takes the rendezvous to be on the next."""

CAUSE_SECONDS = 15  # after the grace period, a worker that was told to end is seen to have ended


@dataclass(frozen=True)
class Shape:
    """How the pods of a run find each other, know their run and attempt, and are charged for failures.

    Attributes:
        host_template: host:port of a worker among several, with HOST_INDEX for its index.
        subdomain: what the pods must name to have these hosts; "" where the controller names it.
        run_uid: field of the pod with an id that all attempts at this run have in common.
        attempt: field of the pod with the number of attempts before this one.
        attempt_uncounted: field with those of them that were not charged, where `attempt` leaves them out; else "".
        on_disruption: action of the podFailurePolicy for a pod that was disrupted or asked to stop.
        peer_lost_wait: seconds that a worker which lost a peer waits, for the peer's end to be seen first; 0: none.
    """

    host_template: str
    subdomain: str
    run_uid: str
    attempt: str
    attempt_uncounted: str
    on_disruption: str
    peer_lost_wait: int


def job(spec: RunSpec) -> Shape:
    """An Indexed Job, with a headless Service of the run's name where there are several workers.

    Each index is charged for its own failures, so the survivors' may come first.
    """
    return Shape(
        host_template=f"{spec.name}-{HOST_INDEX}.{spec.name}:{PORT}",
        subdomain=spec.name,
        run_uid=f"metadata.labels['{JOB_UID_LABEL}']",
        attempt=f"metadata.annotations['{FAILURES_ANNOTATION}']",
        # Absent, and then empty, until a failure was ignored.
        attempt_uncounted=f"metadata.annotations['{IGNORED_FAILURES_ANNOTATION}']",
        on_disruption="Ignore",
        peer_lost_wait=0,
    )


def job_set(spec: RunSpec) -> Shape:
    """A JobSet of one Indexed Job, which fails with its first pod; the JobSet then makes it anew.

    That first failure decides what the restart costs, and ends the other workers: theirs must not be first.
    """
    return Shape(
        host_template=f"{spec.name}-{REPLICATED_JOB}-0-{HOST_INDEX}.{spec.name}:{PORT}",
        subdomain="",
        run_uid=f"metadata.labels['{JOBSET_UID_LABEL}']",
        attempt=f"metadata.labels['{JOBSET_ATTEMPT_LABEL}']",
        attempt_uncounted="",
        on_disruption="FailJob",
        peer_lost_wait=math.ceil(spec.config.grace_period) + CAUSE_SECONDS,
    )
