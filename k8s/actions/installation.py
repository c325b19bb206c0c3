"""What a namespace provides for submitting: the cluster, the platform set by the chart, the optional APIs."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from k8s.actions import observe
from k8s.api.client import Cluster
from k8s.api.connection import connect
from k8s.api.errors import UNAUTHORIZED, ApiError
from k8s.exits import CliError
from k8s.manifest.spec import Served
from k8s.settings import platform
from k8s.settings.layers import Yaml, merge
from k8s.settings.platform import Platform


@dataclass(frozen=True)
class Installation:
    """A cluster and namespace, the settings in effect there for this user, and which optional APIs are served."""

    cluster: Cluster
    platform: Platform
    served: Served


def open_installation(context: str, namespace: str, flags: Mapping[str, Any] | None = None) -> Installation:
    """Connect, and read the platform of the namespace; `flags` are settings from the command line, by field name.

    Raises:
        CliError: 3 without a cluster or the chart; 2 for an invalid setting.
    """
    cluster = connect(context, namespace)
    left = observe.platform_settings(cluster)
    merged = merged_platform(left, flags or {}, f"the platform of namespace {cluster.namespace}")
    return Installation(cluster, merged, observe.served(cluster))


@dataclass(frozen=True)
class Place:
    """Where runs are: a cluster and namespace, and the settings in effect there for this user.

    `trouble` says why the platform of the namespace is unknown, and then the settings are the user's; empty if it is
    not.
    """

    cluster: Cluster
    platform: Platform
    trouble: str = ""

    @property
    def runs(self) -> str:
        """The URI below which run folders are; empty if unknown."""
        return self.platform.runs


def open_place(context: str, namespace: str) -> Place:
    """Connect, and read what the platform says of runs that exist; without a platform their objects say enough.

    Raises:
        CliError: 3 without a cluster; 2 for a user's profile that is not valid.
    """
    cluster = connect(context, namespace)
    profile = profile_platform()
    try:
        left = observe.platform_settings(cluster)
        merged = merged_platform(left, {}, f"the platform of namespace {cluster.namespace}")
    except CliError as error:
        if error.transient or (isinstance(error, ApiError) and error.status == UNAUTHORIZED):
            raise
        known = f"below {profile.runs} and " if profile.runs else ""
        return Place(cluster, profile, f"{error.message}; showing what is {known}in the cluster")
    return Place(cluster, merged)


def profile_platform() -> Platform:
    """What the user's own profile says, without a cluster.

    Raises:
        CliError: 2 for a profile that is not valid.
    """
    return merged_platform({}, {}, "the profile")


def offline_platform(file: Path, flags: Mapping[str, Any]) -> Platform:
    """The platform in a file that contains the ConfigMap; needs no cluster.

    Raises:
        CliError: 2 when it cannot be read, 3 when it does not contain the ConfigMap.
    """
    return merged_platform(platform.of_file(file), flags, str(file))


def merged_platform(left: Yaml, flags: Mapping[str, Any], where: str) -> Platform:
    """The chart's settings, the user's profile over them, the flags over both; each layer is checked by itself.

    Raises:
        CliError: 2 naming the layer and the setting.
    """
    path = platform.profile_path(os.environ)
    profile, typed = platform.of_profile(path), platform.of_flags(flags)
    for layer, name in ((left, where), (profile, str(path)), (typed, "the flags")):
        platform.of_mapping(layer, name)
    return platform.of_mapping(merge((left, profile, typed)), where)
