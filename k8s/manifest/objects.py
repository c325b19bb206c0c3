"""(RunSpec, Platform, what the cluster serves) → the objects of a run. Pure: same input, same bytes.

The policies make a gang of Kubernetes' parts: disruptions are not counted, exit codes that a retry cannot mend are
final, everything else costs one restart for all workers together. Which field does what was read in the source of
Kubernetes 1.37, JobSet 0.12 and Kueue 0.19.

The configuration travels in an annotation of the pod template and reaches the container as a file, so that one object
is the whole run (two for several workers without JobSet): nothing can be half-created.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from k8s.exits import missing, usage
from k8s.planning import quantity
from k8s.planning.capacity import Amounts
from k8s.settings.platform import Platform, Resources
from trainer import contract
from trainer.config import RunConfig
from trainer.exits import NEVER_RETRIED, Exit
from trainer.requests import to_json

Object = dict[str, Any]

CONTAINER, REPLICATED_JOB = "trainer", "w"
PORT = 2222  # TensorFlow's; the rendezvous is on the next
USER = 10001  # the image's
SPOOL = "/tmp"
CONFIG_FOLDER, CONFIG_FILE = "/etc/catdog", "config.json"
TOKEN_FOLDER = "/var/run/secrets/catdog"
LOST_NODE_SECONDS = 60
CAUSE_SECONDS = 15  # after the grace period, a worker that was told to end is seen to have ended
NAME_LIMIT = 63  # a pod's host name, and a label's value

CONFIG_ANNOTATION, RUN_ANNOTATION, DATA_ANNOTATION = "catdog.dev/config", "catdog.dev/run", "catdog.dev/data"
NAME_LABEL, INSTANCE_LABEL = "app.kubernetes.io/name", "app.kubernetes.io/instance"
COMPONENT_LABEL, MANAGER_LABEL = "app.kubernetes.io/component", "app.kubernetes.io/managed-by"
RECIPE_LABEL, QUEUE_LABEL = "catdog.dev/recipe", "kueue.x-k8s.io/queue-name"
INDEX_LABEL = "batch.kubernetes.io/job-completion-index"

# What JobSet can tell apart is only the message that the job controller writes
# (kubernetes/pkg/controller/job/pod_failure_policy.go).
_DISRUPTED = "has condition DisruptionTarget matching FailJob rule"
_STOPPED = f"failed with exit code {int(Exit.TERMINATED)} matching FailJob rule"


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
        """How many pods train as one."""
        return self.config.workers


def render(spec: RunSpec, platform: Platform, served: Served) -> list[Object]:
    """The objects to create, in order: the first owns the others.

    Raises:
        CliError: 2 for a name or a value that Kubernetes would not take; 3 for a queue or a JobSet that is not served.
    """
    check_name(spec.name, spec.workers)
    if platform.queue and not served.kueue:
        raise missing(
            f"queue {platform.queue!r} is asked for, but Kueue is not served here; install it, or use --queue ''"
        )
    if spec.workers == 1:
        return [_job(spec, platform)]
    if uses_jobset(spec, platform, served):
        return [_job_set(spec, platform)]
    return [_job(spec, platform), _service(spec)]


def uses_jobset(spec: RunSpec, platform: Platform, served: Served) -> bool:
    """Whether the run becomes a JobSet: only with several workers, and where it is served.

    Raises:
        CliError: 3 when a JobSet is asked for and not served.
    """
    if spec.workers == 1 or platform.shape == "job":
        return False
    if platform.shape == "jobset" and not served.jobset:
        raise missing("--shape jobset, but JobSet is not served here; install it, or leave --shape out")
    return served.jobset


def shape_note(spec: RunSpec, platform: Platform, served: Served) -> str:
    """Which objects were chosen and why, in one line."""
    if spec.workers == 1:
        return "one Job: one worker needs no more"
    if uses_jobset(spec, platform, served):
        return "a JobSet, which restarts the workers together"
    why = "as --shape job asks" if platform.shape == "job" else "because the cluster serves no JobSet"
    return f"a Job with a headless Service, {why}"


def check_name(name: str, workers: int) -> None:
    """Raise CliError 2 when `name` cannot be a run's: pods are called NAME-w-0-INDEX-xxxxx, in 63 characters."""
    longest = NAME_LIMIT - len(f"-{REPLICATED_JOB}-0-{workers - 1}-xxxxx")
    if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
        raise usage(f"--name is {name!r}; use small letters, digits and dashes; begin with a letter, end with no dash")
    if len(name) > longest:
        raise usage(f"--name has {len(name)} characters; with {workers} workers it may have {longest}")


