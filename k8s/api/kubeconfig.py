"""The kubeconfig, read as kubectl reads it: which files, how they are merged, and what a context of them means.

Of several files in KUBECONFIG, the first that names a context, cluster or user defines it, and the first with a
current-context sets that. Relative paths are relative to the file they are in.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from k8s.documents import DocumentError, parse, read_text
from k8s.exits import missing

Entry = Mapping[str, Any]
SECTIONS = {"contexts": "context", "clusters": "cluster", "users": "user"}
_PATHS = {"cluster": ("certificate-authority",), "user": ("client-certificate", "client-key", "tokenFile")}


@dataclass(frozen=True)
class Kubeconfig:
    """All files together: entries by section and name, and where each was read."""

    files: tuple[Path, ...]
    current: str = ""
    entries: Mapping[str, Mapping[str, Entry]] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """Its files, for messages."""
        return ", ".join(map(str, self.files))


@dataclass(frozen=True)
class Chosen:
    """What a context means: the cluster, the user that requests are made as (name "": none), the namespace."""

    context: str
    namespace: str
    cluster: Entry
    user_name: str
    user: Entry


def files(environment: Mapping[str, str]) -> list[Path]:
    """The files that kubectl would read, whether they exist or not."""
    named = [part for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]
    return [Path(part).expanduser() for part in named or ["~/.kube/config"]]


def load(paths: Iterable[Path]) -> Kubeconfig | None:
    """The files that exist, merged; None if none of them says anything.

    Raises:
        CliError: 3 naming the file that cannot be read, or is not a kubeconfig.
    """
    found: dict[str, dict[str, Entry]] = {section: {} for section in SECTIONS}
    read: list[Path] = []
    current = ""
    for path in paths:
        try:
            content = parse(read_text(path), str(path))
        except FileNotFoundError:
            continue
        except DocumentError as error:
            raise missing(f"the kubeconfig {error}") from error
        if content is None:
            continue
        if not isinstance(content, Mapping):
            raise missing(f"the kubeconfig {path}: not a kubeconfig: it must be a mapping (key: value)")
        read.append(path)
        current = current or _text(content.get("current-context"), f"{path}: current-context")
        for section, kind in SECTIONS.items():
            for name, entry in _entries(content.get(section), kind, f"{path}: {section}"):
                found[section].setdefault(name, _absolute(entry, kind, path.parent))
    return Kubeconfig(tuple(read), current, found) if read else None


def choose(config: Kubeconfig, context: str) -> Chosen:
    """The cluster, user and namespace of a context ("": the current one).

    Raises:
        CliError: 3 naming what is not in the kubeconfig.
    """
    contexts = config.entries["contexts"]
    name = context or config.current
    known = f"it has {', '.join(sorted(contexts))}" if contexts else "it has none"
    if not name:
        raise missing(f"no current context in the kubeconfig {config.shown}; use --context: {known}")
    if name not in contexts:
        raise missing(f"no context {name!r} in the kubeconfig {config.shown}; {known}")
    where = f"{config.shown}: context {name}"
    meant = contexts[name]
    cluster_name, user_name = (_text(meant.get(kind), f"{where}: {kind}") for kind in ("cluster", "user"))
    cluster = config.entries["clusters"].get(cluster_name)
    if cluster is None:
        raise missing(f"the kubeconfig {where}: there is no cluster {cluster_name!r}")
    server = _text(cluster.get("server"), f"{config.shown}: cluster {cluster_name}: server")
    if not server.startswith(("https://", "http://")):
        raise missing(f"the kubeconfig {config.shown}: cluster {cluster_name}: server is {server!r}; it must be a URL")
    user = config.entries["users"].get(user_name, None if user_name else {})
    if user is None:
        raise missing(f"the kubeconfig {where}: there is no user {user_name!r}, so requests would be anonymous")
    return Chosen(name, _text(meant.get("namespace"), f"{where}: namespace"), cluster, user_name, user)


def _entries(section: Any, kind: str, where: str) -> Iterable[tuple[str, Entry]]:
    if section is None:
        return
    if not isinstance(section, list):
        raise missing(f"the kubeconfig {where} must be a list")
    for one in section:
        content = one.get(kind) if isinstance(one, Mapping) else None
        if not isinstance(one, Mapping) or not one.get("name") or not isinstance(content, Mapping | None):
            raise missing(f"the kubeconfig {where} must have a name and a {kind} in each entry")
        yield str(one["name"]), content or {}


def _absolute(entry: Entry, kind: str, folder: Path) -> Entry:
    """The entry with its paths made independent of the working directory."""
    made = dict(entry)
    for name in _PATHS.get(kind, ()):
        if isinstance(made.get(name), str) and made[name]:
            made[name] = str(folder.absolute() / made[name])
    plugin = made.get("exec")
    command = plugin.get("command") if isinstance(plugin, Mapping) else None
    if isinstance(plugin, Mapping) and isinstance(command, str) and os.sep in command:  # else it is looked up in PATH
        made["exec"] = {**plugin, "command": str(folder.absolute() / command)}
    return made


def _text(value: Any, where: str) -> str:
    if value is not None and not isinstance(value, str):
        raise missing(f"the kubeconfig {where} must be text")
    return value or ""
