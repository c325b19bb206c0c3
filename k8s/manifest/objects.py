"""The objects that a run can be made of: a Job, a JobSet, the Service of a Job with several workers; and a claim."""

from k8s.labels import (
    APP,
    BATCH_API,
    CLAIM,
    COMPONENT_LABEL,
    DATA_ANNOTATION,
    INSTANCE_LABEL,
    JOBSET_API,
    NAME_LABEL,
    QUEUE_LABEL,
    REPLICATED_JOB,
    RUN,
    RUN_ANNOTATION,
    WORKER,
)
from k8s.manifest import shape as shapes
from k8s.manifest.failures import job_set_failure_policy, pod_failure_policy
from k8s.manifest.pod import pod_template
from k8s.manifest.shape import PORTS, Shape
from k8s.manifest.spec import Object, RunSpec, labels_of
from k8s.settings.platform import Platform


def job(spec: RunSpec, platform: Platform) -> Object:
    """An Indexed Job, one index per worker."""
    return {
        "apiVersion": BATCH_API,
        "kind": "Job",
        "metadata": _metadata(spec, platform),
        "spec": {
            **_whole_run(platform),
            **_workers(spec, platform, shapes.job(spec)),
            # Per index: one restart of the gang costs every index one, whatever the number of workers.
            "backoffLimitPerIndex": platform.max_restarts,
            "maxFailedIndexes": 0,
        },
    }


def job_set(spec: RunSpec, platform: Platform) -> Object:
    """A JobSet of one Indexed Job, whose workers it restarts together."""
    child = {**_workers(spec, platform, shapes.job_set(spec)), "backoffLimit": 0}
    return {
        "apiVersion": JOBSET_API,
        "kind": "JobSet",
        "metadata": _metadata(spec, platform),
        "spec": {
            **_whole_run(platform),
            "failurePolicy": job_set_failure_policy(platform.max_restarts),
            "replicatedJobs": [
                {
                    "name": REPLICATED_JOB,
                    "replicas": 1,
                    "template": {"metadata": {"labels": labels_of(spec, RUN)}, "spec": child},
                }
            ],
        },
    }


def service(spec: RunSpec) -> Object:
    """The headless Service that gives the pods of a Job their host names; a JobSet creates its own."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": spec.name, "labels": labels_of(spec, RUN)},
        "spec": {
            "clusterIP": "None",
            # Workers connect to each other before they are ready.
            "publishNotReadyAddresses": True,
            "selector": {NAME_LABEL: APP, INSTANCE_LABEL: spec.name, COMPONENT_LABEL: WORKER},
            "ports": [{"name": name, "port": port, "targetPort": port} for name, port in PORTS.items()],
        },
    }


CLAIM_SECONDS = 60
"""How long a claim lasts that nobody takes back."""


def claim(spec: RunSpec, platform: Platform) -> Object:
    """A Job that holds the name among Jobs while the JobSet is created, so that a name is one run of any shape.

    It has no pods and is complete at once, so a claim that is left behind removes itself. Its pod template is the
    run's, so that policies of the cluster allow it where they allow the run.
    """
    return {
        "apiVersion": BATCH_API,
        "kind": "Job",
        "metadata": {"name": spec.name, "labels": labels_of(spec, CLAIM)},
        "spec": {
            **_workers(spec, platform, shapes.job(spec)),
            "backoffLimit": 0,
            "completions": 0,
            "parallelism": 0,
            "ttlSecondsAfterFinished": CLAIM_SECONDS,
        },
    }


def _metadata(spec: RunSpec, platform: Platform) -> Object:
    labels = labels_of(spec, RUN)
    if platform.queue:
        labels[QUEUE_LABEL] = platform.queue
    return {
        "name": spec.name,
        "labels": labels,
        "annotations": {RUN_ANNOTATION: spec.config.run, DATA_ANNOTATION: spec.config.data or "demo"},
    }


def _whole_run(platform: Platform) -> Object:
    """Fields of the object that owns the others: suspended for Kueue, and removed some time after it finishes."""
    kept: Object = {"ttlSecondsAfterFinished": platform.ttl_seconds_after_finished}
    return {"suspend": True, **kept} if platform.queue else kept


def _workers(spec: RunSpec, platform: Platform, shape: Shape) -> Object:
    """Fields of the Job that owns the pods, alone or in a JobSet."""
    return {
        "completionMode": "Indexed",
        "completions": spec.workers,
        "parallelism": spec.workers,
        "activeDeadlineSeconds": platform.active_deadline_seconds,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": pod_failure_policy(shape.on_disruption),
        "template": pod_template(spec, platform, shape),
    }
