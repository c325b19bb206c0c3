"""Why the pods of a run are not created: what the API server and the policies of the cluster say to it. Pure."""

import re

from k8s.explain.cause import Cause
from k8s.explain.observation import Observation, events_of, has_ended, in_words


def refused(seen: Observation) -> list[Cause]:
    """The controller may not create the pods, or the API refuses them."""
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
    (r"exceeded quota", "quota", "a ResourceQuota of the namespace is used up", "kubectl describe resourcequota"),
    (
        r"must specify .* for",
        "quota",
        "a ResourceQuota wants requests that the pods do not have",
        "kubectl describe resourcequota",
    ),
    (
        r"violates PodSecurity",
        "policy",
        "the namespace's Pod Security level refuses the pods: see extraVolumes of the platform",
        "kubectl get namespace --show-labels",
    ),
    (
        r"admission webhook .* denied|denied the request|ValidatingAdmissionPolicy",
        "policy",
        "a policy of the cluster refuses the pods",
        "ask the cluster's administrators about the policy named here",
    ),
    (
        r"(?i)serviceaccount .*not found|error looking up service account",
        "service-account",
        "the ServiceAccount of the workers is not there",
        "helm upgrade --install catdog …, or --service-account NAME",
    ),
    (
        r"no PriorityClass|PriorityClass .*not found",
        "priority-class",
        "the PriorityClass is not there",
        "kubectl get priorityclass",
    ),
    (
        r"forbidden",
        "policy",
        "the cluster refuses the pods",
        "ask the cluster's administrators about the refusal named here",
    ),
)
