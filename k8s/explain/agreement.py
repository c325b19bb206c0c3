"""What to say of a run for which no rule found a fault: that nothing is wrong only if all that is known agrees. Pure.

Heartbeat, pods and state must each say that the run trains; each that does not, or cannot be read, has its own answer.
"""

from k8s.explain import observation
from k8s.explain.again import resume
from k8s.explain.cause import Cause
from k8s.explain.command import Next, catdog
from k8s.explain.observation import Observation, instant, vacant_ranks, who
from k8s.explain.phase import Phase, is_deaf, is_fresh, is_heard, phase_of, progress
from trainer.contract import STATE, State

SLOW_START_SECONDS = 600.0
"""Reading and decoding the data, meeting the others and compiling take minutes at most for most runs."""


def silent(seen: Observation) -> list[Cause]:
    """The containers run, and the last thing that they said is too old."""
    state = seen.state or {}
    if not observation.is_going(seen.top) or state.get("state") != State.RUNNING or not is_heard(seen):
        return []
    if is_fresh(state, seen.now):
        return []
    updated = instant(str(state.get("updated")))
    quiet = 0.0 if updated is None else (seen.now - updated).total_seconds()
    alive = [who(pod) for pod in seen.pods if observation.is_active(pod)]
    if not alive:
        return []
    where = progress(state)
    return [
        Cause(
            "silent",
            f"no heartbeat for {quiet:.0f} s though the workers run{f'; the last was at {where}' if where else ''}",
            (
                f"{source(seen)}: updated {state.get('updated')}; this machine's clock says {seen.now:%H:%M:%S} UTC",
                f"running: {', '.join(alive[:4])}",
            ),
            (
                catdog(seen.typed, "logs", seen.name),
                "; a process that hangs, or that storage does not answer, is stopped by its watchdog and starts again",
            ),
        )
    ]


def lost_workers(seen: Observation) -> list[Cause]:
    """Workers have lost others, which are frozen, gone or cut off, and are about to exit."""
    state = seen.state or {}
    ranks = state.get("lost")
    if (
        not observation.is_going(seen.top)
        or state.get("state") != State.RUNNING
        or not isinstance(ranks, list)
        or not ranks
    ):
        return []
    named = ", ".join(f"rank {rank}" for rank in ranks)
    pods = [pod for pod in seen.pods if observation.rank(pod) in ranks]
    return [
        Cause(
            "lost-worker",
            f"{named} {'is' if len(ranks) == 1 else 'are'} silent or gone since {state.get('lost_since')}; the others "
            "exit with 75, and all start again from the last checkpoint",
            tuple(who(pod) for pod in pods[:4]),
            (catdog(seen.typed, "logs", seen.name), " tells what became of it"),
        )
    ]


def unread(seen: Observation) -> list[Cause]:
    """The run's state is out of our sight, and only its pods are known."""
    if not is_deaf(seen) or observation.has_ended(seen):
        return []
    if seen.top is None:
        text = f"nothing is known of {seen.name}: it has no objects in the cluster, and its folder cannot be read"
        return [
            Cause("unread", text, (seen.unread,), (catdog(seen.typed, "status", seen.name), " from where it can be"))
        ]
    going = [pod for pod in seen.pods if observation.is_active(pod) and observation.started(pod)]
    if len(going) < max(observation.workers(seen), 1):
        return []
    return [
        Cause(
            "unread",
            f"all {len(going)} workers run, and how far they are cannot be read from here",
            (seen.unread, "the log of rank 0 has no line of progress yet"),
            (catdog(seen.typed, "logs", seen.name), " shows their lines"),
        )
    ]


