"""Why a run is waiting or has failed: states and events → cause, evidence, next command. Pure.

`explain` applies every rule in turn; a rule takes an Observation and returns the causes it recognizes. The most
informative comes first. A lost peer (75), or a failure that only the objects report, is given if no better cause is
known.
"""

from k8s.explain import ended, images, waiting
from k8s.explain.cause import Cause, Rule
from k8s.explain.observation import Observation
from k8s.explain.phase import Phase, phase_of, progress
from trainer.contract import STATE

_RULES: tuple[Rule, ...] = (*waiting.RULES, *ended.RULES, images.pulling)
_VAGUE = ("failed", "peer-lost")  # least informative first


def explain(seen: Observation) -> list[Cause]:
    """The causes found in `seen`, most informative first; never empty."""
    found = [cause for rule in _RULES for cause in rule(seen)]
    for vague in _VAGUE:
        found = [cause for cause in found if cause.kind != vague] or found
    return found or [_calm(seen)]


def _calm(seen: Observation) -> Cause:
    phase = phase_of(seen)
    where = progress(seen.state)
    words = {
        None: f"there is no run named {seen.name}",
        Phase.SUCCEEDED: "the run has succeeded",
        Phase.RUNNING: f"nothing is wrong: it is training{f' ({where})' if where else ''}",
        Phase.STARTING: "nothing is wrong so far: the workers are starting and waiting for each other",
        Phase.PENDING: "nothing to report yet: the pods are being created",
        Phase.CANCELLED: "the run was cancelled",
        Phase.PREEMPTED: "the run was stopped by SIGTERM, with its state saved",
        Phase.LOST: f"{STATE} says running, but there are no pods and no heartbeat",
    }.get(phase, str(phase))
    command = f"catdog resume {seen.name}" if phase in (Phase.CANCELLED, Phase.PREEMPTED, Phase.LOST) else ""
    return Cause(str(phase or "unknown"), words, (), command)
