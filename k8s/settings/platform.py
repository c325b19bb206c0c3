"""Where and how runs are placed: the settings of the chart, of the user's profile and of the flags, merged.

Each setting is declared once, as a field of Platform; its key in YAML is the field's name in camelCase. The ConfigMap
`catdog-platform` contains such YAML under `platform.yaml`; the profile (`~/.config/catdog/profile.yaml`) is such YAML.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from k8s import documents
from k8s.documents import DocumentError
from k8s.exits import missing, usage
from k8s.labels import CONFIG_MAP, CONFIG_MAP_KEY
from k8s.planning import quantity
from k8s.settings import overlay
from k8s.settings.layers import Yaml
from k8s.settings.overlay import Overlay
from trainer import fields
from trainer.fields import Naming, Refused, declare, options
from trainer.recipes import DEFAULT, RECIPES
from trainer.words import in_a_line

SCHEMA = 1
SHAPES = ("auto", "jobset", "job")
OWN_ENV = "CATDOG_"
PULL_POLICIES = ("Always", "IfNotPresent", "Never")


def _quantity(default: str, help: str) -> Any:
    return declare(default, help, flag=False, fault=quantity.fault)


def _device_fault(text: str) -> str:
    """What the name of a device resource must be, if this is none; else empty."""
    return "" if overlay.DEVICE.fullmatch(text) else "a device resource, such as nvidia.com/gpu"


def _currency_fault(text: str) -> str:
    """What the word behind an amount must be, if this is none; else empty."""
    return "" if re.fullmatch(r"[^\s\x00-\x1f]{0,8}", text) and in_a_line(text) == text else "at most 8 characters"


def _flag(default: Any, help: str, **facts: Any) -> Any:
    """A setting that `catdog submit` has a flag for."""
    return declare(default, help, group="Platform", default_shown=False, **facts)


def _set(default: Any, help: str, **facts: Any) -> Any:
    """A setting that only the chart and the profile have."""
    return declare(default, help, flag=False, **facts)


@dataclass(frozen=True)
class Resources:
    """Requests and limits: of a worker without GPUs, or of each GPU of a worker."""

    cpu: str = _quantity("2", "CPUs, request and limit.")
    memory: str = _quantity("8Gi", "Memory, request and limit.")
    ephemeral_storage: str = _quantity("10Gi", "Disk for /tmp, request and limit.")


@dataclass(frozen=True)
class Gpu:
    """Settings for workers with GPUs only."""

    resource: str = declare(
        "nvidia.com/gpu",
        "Resource that nodes advertise; a taint of this name is tolerated. Of MIG slices a worker gets one.",
        flag=False,
        fault=_device_fault,
    )
    node_selector: Mapping[str, str] = _set({}, "Labels of nodes with GPUs, in addition to nodeSelector.")
    tolerations: tuple[Yaml, ...] = _set((), "Tolerations, in addition to tolerations.")
    resources: Resources = _set(
        lambda: Resources(cpu="4", memory="16Gi", ephemeral_storage="10Gi"),
        "Requests and limits of each GPU of a worker.",
    )
    overlay: Overlay = _set(Overlay, "More of the pods of workers with GPUs (below), over `overlay`.")


@dataclass(frozen=True)
class Platform:
    """The defaults of a namespace, not validated here: `of_mapping` does that."""

    image: str = _flag("", "Container image.")
    image_pull_policy: str = _set("IfNotPresent", "When nodes pull the image.", choices=PULL_POLICIES)
    image_pull_secrets: tuple[str, ...] = _set((), "Names of Secrets for pulling the image.")
    recipe: str = _set(DEFAULT, "Recipe of runs without --recipe.", choices=tuple(RECIPES))
    weights: str = _set(
        "", "Pre-trained weights of runs without --weights, as weights fetch stores them; empty: the image's."
    )
    data: str = _set("", "Data set for runs without --data; empty: the drawn demo set.")
    runs: str = _set("", "Where run folders go: gs://bucket/prefix, or a folder below a mount of extraVolumes.")
    service_account: str = _flag("default", "ServiceAccount of the workers.")
    node_selector: Mapping[str, str] = _set({}, "Labels that nodes must have.")
    tolerations: tuple[Yaml, ...] = _set((), "Tolerations of the workers.")
    resources: Resources = _set(Resources, "Requests and limits of a worker without GPUs.")
    shared_memory: str = _quantity("1Gi", "Size of /dev/shm; counts as memory.")
    gpu: Gpu = _set(Gpu, "Settings for workers with GPUs only.")
    gpus_per_node: int = _set(1, "GPUs per node, used if no node can be read.", low=1)
    queue: str = _flag("", "Kueue LocalQueue.")
    priority_class: str = _flag("", "PriorityClass of the pods.")
    shape: str = _flag("auto", "Objects of a run with several workers; auto: a JobSet if installed.", choices=SHAPES)
    max_restarts: int = _flag(
        50, "Bound on restarts; disruptions do not count. A run that makes no progress ends sooner.", low=0
    )
    active_deadline_seconds: int = _set(604800, "Maximum duration of one attempt, in seconds.", low=60)
    ttl_seconds_after_finished: int = _set(86400, "How long finished objects are kept, in seconds.", low=0)
    metrics_port: int = _set(8080, "Port of /metrics.", low=1024)
    price_per_gpu_hour: float = _set(0.0, "Price of one GPU for an hour; 0: not given, only hours are told.", low=0.0)
    price_per_cpu_hour: float = _set(0.0, "Price of one CPU for an hour, for runs without GPUs; 0: not given.", low=0.0)
    currency: str = _set("", "What the prices are in, shown behind amounts, such as EUR.", fault=_currency_fault)
    storage_cidrs: tuple[str, ...] = _set(("0.0.0.0/0",), "Addresses of object storage, for the chart's NetworkPolicy.")
    token_audience: str = _set("", "Audience of a projected ServiceAccount token; empty: no token.")
    gang_secret: str = _set("", "Secret by which workers of a run recognise each other; empty: they do not.")
    extra_env: tuple[Yaml, ...] = _set((), "Additional environment variables, as in a container.")
    extra_volumes: tuple[Yaml, ...] = _set((), "Additional volumes, as in a pod.")
    extra_volume_mounts: tuple[Yaml, ...] = _set((), "Mounts of extraVolumes, as in a container.")
    overlay: Overlay = _set(Overlay, "More of the pods of all workers (below).")
    nodes_readable: bool = _set(True, "Whether submitters may read nodes.")


def key(name: str) -> str:
    """The YAML key of a field: node_selector → nodeSelector."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def of_config_map(config_map: Yaml, where: str) -> Yaml:
    """The settings in a ConfigMap object from the API, not yet validated.

    Raises:
        CliError: 3 when it is not the chart's.
    """
    data = config_map.get("data")
    text = data.get(CONFIG_MAP_KEY) if isinstance(data, Mapping) else None
    if not isinstance(text, str):
        raise missing(
            f"{where}: it has no {CONFIG_MAP_KEY!r}; it must be the ConfigMap {CONFIG_MAP} that the chart creates"
        )
    return _mapping(_parse_yaml(text, f"{where}, {CONFIG_MAP_KEY}"), f"{where}, {CONFIG_MAP_KEY}")


