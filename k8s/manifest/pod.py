"""The pod that each worker runs in; the same in a Job and a JobSet, except for what their Shape sets.

The configuration is in an annotation, which the container sees as a file.
"""

import math

from k8s.exits import usage
from k8s.labels import (
    COMPONENT_LABEL,
    CONFIG_ANNOTATION,
    CONTAINER,
    GANG_SECRET_KEY,
    HOSTNAME_LABEL,
    INSTANCE_LABEL,
    METRICS_PORT,
    WORKER,
)
from k8s.manifest.overlay import overlaid
from k8s.manifest.resources import requests, selector_of, tolerations_of
from k8s.manifest.shape import PORTS, Shape
from k8s.manifest.spec import Object, RunSpec, labels_of
from k8s.manifest.volumes import CONFIG_PATH, SPOOL, mounts, volumes
from k8s.settings.platform import Platform
from trainer import contract
from trainer.requests import to_json

USER = 10001  # the image's user

PROBE_PERIOD, PROBE_TIMEOUT, PROBE_FAILURES = 15, 10, 12
"""Seconds, seconds, and how many in a row. A process that imports or compiles for minutes on a fifth of a processor
answers in between; only one that is frozen does not, in three minutes."""
PROBE_GRACE_SECONDS = 5


def pod_template(spec: RunSpec, platform: Platform, shape: Shape) -> Object:
    """`template` of the Job.

    Raises:
        CliError: 2 for extraEnv that sets what catdog sets itself; as `overlaid`.
    """
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
        "containers": [_container(spec, platform, shape)],
        "volumes": volumes(platform, spec.gpus),
    }
    if selector := selector_of(platform, spec.gpus):
        pod["nodeSelector"] = selector
    if platform.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in platform.image_pull_secrets]
    if platform.priority_class:
        pod["priorityClassName"] = platform.priority_class
    if spec.workers > 1:
        if shape.subdomain:
            pod["subdomain"] = shape.subdomain
        pod["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": HOSTNAME_LABEL,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {INSTANCE_LABEL: spec.name, COMPONENT_LABEL: WORKER}},
            }
        ]
    metadata = {"labels": labels_of(spec, WORKER), "annotations": {CONFIG_ANNOTATION: to_json(spec.config)}}
    return overlaid({"metadata": metadata, "spec": pod}, spec, platform)


def _container(spec: RunSpec, platform: Platform, shape: Shape) -> Object:
    asked = requests(platform, spec.gpus)
    ports = {METRICS_PORT: spec.config.metrics_port} if spec.config.metrics_port else {}
    if spec.workers > 1:
        ports |= PORTS
    return {
        "name": CONTAINER,
        "image": platform.image,
        "imagePullPolicy": platform.image_pull_policy,
        "args": ["train", "--config", CONFIG_PATH],
        "env": _environment(spec, platform, shape),
        "ports": [{"name": name, "containerPort": port} for name, port in ports.items()],
        **({"livenessProbe": _probe()} if spec.config.metrics_port else {}),
        "resources": {"requests": asked, "limits": dict(asked)},
        "terminationMessagePath": contract.TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts(platform),
    }


def _probe() -> Object:
    return {
        "httpGet": {"path": contract.HEALTH_PATH, "port": METRICS_PORT},
        "periodSeconds": PROBE_PERIOD,
        "timeoutSeconds": PROBE_TIMEOUT,
        "failureThreshold": PROBE_FAILURES,
        "terminationGracePeriodSeconds": PROBE_GRACE_SECONDS,
    }


def _environment(spec: RunSpec, platform: Platform, shape: Shape) -> list[Object]:
    """What the trainer reads about its place: its peers, its run, and which attempt this is."""
    made: list[Object] = []
    if spec.workers > 1:
        made += [
            {"name": contract.ENV_HOST_TEMPLATE, "value": shape.host_template},
            {"name": contract.ENV_WORKERS, "value": str(spec.workers)},
        ]
        if platform.gang_secret:
            secret = {"name": platform.gang_secret, "key": GANG_SECRET_KEY}
            made.append({"name": contract.ENV_SECRET, "valueFrom": {"secretKeyRef": secret}})
    made += [_from_field(contract.ENV_RUN_UID, shape.run_uid), _from_field(contract.ENV_ATTEMPT, shape.attempt)]
    if shape.attempt_uncounted:
        made.append(_from_field(contract.ENV_ATTEMPT_UNCOUNTED, shape.attempt_uncounted))
    if shape.peer_lost_wait:
        made.append({"name": contract.ENV_PEER_LOST_WAIT, "value": str(shape.peer_lost_wait)})
    if spec.config.metrics_port:
        silence = PROBE_PERIOD * (PROBE_FAILURES - 1)
        made.append({"name": contract.ENV_LIVENESS_SECONDS, "value": str(silence)})
    limit = {"resourceFieldRef": {"resource": "limits.ephemeral-storage", "divisor": "1"}}
    made += [
        {"name": "HOME", "value": SPOOL},
        {"name": "TMPDIR", "value": SPOOL},
        {"name": contract.ENV_DISK_LIMIT, "valueFrom": limit},
    ]
    taken = {one["name"] for one in made}
    for one in platform.extra_env:
        if one.get("name") in taken:
            raise usage(f"extraEnv has {one['name']}, which catdog sets itself; remove it")
        made.append(dict(one))
    return made


def _from_field(name: str, path: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