def need(platform: Platform, gpus: int) -> Amounts:
    """What one worker with so many GPUs requests, in base units."""
    return {name: quantity.parse(text, name) for name, text in _requests(platform, gpus).items()}


def selector_of(platform: Platform, gpus: int) -> dict[str, str]:
    """Labels that a worker's node must have."""
    return {**platform.node_selector, **(platform.gpu.node_selector if gpus else {})}


def tolerations_of(platform: Platform, gpus: int) -> list[Object]:
    """Taints that a worker tolerates; a node that is gone is waited for LOST_NODE_SECONDS."""
    made: list[Object] = [dict(one) for one in platform.tolerations]
    if gpus:
        made += [dict(one) for one in platform.gpu.tolerations]
        made.append({"key": platform.gpu.resource, "operator": "Exists", "effect": "NoSchedule"})
    for taint in ("not-ready", "unreachable"):
        made.append(
            {
                "key": f"node.kubernetes.io/{taint}",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": LOST_NODE_SECONDS,
            }
        )
    return made


def to_yaml(objects: Sequence[Object]) -> str:
    """The objects as a YAML stream: keys sorted, text of several lines (the configuration) as a block."""
    import yaml  # here: only commands that print or read YAML pay for it

    class Dumper(yaml.SafeDumper):
        """Knows blocks."""

        def ignore_aliases(self, data: Any) -> bool:
            """Write what is in two places twice, as the API would give it."""
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return "".join("---\n" + yaml.dump(one, Dumper=Dumper, allow_unicode=True, width=120) for one in objects)