def of_file(path: Path) -> Yaml:
    """The settings in a file that contains the ConfigMap, as `kubectl get -o yaml` or `helm template` prints it.

    Raises:
        CliError: 2 when it cannot be read or is not YAML, 3 when it does not contain the ConfigMap.
    """
    for document in _documents(path):
        items = document.get("items") if document.get("kind") == "List" else [document]
        for item in items if isinstance(items, list) else ():
            if _is_platform(item):
                return of_config_map(item, str(path))
    raise missing(
        f"{path}: no ConfigMap {CONFIG_MAP} in it; kubectl get configmap {CONFIG_MAP} -o yaml > {path.name} writes it"
    )


def _is_platform(item: Any) -> bool:
    if not isinstance(item, Mapping) or item.get("kind") != "ConfigMap":
        return False
    metadata = item.get("metadata")
    return isinstance(metadata, Mapping) and metadata.get("name") == CONFIG_MAP


def of_profile(path: Path) -> Yaml:
    """The user's own settings; empty without such a file.

    Raises:
        CliError: 2 when it cannot be read, or is not a mapping.
    """
    try:
        text = _read(path)
    except FileNotFoundError:
        return {}
    found = _parse_yaml(text, str(path))
    return {} if found is None else _mapping(found, str(path))


def profile_path(environment: Mapping[str, str]) -> Path:
    """Path of the user's profile (XDG Base Directory Specification)."""
    home = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME", "~")).expanduser() / ".config")
    return Path(home) / "catdog" / "profile.yaml"


