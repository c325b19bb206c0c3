"""Every state in which Kubernetes, JobSet and Kueue can hold a run, and the kind of cause that answers it.

From the source of Kubernetes 1.37 (api/batch/v1, api/core/v1, the kubelet, the Job controller, the scheduler), JobSet
0.12 (api, pkg/constants) and Kueue 0.19 (apis/kueue/v1beta2). Rules take their words from here where a state needs
no more than that; docs/reference/why.md is made from this table, and a test runs every row of it through `explain`. A
value that is not listed, of another version, is answered by the rule for its field.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

VERSIONS = "Kubernetes 1.37, JobSet 0.12 and Kueue 0.19"


class Field(StrEnum):
    """Where the API holds a state."""

    JOB = "Job, condition that is True"
    JOB_FAILED = "Job, reason of the condition Failed or FailureTarget"
    JOBSET = "JobSet, condition that is True"
    JOBSET_FAILED = "JobSet, reason of the condition Failed"
    CREATION = "Job or JobSet, reason of an event"
    PODS = "Job or JobSet, its pods"
    PHASE = "Pod, phase"
    SCHEDULED = "Pod, reason of the condition PodScheduled, which is False"
    DISRUPTED = "Pod, reason of the condition DisruptionTarget"
    POD_REASON = "Pod, reason of its status, when its phase is Failed"
    WAITING = "Pod, reason for which the container waits"
    TERMINATED = "Pod, reason for which the container has ended"
    POD_EVENT = "Pod, reason of an event before the container starts"
    NODE = "Node, status of the condition Ready"
    QUOTA = "Workload, reason of the condition QuotaReserved, which is False"
    ADMITTED = "Workload, reason of the condition Admitted, which is False"
    EVICTED = "Workload, reason of the condition Evicted"
    CHECK = "Workload, state of an admission check"
    WORKLOAD = "Workload, condition that is True, or another field"
    OURS = "state.json and the log of rank 0"


@dataclass(frozen=True)
class Held:
    """One state: its value in that field, the kind of the cause that answers it, and what it means for a run."""

    field: Field
    value: str
    kind: str
    words: str


def _rows(field: Field, kind: str, rows: Mapping[str, str]) -> tuple[Held, ...]:
    return tuple(Held(field, value, kind, words) for value, words in rows.items())


_PULL = {
    "ErrImagePull": "the image could not be pulled",
    "ImagePullBackOff": "the image could not be pulled, and will be tried again",
    "InvalidImageName": "the image's name is invalid",
    "ErrImageNeverPull": "the image is not on the node, and imagePullPolicy is Never",
    "ImageInspectError": "the image on the node cannot be read",
    "RegistryUnavailable": "the registry cannot be reached (older versions)",
}
_CONTAINER = {
    "CreateContainerConfigError": "a Secret, ConfigMap or field that the container needs is missing",
    "CreateContainerError": "the runtime refuses to create the container",
    "RunContainerError": "the runtime cannot start the container",
    "CrashLoopBackOff": "a container of the pod ends again and again",
    "CreatePodSandboxError": "the pod's sandbox cannot be created",
    "ConfigPodSandboxError": "the pod's sandbox cannot be configured",
    "KillPodSandboxError": "the pod's old sandbox cannot be stopped",
    "KillContainerError": "the old container cannot be stopped",
    "RemoveContainerError": "the old container cannot be removed",
    "ResizePodInPlaceError": "the pod's resources cannot be changed",
    "PreCreateHookError": "the runtime's hook before creation fails",
    "PreStartHookError": "the runtime's hook before the start fails",
    "PostStartHookError": "the hook after the start fails",
}
_BEING_MADE = {
    "ContainerCreating": "the node prepares volumes, network and image",
    "PodInitializing": "the pod's init containers run; one may have been added by a policy",
}
_REJECTED = {
    "OutOfcpu": "the node has no CPU left for it",
    "OutOfmemory": "the node has no memory left for it",
    "OutOfephemeral-storage": "the node has no disk left for it",
    "OutOfpods": "the node runs as many pods as it can",
    "OutOfnvidia.com/gpu": "the node has no GPU left for it",
    "UnexpectedAdmissionError": "the node cannot give it a device, often because a device plugin has just restarted",
    "EmptyPodSharedPoolError": "the node has no shared CPUs left for it",
    "TopologyAffinityError": "the node cannot give it CPUs and devices of one NUMA node",
    "NodeAffinity": "the node's labels do not match the pod's",
    "NodeShutdown": "the node is shutting down",
    "AppArmor": "the node cannot enforce the pod's AppArmor profile",
    "SysctlForbidden": "the node does not allow a sysctl that the pod sets",
    "PodOSNotSupported": "the node has another operating system",
    "PodFeatureUnsupported": "the node does not support a feature that the pod uses",
    "PodLevelResourcesNotSupported": "the node does not support resources of whole pods",
    "SupplementalGroupsPolicyNotSupported": "the node does not support the pod's supplementalGroupsPolicy",
    "InitContainerRestartPolicyForbidden": "the node does not support restartable init containers",
    "VolumeAttachmentLimitExceeded": "the node cannot attach another volume",
    "InvalidNodeInfo": "the kubelet does not know its own node",
    "UnexpectedPredicateFailureType": "the kubelet refused it for a reason that it cannot name",
    "UnknownReason": "the kubelet refused it for a reason that it cannot name",
}
_STOPPED = {
    "Terminated": "its node was shut down",
    "Preempting": "the kubelet stopped it for a critical pod of the system",
    "NodeLost": "its node is not responding",
}
_QUEUED = {
    "WaitingForQuota": "other runs use the quota",
    "WaitingForPreemptedWorkloads": "runs that were preempted for it have not ended yet",
    "WaitingForPodsReady": "Kueue waits for the pods of a run ahead of it",
    "TopologyPlacementFailed": "no part of the topology has room for all workers at once",
    "PendingEvaluation": "Kueue has not looked at it yet",
    "Pending": "Kueue has not admitted it yet",
    "Waiting": "Kueue waits for the pods of a run ahead of it",
}
_QUEUE_BLOCKED = {
    "NoMatchingFlavor": "no flavor of the queue matches the run's node labels and tolerations",
    "Misconfigured": "its LocalQueue or ClusterQueue does not exist, is not active, or does not accept the namespace",
    "Inadmissible": "its LocalQueue or ClusterQueue does not exist, is stopped or is not active",
    "Suspended": "its LocalQueue or ClusterQueue is stopped",
    "OnHold": "its quota was given back on purpose",
    "AdmissionGated": "something outside Kueue holds it back (annotation AdmissionGatedBy)",
}
_EVICTED = {
    "Preempted": "a run with a higher priority, or with an older claim to the quota, took its place",
    "FlavorMigration": "a better flavor became free for it",
    "PodsReadyTimeout": "its pods were not ready in the time that Kueue allows",
    "AdmissionCheck": "an admission check was taken back",
    "ClusterQueueStopped": "its ClusterQueue was stopped",
    "LocalQueueStopped": "its LocalQueue was stopped",
    "NodeFailures": "a node of it failed, and there was no other",
    "EvictedOnManagerCluster": "the cluster that manages it evicted it",
    "WorkloadSliceReplaced": "another slice of it took its place",
}
_DEACTIVATED = {
    "Deactivated": "Kueue deactivated it",
    "DeactivatedDueToRequeuingLimitExceeded": "it was put back into the queue too often",
    "DeactivatedDueToMaximumExecutionTimeExceeded": "it ran for longer than Kueue allows",
    "DeactivatedDueToAdmissionCheck": "an admission check rejected it",
}
_REFUSED = {
    "FailedCreate": "the Job controller could not create a pod",
    "JobCreationFailed": "the JobSet controller could not create the Job",
    "HeadlessServiceCreationFailed": "the JobSet controller could not create the Service of the workers",
    "PVCCreationFailed": "the JobSet controller could not create a volume claim",
    "FailedWorkloadCompilation": "the Job controller could not describe the pods to the scheduler",
    "FailedWorkloadCreate": "the Job controller could not create the scheduler's Workload",
    "ErrWorkloadCompose": "Kueue could not describe the run",
    "JobNestingTooDeep": "Kueue could not find the object that owns the run",
    "UnknownCompletionMode": "the cluster's version of Kubernetes does not know Indexed Jobs",
}
_RESTARTS = {
    "BackoffLimitExceeded": "a pod failed, and may not be restarted",
    "FailedIndexes": "a worker failed more often than it may",
    "MaxFailedIndexesExceeded": "a worker failed more often than it may",
}

TABLE: tuple[Held, ...] = (
    *_rows(Field.JOB, "suspended", {"Suspended": "somebody, or a queue, suspended it"}),
    *_rows(Field.JOB, "finishing", {"SuccessCriteriaMet": "all workers are done; the controller has not finished"}),
    *_rows(Field.JOB, "succeeded", {"Complete": "the run has succeeded"}),
    *_rows(Field.JOB_FAILED, "failed", {"PodFailurePolicy": "a worker ended with a code that is not retried"}),
    *_rows(Field.JOB_FAILED, "restarts", _RESTARTS),
    *_rows(Field.JOB_FAILED, "deadline", {"DeadlineExceeded": "an attempt took longer than activeDeadlineSeconds"}),
    *_rows(Field.JOBSET, "suspended", {"Suspended": "somebody, or a queue, suspended it"}),
    *_rows(Field.JOBSET, "restarting", {"RestartingJobSet": "all workers are being replaced after a failure"}),
    *_rows(Field.JOBSET, "pods-missing", {"StartupPolicyInProgress": "the Job waits for its turn"}),
    *_rows(Field.JOBSET, "succeeded", {"Completed": "the run has succeeded"}),
    *_rows(
        Field.JOBSET_FAILED,
        "failed",
        {"FailJobSetFailurePolicyAction": "a worker ended with a code that is not retried"},
    ),
    *_rows(
        Field.JOBSET_FAILED,
        "restarts",
        {"ReachedMaxRestarts": "it failed more often than it may", "FailedJobs": "its Job failed"},
    ),
    *_rows(Field.CREATION, "create-failed", _REFUSED),
    *_rows(Field.PODS, "pods-missing", {"fewer than workers": "some were not created, and no event says why"}),
    *_rows(Field.PODS, "stopped", {"all have ended": "nothing was counted or replaced yet"}),
    *_rows(Field.PHASE, "unscheduled", {"Pending, without a condition": "no scheduler has looked at the pod"}),
    *_rows(Field.PHASE, "node-lost", {"Unknown": "its node is not responding"}),
    *_rows(Field.SCHEDULED, "unschedulable", {"Unschedulable": "no node has room for it, or may take it"}),
    *_rows(Field.SCHEDULED, "unschedulable", {"SchedulerError": "the scheduler failed"}),
    *_rows(Field.SCHEDULED, "gated", {"SchedulingGated": "something holds it back from the scheduler"}),
    *_rows(Field.DISRUPTED, "preempted", {"PreemptionByScheduler": "preempted by a pod with higher priority"}),
    *_rows(
        Field.DISRUPTED,
        "evicted",
        {
            "EvictionByEvictionAPI": "evicted by a node drain, or by an autoscaler removing the node",
            "DeletionByTaintManager": "its node has a taint that it does not tolerate",
            "TerminationByKubelet": "its node ran low on resources or shut down",
        },
    ),
    *_rows(Field.DISRUPTED, "node-lost", {"DeletionByPodGC": "its node no longer exists"}),
    *_rows(Field.POD_REASON, "evicted", {"Evicted": "its node ran low on resources, or it used more disk than it may"}),
    *_rows(Field.POD_REASON, "rejected", _REJECTED),
    *_rows(Field.POD_REASON, "evicted", _STOPPED),
    *_rows(Field.POD_REASON, "deadline", {"DeadlineExceeded": "the pod ran for longer than it may"}),
    *_rows(Field.WAITING, "image", _PULL),
    *_rows(Field.WAITING, "container", _CONTAINER),
    *_rows(Field.WAITING, "creating", _BEING_MADE),
    *_rows(Field.TERMINATED, "memory", {"OOMKilled": "it used more memory than its limit"}),
    *_rows(
        Field.TERMINATED,
        "exit",
        {
            "Error": "it ended with a code other than 0",
            "Unknown": "the runtime lost it",
            "Terminated": "its node shut down",
        },
    ),
    *_rows(
        Field.TERMINATED,
        "container",
        {"StartError": "the runtime could not start it", "ContainerCannotRun": "the runtime could not start it"},
    ),
    *_rows(Field.TERMINATED, "node-lost", {"ContainerStatusUnknown": "its node no longer knows how it ended"}),
    *_rows(Field.TERMINATED, "finishing", {"Completed": "the worker is done; others may not be"}),
    *_rows(
        Field.POD_EVENT,
        "mount",
        {
            "FailedMount": "a volume cannot be mounted",
            "FailedAttachVolume": "a volume cannot be attached to the node",
            "FailedMapVolume": "a block volume cannot be mapped",
            "FailedMountOnFilesystemMismatch": "a volume has another file system",
        },
    ),
    *_rows(
        Field.POD_EVENT,
        "sandbox",
        {
            "FailedCreatePodSandBox": "the node cannot set up the pod's network",
            "FailedPodSandBoxStatus": "the node does not know its sandbox",
            "NetworkNotReady": "the node's network is not ready",
        },
    ),
    *_rows(Field.POD_EVENT, "container", {"FailedPrepareDynamicResources": "a device that it claims is not ready"}),
    *_rows(Field.POD_EVENT, "container", {"FailedCreatePodContainer": "its cgroup cannot be created"}),
    *_rows(Field.POD_EVENT, "pulling", {"Pulling": "the image is being pulled"}),
    *_rows(
        Field.NODE, "node-lost", {"Unknown": "its kubelet is silent", "False": "its kubelet says that it is not ready"}
    ),
    *_rows(Field.QUOTA, "queue", _QUEUED),
    *_rows(Field.QUOTA, "queue-never", {"ExceedsMaxQuota": "it asks for more than the queue can ever have"}),
    *_rows(Field.QUOTA, "queue-blocked", _QUEUE_BLOCKED),
    *_rows(
        Field.ADMITTED,
        "queue",
        {
            "NoReservation": "it has no quota yet",
            "NoReservationUnsatisfiedChecks": "it has no quota yet, and admission checks are open",
            "UnsatisfiedAdmissionChecks": "it has quota, and admission checks are open",
            "UnsatisfiedChecks": "it has quota, and admission checks are open",
            "PendingDelayedTopologyRequests": "it has quota, and its place in the topology is open",
        },
    ),
    *_rows(Field.EVICTED, "queue", _EVICTED),
    *_rows(Field.EVICTED, "queue-deactivated", _DEACTIVATED),
    *_rows(Field.CHECK, "queue", {"Pending": "an admission check is open", "Retry": "an admission check starts again"}),
    *_rows(Field.CHECK, "queue-blocked", {"Rejected": "an admission check rejected the run"}),
    *_rows(Field.WORKLOAD, "queue-deactivated", {"spec.active is false": "somebody, or Kueue, deactivated it"}),
    *_rows(Field.WORKLOAD, "queue-deactivated", {"DeactivationTarget": "Kueue is about to deactivate it"}),
    *_rows(Field.WORKLOAD, "queue", {"BlockedOnPreemptionGates": "it may not preempt others"}),
    *_rows(Field.WORKLOAD, "queue-blocked", {"Finished": "Kueue takes the run for finished"}),
    *_rows(Field.WORKLOAD, "queue", {"there is none": "Kueue has not noticed the run"}),
    *_rows(Field.OURS, "silent", {"a heartbeat older than 90 s": "the process hangs, or storage does not answer it"}),
    *_rows(Field.OURS, "exit", {"failed, since the workers started": "this attempt has failed and not ended yet"}),
    *_rows(Field.OURS, "starting", {"failed, before they started": "an earlier attempt failed; they start again"}),
    *_rows(Field.OURS, "starting", {"no state yet": "the workers read the data, meet and compile"}),
    *_rows(Field.OURS, "unread", {"no right to read it": "progress comes from the log of rank 0, or is unknown"}),
)


def held(field: Field, value: str) -> Held | None:
    """The row of a state; None for a value of another version."""
    return next((one for one in TABLE if one.field is field and one.value == value), None)


def words(field: Field, value: str) -> str:
    """What a state means for a run; empty for a value of another version."""
    found = held(field, value)
    return "" if found is None else found.words
