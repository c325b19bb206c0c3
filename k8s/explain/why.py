"""Why a run is waiting or has failed: states and events → cause, evidence, next command. Pure.

`explain` applies every rule in turn; a rule takes an Observation and returns the causes it recognizes. The most
informative comes first. A lost peer (75), or a failure that only the objects report, is given if no better cause is
known; what is merely going on, if there is none at all.
"""

from k8s.explain import agreement, ended, here, images, waiting
from k8s.explain.cause import Cause, Rule
from k8s.explain.observation import Observation
from k8s.explain.refused import not_created

_RULES: tuple[Rule, ...] = (
    *waiting.RULES,
    *ended.RULES,
    agreement.lost_workers,
    agreement.silent,
    here.held,
    not_created,
)
_GOING_ON: tuple[Rule, ...] = (
    waiting.being_deleted,
    images.pulling,
    ended.restarting,
    waiting.being_made,
    agreement.unread,
)
_VAGUE = ("failed", "peer-lost")  # least informative first


def explain(seen: Observation) -> list[Cause]:
    """The causes found in `seen`, most informative first; never empty."""
    found = [cause for rule in _RULES for cause in rule(seen)]
    for vague in _VAGUE:
        found = [cause for cause in found if cause.kind != vague] or found
    # It names the first cause, of which pods and objects may no longer tell.
    found.sort(key=lambda cause: cause.kind != "no-progress")
    if found:
        return found
    return next((causes for rule in _GOING_ON if (causes := rule(seen))), None) or [agreement.calm(seen)]
