"""How a run goes on, or is submitted again if there is nothing to go on from. Pure.

`catdog resume` takes the options of a run from its objects, or from config.json in its folder. A run that never started
has no config.json, so when its objects go, its options go with them: it has to be submitted again, and as long as its
objects are there, they say with which flags.
"""

import dataclasses
from typing import Any

from k8s.explain import observation
from k8s.explain.command import GAP, Next, catdog
from k8s.explain.observation import Object, Observation
from k8s.labels import CONFIG_ANNOTATION
from trainer.config import RunConfig
from trainer.exits import ExitError
from trainer.fields import flag, options
from trainer.recipes import RECIPES
from trainer.requests import from_json

_BY_SUBMIT = ("accelerator", "metrics_port", "rendezvous_timeout", "recipe", "run", "workers")
"""What `submit` sets itself, from the platform and --gpus, and what is said first."""


def resume(seen: Observation, *flags: str) -> Next:
    """Go on with a run that has ended."""
    if seen.local or seen.holder is not None:  # whatever its folder is, its process was started here
        return ("the same catdog train command again: it goes on from the last checkpoint",)
    if seen.top is not None or seen.resumable is not False:
        return (catdog(seen.typed, "resume", seen.name, *flags),)
    return (
        catdog(seen.typed, "submit", "--name", seen.name, GAP),
        ", with its options: it never started, so none are kept",
    )


def restart(seen: Observation, *flags: str) -> Next:
    """End a run that goes on, and start it again with these flags."""
    if seen.top is None or observation.has_ended(seen):
        return resume(seen, *flags)
    stop = catdog(seen.typed, "cancel", seen.name)
    return (stop, ", then ", *after_cancel(seen, *flags))


def after_cancel(seen: Observation, *flags: str) -> Next:
    """Start a run again after its objects are gone; `seen` is from before, `flags` are pairs of a name and a value."""
    known = submit_flags(seen.name, seen.top)
    if seen.resumable or (seen.resumable is None and known is None):
        return (catdog(seen.typed, "resume", seen.name, *flags),)
    words = list(known or ("--name", seen.name, GAP))
    for name, value in zip(flags[::2], flags[1::2], strict=True):
        if name in words:
            words[words.index(name) + 1] = value
        else:
            words += [name, value]
    return (catdog(seen.typed, "submit", *words),)


def submit_flags(name: str, top: Object | None) -> tuple[str, ...] | None:
    """The flags of `catdog submit` that make this run again, in the same run folder; None if its objects do not say."""
    text = configuration_of(top)
    if text is None:
        return None
    try:
        config = from_json(text, RunConfig)
    except ExitError:  # of another version of catdog
        return None
    gpus = config.workers * max(1, config.devices) if config.accelerator == "gpu" else 0
    words = ["--name", name, "--gpus", str(gpus), "--recipe", config.recipe, "--run", config.run]
    if config.workers > 1 or not gpus:
        words += ["--workers", str(config.workers)]
    base = dataclasses.asdict(RECIPES[config.recipe]() if config.recipe in RECIPES else RunConfig())
    known = options(RunConfig)
    for one, value in dataclasses.asdict(config).items():
        if one in _BY_SUBMIT or (gpus and one == "devices") or one not in known or not known[one].flag:
            continue
        if value != base[one] or one in ("data", "weights"):  # these two would be the platform's
            words += _words(one, value)
    return tuple(words)


def _words(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, bool):
        return (flag(name) if value else f"--no-{flag(name)[2:]}",)
    return (flag(name), str(value))


def configuration_of(top: Object | None) -> str | None:
    """The configuration of a run as its objects carry it: a JSON document; None without objects."""
    spec = (top or {}).get("spec") or {}
    if "replicatedJobs" in spec:
        spec = spec["replicatedJobs"][0]["template"]["spec"]
    metadata = (spec.get("template") or {}).get("metadata") or {}
    found = (metadata.get("annotations") or {}).get(CONFIG_ANNOTATION)
    return None if found is None else str(found)
