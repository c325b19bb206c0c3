"""How a Job and a JobSet differ for the same pods: host names, and the counting of failures."""

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
"""Ports on which workers of a gang listen, by name; the trainer expects the rendezvous on the next port."""

CAUSE_SECONDS = 15  # after the grace period, until the exit of a terminated worker is recorded


@dataclass(frozen=True)
class Shape:
    """How the pods of a run find each other, identify their run and attempt, and have their failures counted.

    Attributes:
        host_template: host:port of a worker among several, with HOST_INDEX in place of its index.
        subdomain: subdomain that the pods must set to get these hosts; "" if the controller sets it.
        run_uid: field of the pod with an ID shared by all attempts of this run.
        attempt: field of the pod with the number of attempts before this one.
        attempt_uncounted: field with the number of uncounted ones, if `attempt` leaves them out; else "".
        on_disruption: action of the podFailurePolicy for a pod that was disrupted or asked to stop.
        peer_lost_wait: seconds that a worker waits after losing a peer, so that the peer's exit comes first; 0: none.
    """

    host_template: str
    subdomain: str
    run_uid: str
    attempt: str
    attempt_uncounted: str
    on_disruption: str
    peer_lost_wait: int


def job(spec: RunSpec) -> Shape:
    """An Indexed Job, with a headless Service named after the run if there are several workers.

    Failures are counted for each index, so those of the survivors may come first.
    """
    return Shape(
        host_template=f"{spec.name}-{HOST_INDEX}.{spec.name}:{PORT}",
        subdomain=spec.name,
        run_uid=f"metadata.labels['{JOB_UID_LABEL}']",
        attempt=f"metadata.annotations['{FAILURES_ANNOTATION}']",
        # Absent, so the variable is empty, until a failure is ignored.
        attempt_uncounted=f"metadata.annotations['{IGNORED_FAILURES_ANNOTATION}']",
        on_disruption="Ignore",
        peer_lost_wait=0,
    )


def job_set(spec: RunSpec) -> Shape:
    """A JobSet of one Indexed Job, which fails with its first pod; the JobSet then recreates it.

    That first failure decides what the restart costs, and stops the other workers: theirs must not come first.
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
