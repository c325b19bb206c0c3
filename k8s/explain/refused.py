"""Why the pods of a run are not created: the API server or a cluster policy rejects them. Pure."""

import re

from k8s.explain.cause import Cause
from k8s.explain.observation import Observation, events_of, has_ended, in_words


def refused(seen: Observation) -> list[Cause]:
    """The controller is not allowed to create the pods, or the API server rejects them."""
    if seen.pods or has_ended(seen):
        return []
    for event in events_of(
        seen,
        "",
        (
            "FailedCreate",
            "JobCreationFailed",
            "PodCreationFailed",
            "ReplicatedJobsCreationFailed",
            "HeadlessServiceCreationFailed",
        ),
    ):
        message = str(event.get("message", ""))
        for pattern, kind, cause, command in _REFUSALS:
            if re.search(pattern, message):
                return [Cause(kind, cause, (in_words(event),), command)]
        return [Cause("create-failed", "the pods cannot be created", (in_words(event),), f"catdog doctor {seen.name}")]
    return []


_REFUSALS = (
    (r"exceeded quota", "quota", "a ResourceQuota in the namespace is used up", "kubectl describe resourcequota"),
    (
        r"must specify .* for",
        "quota",
        "a ResourceQuota requires requests or limits that the pods do not set",
        "kubectl describe resourcequota",
    ),
    (
        r"violates PodSecurity",
        "policy",
        "the namespace's Pod Security level rejects the pods; check extraVolumes in the platform",
        "kubectl get namespace --show-labels",
    ),
    (
        r"admission webhook .* denied|denied the request|ValidatingAdmissionPolicy",
        "policy",
        "a cluster policy rejects the pods",
        "ask the cluster administrators about the policy named above",
    ),
    (
        r"(?i)serviceaccount .*not found|error looking up service account",
        "service-account",
        "the workers' ServiceAccount does not exist",
        "helm upgrade --install catdog …, or --service-account NAME",
    ),
    (
        r"no PriorityClass|PriorityClass .*not found",
        "priority-class",
        "the PriorityClass does not exist",
        "kubectl get priorityclass",
    ),
    (
        r"forbidden",
        "policy",
        "the cluster rejects the pods",
        "ask the cluster administrators about the error above",
    ),
)
