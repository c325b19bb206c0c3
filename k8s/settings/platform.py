"""Where and how runs are placed: what `helm install` left in the namespace, the user's profile and the flags, in one.

Each setting is declared once, as a field of Platform; its key in YAML is the field's name in camelCase. The ConfigMap
`catdog-platform` holds such YAML under `platform.yaml`, and so does the profile (`~/.config/catdog/profile.yaml`).
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from k8s.exits import missing, usage
from k8s.planning import quantity

CONFIG_MAP, KEY = "catdog-platform", "platform.yaml"
SCHEMA = 1
SHAPES = ("auto", "jobset", "job")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")

Yaml = Mapping[str, Any]


@dataclass(frozen=True)
class Setting:
    """What is known of a field besides its type and default; `flag`: `catdog submit` has a flag for it."""

    help: str
    flag: bool = False
    choices: tuple[str, ...] = ()
    quantity: bool = False
    low: int | None = None


def _set(default: Any, help: str, **facts: Any) -> Any:
    metadata = {"setting": Setting(help, **facts)}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Resources:
    """Requests and limits: of a worker without GPUs, or of each GPU of a worker."""

    cpu: str = _set("2", "Processors, requested and limit.", quantity=True)
    memory: str = _set("8Gi", "Memory, requested and limit.", quantity=True)
    ephemeral_storage: str = _set("10Gi", "Disk for /tmp, requested and limit.", quantity=True)


@dataclass(frozen=True)
class Gpu:
    """What only workers with GPUs have."""

    resource: str = _set("nvidia.com/gpu", "Resource that nodes advertise; its taint is tolerated.")
    node_selector: Mapping[str, str] = _set({}, "Labels of nodes with GPUs, beside those of nodeSelector.")
    tolerations: tuple[Yaml, ...] = _set((), "Tolerations, beside those of tolerations.")
    resources: Resources = field(
        default_factory=lambda: Resources(cpu="4", memory="16Gi", ephemeral_storage="10Gi"),
        metadata={"setting": Setting("Requests and limits of each GPU of a worker.")},
    )


@dataclass(frozen=True)
class Platform:
    """The defaults of a namespace. Raises nothing by itself: `of_mapping` checks."""

    image: str = _set("", "Container image.", flag=True)
    image_pull_policy: str = _set("IfNotPresent", "When nodes pull the image.", choices=PULL_POLICIES)
    image_pull_secrets: tuple[str, ...] = _set((), "Names of Secrets to pull it with.")
    data: str = _set("", "Data set of runs that name none; empty: the drawn demo set.")
    runs: str = _set("", "Where run folders go: gs://bucket/prefix, or a folder below a mount of extraVolumes.")
    service_account: str = _set("default", "ServiceAccount of the workers.", flag=True)
    node_selector: Mapping[str, str] = _set({}, "Labels that nodes must have.")
    tolerations: tuple[Yaml, ...] = _set((), "Tolerations of the workers.")
    resources: Resources = field(
        default_factory=Resources, metadata={"setting": Setting("Requests and limits of a worker without GPUs.")}
    )
    shared_memory: str = _set("1Gi", "Size of /dev/shm; counts as memory.", quantity=True)
    gpu: Gpu = field(default_factory=Gpu, metadata={"setting": Setting("What only workers with GPUs have.")})
    gpus_per_node: int = _set(1, "GPUs of a node, for when no node can be looked at.", low=1)
    queue: str = _set("", "Kueue LocalQueue.", flag=True)
    priority_class: str = _set("", "PriorityClass of the pods.", flag=True)
    shape: str = _set(
        "auto", "Objects of a run with several workers; auto: a JobSet where served.", flag=True, choices=SHAPES
    )
    max_restarts: int = _set(5, "Restarts that count before a run has failed.", flag=True, low=0)
    active_deadline_seconds: int = _set(604800, "Longest time of one attempt, in seconds.", low=60)
    ttl_seconds_after_finished: int = _set(86400, "How long finished objects stay, in seconds.", low=0)
    metrics_port: int = _set(8080, "Port of /metrics.", low=1024)
    storage_cidrs: tuple[str, ...] = _set(
        ("0.0.0.0/0",), "Where object storage is; the chart's NetworkPolicy has them."
    )
    token_audience: str = _set("", "Audience of a projected ServiceAccount token; empty: no token.")
    extra_env: tuple[Yaml, ...] = _set((), "Further environment variables, as in a container.")
    extra_volumes: tuple[Yaml, ...] = _set((), "Further volumes, as in a pod.")
    extra_volume_mounts: tuple[Yaml, ...] = _set((), "Where they are mounted, as in a container.")
    nodes_readable: bool = _set(True, "Whether submitters may read nodes.")


def settings(kind: type[Any] = Platform) -> dict[str, Setting]:
    """Every field of Platform (or of one of its parts) with its Setting, in order of declaration."""
    return {f.name: f.metadata["setting"] for f in dataclasses.fields(kind)}


def key(name: str) -> str:
    """The YAML key of a field: node_selector → nodeSelector."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def of_config_map(config_map: Yaml, where: str) -> Yaml:
    """The settings in a ConfigMap object as the API gives it, not yet checked.

    Raises:
        CliError: 3 when it is not the chart's.
    """
    text = (config_map.get("data") or {}).get(KEY)
    if not isinstance(text, str):
        raise missing(f"{where}: it has no {KEY!r}; it must be the ConfigMap {CONFIG_MAP} that the chart makes")
    return _mapping(_parse_yaml(text, f"{where}, {KEY}"), f"{where}, {KEY}")


