"""Why a run waits or has failed: states and events → cause, evidence, next command. Pure.

`explain` asks every rule in turn; a rule looks at an Observation and gives the causes it recognises. The most telling
comes first. A lost peer (75), and a failure that only the objects report, are told where no better cause is known.
"""

from k8s.explain import ended, images, waiting
from k8s.explain.cause import Cause, Rule
from k8s.explain.observation import Observation
from k8s.explain.phase import Phase, phase_of, progress
from trainer.contract import STATE

_RULES: tuple[Rule, ...] = (*waiting.RULES, *ended.RULES, images.pulling)
_VAGUE = ("failed", "peer-lost")  # least telling first


def explain(seen: Observation) -> list[Cause]:
    """The causes that can be read from `seen`, most telling first; at least one line is always said."""
    found = [cause for rule in _RULES for cause in rule(seen)]
    for vague in _VAGUE:
        found = [cause for cause in found if cause.kind != vague] or found
    return found or [_calm(seen)]


def _calm(seen: Observation) -> Cause:
    phase = phase_of(seen)
    where = progress(seen.state)
    words = {
        None: f"there is no run called {seen.name}",
        Phase.SUCCEEDED: "it has succeeded",
        Phase.RUNNING: f"nothing is wrong: it trains{f' ({where})' if where else ''}",
        Phase.STARTING: "nothing is wrong yet: the workers start, and wait for each other",
        Phase.PENDING: "nothing is known yet: the pods are being made",
        Phase.CANCELLED: "it was cancelled",
        Phase.PREEMPTED: "it was stopped by SIGTERM, with its state saved",
        Phase.LOST: f"{STATE} says that it runs, but there is no pod, and no heartbeat",
    }.get(phase, str(phase))
    command = f"catdog resume {seen.name}" if phase in (Phase.CANCELLED, Phase.PREEMPTED, Phase.LOST) else ""
    return Cause(str(phase or "unknown"), words, (), command)
