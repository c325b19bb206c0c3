"""Volumes and mounts of a pod: its configuration, /tmp, /dev/shm, a token, and those of the platform."""

import posixpath
from collections.abc import Mapping
from typing import Any

from k8s.labels import CONFIG_ANNOTATION
from k8s.manifest.resources import requests
from k8s.manifest.spec import Object
from k8s.settings.platform import Platform

CONFIG_PATH = "/etc/catdog/config.json"
"""The configuration, from the annotation."""
SPOOL = "/tmp"
TOKEN_FOLDER = "/var/run/secrets/catdog"

_CONFIG_FOLDER, _CONFIG_NAME = posixpath.split(CONFIG_PATH)


def volumes(platform: Platform, gpus: int) -> list[Object]:
    """`volumes` of a worker's pod."""
    field = {"fieldPath": f"metadata.annotations['{CONFIG_ANNOTATION}']"}
    made: list[Object] = [
        {"name": "config", "downwardAPI": {"items": [{"path": _CONFIG_NAME, "fieldRef": field}]}},
        {"name": "tmp", "emptyDir": {"sizeLimit": requests(platform, gpus)["ephemeral-storage"]}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": platform.shared_memory}},
    ]
    if platform.token_audience:
        token = {"audience": platform.token_audience, "expirationSeconds": 3600, "path": "token"}
        made.append({"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}})
    return made + [dict(one) for one in platform.extra_volumes]


def mounts(platform: Platform) -> list[Object]:
    """`volumeMounts` of its container."""
    made: list[Object] = [
        {"name": "config", "mountPath": _CONFIG_FOLDER, "readOnly": True},
        {"name": "tmp", "mountPath": SPOOL},
        {"name": "shm", "mountPath": "/dev/shm"},
    ]
    if platform.token_audience:
        made.append({"name": "token", "mountPath": TOKEN_FOLDER, "readOnly": True})
    return made + [dict(one) for one in platform.extra_volume_mounts]


def mounted(platform: Platform, path: str) -> bool:
    """Whether a path inside the pod is on a mount of extraVolumes, and so outlives the pod."""
    mounts: list[Mapping[str, Any]] = list(platform.extra_volume_mounts)
    return any(path == one["mountPath"] or path.startswith(f"{str(one['mountPath']).rstrip('/')}/") for one in mounts)