def of_file(path: Path) -> Yaml:
    """The settings in a file that holds the ConfigMap, as `kubectl get -o yaml` or `helm template` prints it.

    Raises:
        CliError: 2 when it cannot be read or is not YAML, 3 when the ConfigMap is not in it.
    """
    for document in _documents(path):
        items = document.get("items") if document.get("kind") == "List" else [document]
        for item in items or ():
            if item.get("kind") == "ConfigMap" and (item.get("metadata") or {}).get("name") == CONFIG_MAP:
                return of_config_map(item, str(path))
    raise missing(
        f"{path}: no ConfigMap {CONFIG_MAP} in it; kubectl get configmap {CONFIG_MAP} -o yaml > {path.name} makes one"
    )


def of_profile(path: Path) -> Yaml:
    """The user's own settings; empty without such a file.

    Raises:
        CliError: 2 when it cannot be read, or is not a mapping.
    """
    if not path.exists():
        return {}
    try:
        return _mapping(_parse_yaml(path.read_text(), str(path)), str(path))
    except OSError as error:
        raise usage(f"{path}: {error.strerror}") from error


def profile_path(environment: Mapping[str, str]) -> Path:
    """Where the user's profile is looked for (XDG Base Directory Specification)."""
    home = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME", "~")).expanduser() / ".config")
    return Path(home) / "catdog" / "profile.yaml"


def merge(layers: Iterable[Yaml]) -> Yaml:
    """One mapping of several, later ones over earlier ones; mappings are merged, everything else is replaced."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            before = merged.get(name)
            if isinstance(before, Mapping) and isinstance(value, Mapping):
                merged[name] = merge((before, value))
            else:
                merged[name] = value
    return merged


def of_mapping(values: Yaml, where: str) -> Platform:
    """Check settings by YAML key and make a Platform of them.

    Raises:
        CliError: 2 naming the key that is unknown, of another type, or out of bounds.
    """
    values = dict(values)
    schema = values.pop("schema", SCHEMA)
    if schema != SCHEMA:
        raise usage(f"{where}: it has schema {schema}, this catdog reads {SCHEMA}: use the chart of the same version")
    platform: Platform = _build(Platform, values, where, "")
    return platform


def of_flags(values: Mapping[str, Any]) -> Yaml:
    """Typed flags by field name as settings by YAML key."""
    return {key(name): value for name, value in values.items() if value is not None}


def require_image(platform: Platform) -> None:
    """Raise CliError 3 when no image is set: a run cannot be placed without one."""
    if not platform.image:
        raise missing("no container image: helm upgrade catdog … --set image=REPOSITORY:TAG, or --image REPOSITORY:TAG")


def _build(kind: type[Any], values: Yaml, where: str, prefix: str) -> Any:
    fields = {key(f.name): f for f in dataclasses.fields(kind)}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise usage(f"{where}: unknown setting {prefix}{unknown[0]}; known are {', '.join(sorted(fields))}")
    made = {}
    for name, value in values.items():
        shown, one = f"{where}: {prefix}{name}", fields[name]
        if dataclasses.is_dataclass(one.type):
            # Over the parent's default of it, which need not be that of its own type.
            layers = (_defaults(one), _mapping(value, shown))
            made[one.name] = _build(one.type, merge(layers), where, f"{prefix}{name}.")  # type: ignore[arg-type]
        else:
            made[one.name] = _checked(one.metadata["setting"], one.type, value, shown)
    return kind(**made)


def _defaults(part: "dataclasses.Field[Any]") -> Yaml:
    """The default of a part of Platform, by YAML key."""
    if part.default_factory is dataclasses.MISSING:
        raise TypeError(f"{part.name} has no default")
    return _by_key(dataclasses.asdict(part.default_factory()))


def _by_key(values: Yaml) -> Yaml:
    return {key(name): _by_key(value) if name == "resources" else value for name, value in values.items()}


def _checked(setting: Setting, kind: Any, value: Any, where: str) -> Any:
    if setting.quantity:
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise usage(f"{where} is {value!r}; it must be a quantity such as 4, 500m or 16Gi")
        quantity.parse(str(value), where)
        return str(value)
    if kind in (str, int, bool):
        if type(value) is not kind:
            raise usage(f"{where} is {value!r}; it must be {_KINDS[kind]}")
        if setting.choices and value not in setting.choices:
            raise usage(f"{where} is {value!r}; it must be one of {', '.join(setting.choices)}")
        if setting.low is not None and value < setting.low:
            raise usage(f"{where} is {value}; it must be at least {setting.low}")
        return value
    if kind == Mapping[str, str]:
        mapping = _mapping(value, where)
        for name, text in mapping.items():
            if not isinstance(text, str):
                raise usage(f"{where}.{name} is {text!r}; it must be text: quote it in YAML")
        return dict(mapping)
    inner = str if kind == tuple[str, ...] else Mapping
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, inner) for item in value):
        raise usage(f"{where} must be a list of {'texts' if inner is str else 'mappings'}")
    return tuple(value)


_KINDS = {str: "text", int: "a whole number", bool: "true or false"}


def _mapping(value: Any, where: str) -> Yaml:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise usage(f"{where} must be a mapping (key: value)")
    return value


def _documents(path: Path) -> list[Yaml]:
    try:
        text = path.read_text()
    except OSError as error:
        raise usage(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise usage(f"{path}: not a text file") from error
    # A chart's whole output is long, and this parser is slow: only documents that can be the ConfigMap are parsed.
    parts = [part for part in re.split(r"^---.*$", text, flags=re.MULTILINE) if CONFIG_MAP in part]
    return [document for part in parts if isinstance(document := _parse_yaml(part, str(path)), Mapping)]


def _parse_yaml(text: str, where: str) -> Any:
    import yaml  # here: only commands that look at a platform pay for it

    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        first = " ".join(str(error).split())[:200]
        raise usage(f"{where}: not YAML: {first}") from error