def calm(seen: Observation) -> Cause:
    """The state of a run without a fault."""
    phase = phase_of(seen)
    if phase in (Phase.PENDING, Phase.STARTING, Phase.RUNNING) and seen.top is not None:
        return _going(seen, phase)
    words = {
        None: f"there is no run named {seen.name}",
        Phase.SUCCEEDED: "the run has succeeded",
        Phase.RUNNING: f"nothing is wrong: it is training{_where(seen)}",
        Phase.CANCELLED: "the run was cancelled",
        Phase.FAILED: f"the run has failed: {(seen.state or {}).get('reason') or 'without a reason'}",
        Phase.PREEMPTED: "the run was stopped by SIGTERM, with its state saved",
        Phase.LOST: f"{STATE} says running, but there are no pods and no heartbeat",
    }.get(phase, str(phase))
    again = phase in (Phase.CANCELLED, Phase.PREEMPTED, Phase.LOST, Phase.FAILED)
    return Cause(str(phase or "unknown"), words, (), resume(seen) if again else ())


def _going(seen: Observation, phase: Phase) -> Cause:
    active = [pod for pod in seen.pods if observation.is_active(pod)]
    expected = max(observation.workers(seen), 1)
    if seen.pods and not active:
        return _ending(seen)
    if phase == Phase.PENDING:
        return Cause("pending", f"the pods are being created: {len(active)} of {expected} exist", (), _look(seen))
    if phase == Phase.STARTING:
        return _starting(seen, len(active), expected)
    if vacant := vacant_ranks(seen):
        shown = ", ".join(map(str, vacant[:8]))
        return Cause("starting", f"{len(vacant)} of {expected} pods are being replaced: rank {shown}", (), _look(seen))
    said = str((seen.state or {}).get("state"))
    if said == State.SUCCEEDED:
        return _ending(seen)
    if said != State.RUNNING or not is_heard(seen):
        reason = str((seen.state or {}).get("reason") or "")
        text = f"{source(seen)} says {said}{f': {reason}' if reason else ''}, and the workers have not ended yet"
        return Cause("stopping", text, tuple(who(pod) for pod in active[:4]), _look(seen))
    return _slow(seen) or Cause("running", f"nothing is wrong: it is training{_where(seen)}", (), ())


def _slow(seen: Observation) -> Cause | None:
    """A worker for which the others wait in each step."""
    slow = (seen.state or {}).get("slow")
    if not isinstance(slow, dict) or "rank" not in slow or "times" not in slow:
        return None
    pods = [who(pod) for pod in seen.pods if observation.rank(pod) == slow["rank"]]
    much = f"{slow['times']} times as long as the others for its part of a step"
    text = f"it is training{_where(seen)}, but rank {slow['rank']} takes {much}"
    return Cause("slow", text, tuple(pods), (catdog(seen.typed, "status", seen.name), " shows its node"))


def _ending(seen: Observation) -> Cause:
    if not any((pod.get("status") or {}).get("phase") == "Failed" for pod in seen.pods):
        return Cause("finishing", "the workers are done, and the run is about to end", (), ())
    return Cause("stopped", "all workers have ended, and none was replaced yet", (), _look(seen))


def _starting(seen: Observation, there: int, expected: int) -> Cause:
    """All containers run, and their attempt has not reported yet."""
    states = [observation.container(pod).get("state") or {} for pod in seen.pods if observation.is_active(pod)]
    ages = [age for one in states if (age := observation.since(one.get("running"), seen.now)) is not None]
    lasts = min(ages, default=0.0)
    said = (seen.state or {}).get("state")
    before = f"the attempt before said {said}{_where(seen)}" if said else ""
    evidence = tuple(line for line in (before, f"the last container started {lasts:.0f} s ago" if ages else "") if line)
    text = (
        f"{there} of {expected} workers run and have not reported yet: they read data, wait for each other or compile"
    )
    if lasts > SLOW_START_SECONDS:
        text += "; that takes unusually long"
    return Cause("starting", text, evidence, (catdog(seen.typed, "logs", seen.name), " shows how far they are"))


def _look(seen: Observation) -> Next:
    return (catdog(seen.typed, "status", seen.name),)


def _where(seen: Observation) -> str:
    where = progress(seen.state)
    return f" ({where})" if where else ""


def source(seen: Observation) -> str:
    """Where the run's state is from."""
    return "the log of rank 0" if seen.unread else STATE