def to_json_list(objects: Sequence[Object]) -> str:
    """The objects as one JSON List, as `kubectl` reads and prints it."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}, indent=1, sort_keys=True) + "\n"


def _labels(spec: RunSpec, component: str) -> dict[str, str]:
    return {
        NAME_LABEL: "catdog",
        INSTANCE_LABEL: spec.name,
        COMPONENT_LABEL: component,
        MANAGER_LABEL: "catdog-submit",
        RECIPE_LABEL: spec.config.recipe,
    }


def _metadata(spec: RunSpec, platform: Platform) -> Object:
    labels = _labels(spec, "run")
    if platform.queue:
        labels[QUEUE_LABEL] = platform.queue
    return {
        "name": spec.name,
        "labels": labels,
        "annotations": {RUN_ANNOTATION: spec.config.run, DATA_ANNOTATION: spec.config.data or "demo"},
    }


def _job_set(spec: RunSpec, platform: Platform) -> Object:
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": _metadata(spec, platform),
        "spec": {
            **_suspended(platform),
            "ttlSecondsAfterFinished": platform.ttl_seconds_after_finished,
            "failurePolicy": {
                "maxRestarts": platform.max_restarts,
                "restartStrategy": "BlockingRecreate",
                "rules": _job_set_rules(),
            },
            "replicatedJobs": [
                {
                    "name": REPLICATED_JOB,
                    "replicas": 1,
                    "template": {
                        "metadata": {"labels": _labels(spec, "run")},
                        "spec": {
                            "completionMode": "Indexed",
                            "completions": spec.workers,
                            "parallelism": spec.workers,
                            "backoffLimit": 0,
                            "activeDeadlineSeconds": platform.active_deadline_seconds,
                            "podReplacementPolicy": "Failed",
                            "podFailurePolicy": {
                                "rules": [
                                    _on_disruption("FailJob"),
                                    _on_codes("FailJob", NEVER_RETRIED),
                                    _on_codes("FailJob", (Exit.TERMINATED,)),
                                ]
                            },
                            "template": _pod(spec, platform, jobset=True),
                        },
                    },
                }
            ],
        },
    }


def _job_set_rules() -> list[Object]:
    final = "|".join(str(int(code)) for code in sorted(NEVER_RETRIED))
    return [
        {
            "name": "disrupted",
            "action": "RestartJobSetAndIgnoreMaxRestarts",
            "onJobFailureReasons": ["PodFailurePolicy"],
            "onJobFailureMessagePatterns": [_DISRUPTED, _STOPPED],
        },
        {
            "name": "final",
            "action": "FailJobSet",
            "onJobFailureReasons": ["PodFailurePolicy"],
            "onJobFailureMessagePatterns": [f"failed with exit code ({final}) matching FailJob rule"],
        },
        {"name": "deadline", "action": "FailJobSet", "onJobFailureReasons": ["DeadlineExceeded"]},
    ]


def _job(spec: RunSpec, platform: Platform) -> Object:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(spec, platform),
        "spec": {
            **_suspended(platform),
            "completionMode": "Indexed",
            "completions": spec.workers,
            "parallelism": spec.workers,
            # Per index: one restart of the gang costs every index one, however many workers there are.
            "backoffLimitPerIndex": platform.max_restarts,
            "maxFailedIndexes": 0,
            "activeDeadlineSeconds": platform.active_deadline_seconds,
            "ttlSecondsAfterFinished": platform.ttl_seconds_after_finished,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    _on_disruption("Ignore"),
                    _on_codes("FailJob", NEVER_RETRIED),
                    _on_codes("Ignore", (Exit.TERMINATED,)),
                ]
            },
            "template": _pod(spec, platform, jobset=False),
        },
    }


def _suspended(platform: Platform) -> Object:
    return {"suspend": True} if platform.queue else {}


def _service(spec: RunSpec) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": spec.name, "labels": _labels(spec, "run")},
        "spec": {
            "clusterIP": "None",
            # Workers meet before they are ready.
            "publishNotReadyAddresses": True,
            "selector": {NAME_LABEL: "catdog", INSTANCE_LABEL: spec.name, COMPONENT_LABEL: "worker"},
            "ports": [
                {"name": "tensorflow", "port": PORT, "targetPort": PORT},
                {"name": "rendezvous", "port": PORT + 1, "targetPort": PORT + 1},
            ],
        },
    }


def _on_disruption(action: str) -> Object:
    return {"action": action, "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


def _on_codes(action: str, codes: Sequence[Exit]) -> Object:
    values = sorted({int(code) for code in codes})
    return {"action": action, "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": values}}


def _pod(spec: RunSpec, platform: Platform, *, jobset: bool) -> Object:
    pod: Object = {
        "restartPolicy": "Never",
        "serviceAccountName": platform.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": math.ceil(spec.config.grace_period),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "tolerations": tolerations_of(platform, spec.gpus),
        "containers": [_container(spec, platform, jobset=jobset)],
        "volumes": _volumes(platform, spec.gpus),
    }
    if selector := selector_of(platform, spec.gpus):
        pod["nodeSelector"] = selector
    if platform.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in platform.image_pull_secrets]
    if platform.priority_class:
        pod["priorityClassName"] = platform.priority_class
    if spec.workers > 1:
        if not jobset:
            pod["subdomain"] = spec.name
        pod["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {INSTANCE_LABEL: spec.name, COMPONENT_LABEL: "worker"}},
            }
        ]
    return {
        "metadata": {"labels": _labels(spec, "worker"), "annotations": {CONFIG_ANNOTATION: to_json(spec.config)}},
        "spec": pod,
    }


def _container(spec: RunSpec, platform: Platform, *, jobset: bool) -> Object:
    requests = _requests(platform, spec.gpus)
    ports = [{"name": "metrics", "containerPort": spec.config.metrics_port}] if spec.config.metrics_port else []
    if spec.workers > 1:
        ports += [{"name": "tensorflow", "containerPort": PORT}, {"name": "rendezvous", "containerPort": PORT + 1}]
    return {
        "name": CONTAINER,
        "image": platform.image,
        "imagePullPolicy": platform.image_pull_policy,
        "args": ["train", "--config", f"{CONFIG_FOLDER}/{CONFIG_FILE}"],
        "env": _environment(spec, platform, jobset=jobset),
        "ports": ports,
        "resources": {"requests": requests, "limits": dict(requests)},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": _mounts(platform),
    }


def _environment(spec: RunSpec, platform: Platform, *, jobset: bool) -> list[Object]:
    """What the trainer reads of its place: who its peers are, which run it belongs to, which attempt it is."""
    made: list[Object] = []
    if spec.workers > 1:
        host = f"{spec.name}-{REPLICATED_JOB}-0-{{index}}" if jobset else f"{spec.name}-{{index}}"
        made += [
            {"name": "CATDOG_HOST_TEMPLATE", "value": f"{host}.{spec.name}:{PORT}"},
            {"name": "CATDOG_WORKERS", "value": str(spec.workers)},
        ]
    if jobset:
        made += [
            _from_field("CATDOG_RUN_UID", "metadata.labels['jobset.sigs.k8s.io/jobset-uid']"),
            _from_field("CATDOG_ATTEMPT", "metadata.labels['jobset.sigs.k8s.io/restart-attempt']"),
            # The first failure decides what the restart costs, and ends the other workers: theirs must not be first.
            {"name": contract.ENV_PEER_LOST_WAIT, "value": str(math.ceil(spec.config.grace_period) + CAUSE_SECONDS)},
        ]
    else:
        made += [
            _from_field("CATDOG_RUN_UID", "metadata.labels['batch.kubernetes.io/controller-uid']"),
            _from_field("CATDOG_ATTEMPT", "metadata.annotations['batch.kubernetes.io/job-index-failure-count']"),
            # Absent, and then empty, until a failure was ignored.
            _from_field(
                "CATDOG_ATTEMPT_UNCOUNTED",
                "metadata.annotations['batch.kubernetes.io/job-index-ignored-failure-count']",
            ),
        ]
    limit = {"resourceFieldRef": {"resource": "limits.ephemeral-storage", "divisor": "1"}}
    made += [
        {"name": "HOME", "value": SPOOL},
        {"name": "TMPDIR", "value": SPOOL},
        {"name": "CATDOG_DISK_LIMIT", "valueFrom": limit},
    ]
    taken = {one["name"] for one in made}
    for one in platform.extra_env:
        if one.get("name") in taken:
            raise usage(f"extraEnv has {one['name']}, which catdog sets itself; remove it")
        made.append(dict(one))
    return made


def _from_field(name: str, path: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _requests(platform: Platform, gpus: int) -> dict[str, str]:
    per: Resources = platform.gpu.resources if gpus else platform.resources
    factor = max(1, gpus)
    made = {
        "cpu": quantity.multiply(per.cpu, factor, "resources.cpu"),
        "memory": quantity.multiply(per.memory, factor, "resources.memory"),
        "ephemeral-storage": quantity.multiply(per.ephemeral_storage, factor, "resources.ephemeralStorage"),
    }
    return {**made, platform.gpu.resource: str(gpus)} if gpus else made


def _volumes(platform: Platform, gpus: int) -> list[Object]:
    made: list[Object] = [
        {
            "name": "config",
            "downwardAPI": {
                "items": [
                    {"path": CONFIG_FILE, "fieldRef": {"fieldPath": f"metadata.annotations['{CONFIG_ANNOTATION}']"}}
                ]
            },
        },
        {"name": "tmp", "emptyDir": {"sizeLimit": _requests(platform, gpus)["ephemeral-storage"]}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": platform.shared_memory}},
    ]
    if platform.token_audience:
        token = {"audience": platform.token_audience, "expirationSeconds": 3600, "path": "token"}
        made.append({"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}})
    return made + [dict(one) for one in platform.extra_volumes]


def _mounts(platform: Platform) -> list[Object]:
    made: list[Object] = [
        {"name": "config", "mountPath": CONFIG_FOLDER, "readOnly": True},
        {"name": "tmp", "mountPath": SPOOL},
        {"name": "shm", "mountPath": "/dev/shm"},
    ]
    if platform.token_audience:
        made.append({"name": "token", "mountPath": TOKEN_FOLDER, "readOnly": True})
    return made + [dict(one) for one in platform.extra_volume_mounts]


def check_memory(platform: Platform, gpus: int) -> None:
    """Raise CliError 2 when /dev/shm, which counts as memory, would leave a worker none."""
    asked = Decimal(need(platform, gpus)["memory"])
    if quantity.parse(platform.shared_memory, "sharedMemory") >= asked:
        raise usage(
            f"sharedMemory {platform.shared_memory} is not less than the memory of a worker, {quantity.shown(asked)}"
        )


def mounted(platform: Platform, path: str) -> bool:
    """Whether a path inside the pod is on a mount of extraVolumes, and so outlives the pod."""
    mounts: list[Mapping[str, Any]] = list(platform.extra_volume_mounts)
    return any(path == one["mountPath"] or path.startswith(f"{str(one['mountPath']).rstrip('/')}/") for one in mounts)
