"""A run whose process is on the machine that asks: the process itself tells what heartbeats do only later. Pure."""

from k8s.explain.again import resume
from k8s.explain.cause import Cause
from k8s.explain.observation import Observation, instant
from k8s.explain.phase import is_fresh, progress
from trainer.contract import STATE, State


def held(seen: Observation) -> list[Cause]:
    """The process that holds the run folder is gone, stands still, or says nothing."""
    state, holder = seen.state or {}, seen.holder
    if seen.top is not None or holder is None or state.get("state") != State.RUNNING:
        return []
    at = progress(state)
    where = f"; the last heartbeat was at {at}" if at else ""
    evidence = (f"{STATE}: running, updated {state.get('updated')}",)
    if holder.gone:
        text = f"its process {holder.pid} is gone without a word: killed, perhaps for its memory{where}"
        return [Cause("killed", text, (*evidence, *_lost(state)), resume(seen))]
    if holder.stopped:
        text = f"its process {holder.pid} stands still, after SIGSTOP or Ctrl-Z{where}"
        return [Cause("stopped-process", text, evidence, (f"kill -CONT {holder.pid} lets it go on",))]
    if is_fresh(state, seen.now):
        return []
    updated = instant(str(state.get("updated")))
    quiet = "no heartbeat" if updated is None else f"no heartbeat for {(seen.now - updated).total_seconds():.0f} s"
    text = f"{quiet} though its process {holder.pid} is there{where}"
    return [Cause("silent", text, evidence, ("it hangs, or storage does not answer it; its watchdog ends it",))]


def _lost(state: object) -> tuple[str, ...]:
    ranks = state.get("lost") if isinstance(state, dict) else None
    return (f"lost: rank {', '.join(map(str, ranks))}",) if isinstance(ranks, list) and ranks else ()