def default_recipe(environment: Mapping[str, str]) -> str:
    """The recipe of runs on this machine without --recipe: that of the user's profile, else the installed one.

    Raises:
        CliError: 2 for a profile that is not valid.
    """
    path = profile_path(environment)
    return of_mapping(of_profile(path), str(path)).recipe


def of_mapping(values: Yaml, where: str) -> Platform:
    """Validate settings by YAML key and make a Platform from them.

    Raises:
        CliError: 2 naming the key that is unknown, of another type, or out of bounds.
    """
    values = dict(values)
    schema = values.pop("schema", SCHEMA)
    if schema != SCHEMA:
        raise usage(f"{where}: schema is {schema}, but this catdog reads {SCHEMA}; use the chart of the same version")
    naming = Naming(
        key=key,
        shown=lambda path: f"{where}: {path}",
        unknown=lambda path, known: f"{where}: {_unknown(path, known)}",
    )
    try:
        made = fields.build(Platform, values, naming)
    except Refused as error:
        raise usage(str(error)) from error
    _check_items(made, where)
    overlay.check(made.overlay, f"{where}: overlay", made.gpu.resource)
    overlay.check(made.gpu.overlay, f"{where}: gpu.overlay", made.gpu.resource)
    return made


_NEEDED = (("extra_env", ("name",)), ("extra_volumes", ("name",)), ("extra_volume_mounts", ("name", "mountPath")))


def _check_items(platform: Platform, where: str) -> None:
    """What is read of lists that are otherwise passed on as they are, for the API server to judge."""
    for name, needed in _NEEDED:
        for number, item in enumerate(getattr(platform, name)):
            for inner in needed:
                shown = f"{where}: {key(name)}[{number}].{inner}"
                if inner not in item:
                    raise usage(f"{shown} is missing")
                if not isinstance(item[inner], str):
                    raise usage(f"{shown} is {item[inner]!r}; it must be text")
    for number, item in enumerate(platform.extra_env):
        if item["name"].startswith(OWN_ENV):
            raise usage(f"{where}: extraEnv[{number}].name is {item['name']}, which only catdog sets; remove it")


def _unknown(path: str, known: list[str]) -> str:
    inside, _, name = path.rpartition("overlay.")
    if inside not in ("", "gpu.") or not path.startswith(f"{inside}overlay."):
        return f"unknown setting {path}; known are {', '.join(known)}"
    why = "it is a setting of its own, beside `overlay`" if name in map(key, options(Platform)) else "not allowed"
    return f"{path}: {why}; allowed in an overlay are {', '.join(known)}"


def of_flags(values: Mapping[str, Any]) -> Yaml:
    """Flags by field name as settings by YAML key."""
    return {key(name): value for name, value in values.items() if value is not None}


def require_image(platform: Platform) -> None:
    """Raise CliError 3 when no image is set: every run needs one."""
    if not platform.image:
        raise missing("no container image: helm upgrade catdog … --set image=REPOSITORY:TAG, or --image REPOSITORY:TAG")


def _mapping(value: Any, where: str) -> Yaml:
    try:
        return fields.mapping(value, where)
    except Refused as error:
        raise usage(str(error)) from error


def _documents(path: Path) -> list[Yaml]:
    try:
        text = _read(path)
    except FileNotFoundError as error:
        raise usage(f"{path}: {error.strerror}") from error
    # A chart's whole output is long, and this parser is slow: only documents that can be the ConfigMap are parsed.
    parts = [part for part in re.split(r"^---.*$", text, flags=re.MULTILINE) if CONFIG_MAP in part]
    return [document for part in parts if isinstance(document := _parse_yaml(part, str(path)), Mapping)]


def _parse_yaml(text: str, where: str) -> Any:
    try:
        return documents.parse(text, where)
    except DocumentError as error:
        raise usage(str(error)) from error


def _read(path: Path) -> str:
    try:
        return documents.read_text(path)
    except DocumentError as error:
        raise usage(str(error)) from error
