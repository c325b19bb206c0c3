"""How runs are shown: one dictionary per run for JSON, and text made from it for people. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from k8s.explain import cost, observation, tops
from k8s.explain.cause import as_facts, as_text, of_facts
from k8s.explain.cost import Prices
from k8s.explain.observation import Observation, instant
from k8s.explain.phase import Phase, phase_of, progress
from k8s.explain.told import WORDS, Ledger, Told, told
from k8s.explain.why import explain
from k8s.labels import RECIPE_LABEL
from trainer.words import age, ago, duration, in_a_line

COLUMNS = ("name", "phase", "recipe", "workers", "progress", "age", "where")
WIDE = (*COLUMNS, "eta", "goodput", "hours", "cost")
MOST_WASTES = 3


def row(
    seen: Observation, uri: str, prices: Prices = cost.NONE, summary: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """One row of `catdog list`, for JSON. `where` is "cluster" while there are objects, else "folder"."""
    phase = phase_of(seen)
    work = told(seen.state, summary)
    eta = work.eta_seconds if phase == Phase.RUNNING else None
    metadata = (seen.top or {}).get("metadata") or {}
    made = instant(metadata.get("creationTimestamp")) or instant(str((seen.state or {}).get("updated")))
    return {
        "name": seen.name,
        "phase": None if phase is None else str(phase),
        "recipe": (metadata.get("labels") or {}).get(RECIPE_LABEL, ""),
        "workers": observation.workers(seen) or None,
        "progress": progress(seen.state),
        "step": work.step,
        "total_steps": work.total_steps,
        "eta_seconds": eta,
        "goodput": None if work.ledger is None else work.ledger.goodput,
        "cost": cost.as_facts(cost.cost_of(seen, work, prices, eta)),
        "exit_code": _exit_code(seen.state),
        "updated": _updated(seen.state),
        "unread": seen.unread,
        "age": age(made, seen.now) if made else "",
        "where": "cluster" if seen.top is not None else "folder",
        "run": uri,
    }


def status(
    seen: Observation, uri: str, summary: Mapping[str, Any] | None, prices: Prices = cost.NONE
) -> dict[str, Any]:
    """`catdog status`, for JSON."""
    made = row(seen, uri, prices, summary)
    causes = [] if made["phase"] in (Phase.SUCCEEDED, None) else explain(seen)
    status_of = (seen.top or {}).get("status") or {}
    return {
        **made,
        "kind": (seen.top or {}).get("kind"),
        "restarts": restarts(seen),
        "restarts_counted": status_of.get("restartsCountTowardsMax"),
        "state": None if seen.state is None else dict(seen.state),
        "heartbeat": _heartbeat(seen),
        **_work(told(seen.state, summary)),
        "pods": [
            _pod(pod)
            for pod in sorted(seen.pods, key=lambda pod: (observation.rank(pod) or 0, str(pod["metadata"]["name"])))
        ],
        "last_event": _last_event(seen),
        "causes": as_facts(causes),
        "result": _result(summary),
        "notes": list(seen.notes),
    }


def _work(work: Told) -> dict[str, Any]:
    ledger = work.ledger
    return {
        "activity": work.activity,
        "loss": work.loss,
        "losses": list(work.losses),
        "examples_per_second": work.examples_per_second,
        "step_seconds": {str(rank): seconds for rank, seconds in work.step_seconds.items()},
        "ledger": None if ledger is None else dict(ledger.seconds),
        "lost_steps": None if ledger is None else ledger.lost_steps,
    }


def outcome(seen: Observation, summary: Mapping[str, Any] | None) -> dict[str, Any]:
    """How a run ended, for JSON."""
    phase = phase_of(seen)
    causes = [] if phase == Phase.SUCCEEDED else explain(seen)
    return {"phase": phase and str(phase), "causes": as_facts(causes), "result": _result(summary)}


def _result(summary: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if summary is None else {k: summary.get(k) for k in ("best_epoch", "valid", "test", "wall_seconds")}


def workers(seen: Observation) -> int:
    """How many workers the run has, according to its objects; 0 without objects."""
    return tops.workers(seen.top)


def restarts(seen: Observation) -> int:
    """How often the run was restarted, according to its JobSet, else to state.json."""
    counted, told = (((one or {}).get("restarts")) for one in ((seen.top or {}).get("status"), seen.state))
    return next((number for number in (counted, told) if isinstance(number, int)), 0)


def _exit_code(state: Mapping[str, Any] | None) -> int | None:
    code = (state or {}).get("exit_code")
    return code if type(code) is int and 0 <= code < 256 else None


def _updated(state: Mapping[str, Any] | None) -> str | None:
    """When state.json was written: RFC 3339."""
    updated = instant(str((state or {}).get("updated")))
    return None if updated is None else updated.isoformat()


def _heartbeat(seen: Observation) -> float | None:
    """Seconds since state.json was written."""
    updated = instant(str((seen.state or {}).get("updated")))
    return None if updated is None else round((seen.now - updated).total_seconds(), 1)


def _last_event(seen: Observation) -> dict[str, Any] | None:
    """What the cluster said last of the run; None if it said nothing, or has forgotten it."""
    last = max(seen.events, key=observation.event_time, default=None)
    if last is None:
        return None
    at = instant(observation.event_time(last))
    return {
        "about": observation.about(last),
        "words": observation.in_words(last),
        "seconds_ago": None if at is None else round((seen.now - at).total_seconds(), 1),
    }


def _pod(pod: observation.Object) -> dict[str, Any]:
    ended = observation.terminated(pod)
    return {
        "name": pod["metadata"]["name"],
        "rank": observation.rank(pod),
        "node": (pod.get("spec") or {}).get("nodeName"),
        "phase": (pod.get("status") or {}).get("phase"),
        "reason": observation.waiting(pod).get("reason") or ended.get("reason"),
        "exit_code": ended.get("exitCode"),
    }


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = COLUMNS) -> str:
    """Rows of `row` as aligned text with a heading."""
    if not rows:
        return "no runs"
    cells = [[name.upper() for name in columns], *(list(shown(one, columns)) for one in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def shown(one: Mapping[str, Any], columns: Sequence[str]) -> tuple[str, ...]:
    """The cells of a row."""
    return tuple(in_a_line(_cell(one, name)) for name in columns)


def _cell(one: Mapping[str, Any], name: str) -> str:
    """A value for people: "?" where what it is made from could not be read."""
    if name == "eta":
        return "" if one["eta_seconds"] is None else duration(one["eta_seconds"])
    if name == "goodput":
        return "" if one["goodput"] is None else f"{one['goodput']:.1%}"
    if name in ("hours", "cost"):
        return cost.total_in_words(one["cost"])[name == "cost"]
    if name in ("phase", "progress") and one.get("unread") and not one[name]:
        return "?"
    return "" if one[name] is None else str(one[name])


def status_text(uri: str, facts: Mapping[str, Any]) -> str:
    """`facts` of `status` for people."""
    where = "".join(f", {words}" for words in (*doing(facts), facts["progress"]) if words)
    unknown = "unknown, its folder cannot be read" if facts["unread"] else "not found"
    lines = [f"{in_a_line(facts['name'] or uri)}: {facts['phase'] or unknown}{in_a_line(where)}"]
    lines.append(f"  run folder  {in_a_line(uri) or 'unknown'}")
    if facts["kind"]:
        lines.append(
            f"  object      {facts['kind']} {facts['name']}, {facts['workers']} workers, {facts['restarts']} restarts"
        )
    if facts["heartbeat"] is not None:
        lines.append(f"  heartbeat   {ago(facts['heartbeat'])}{', in the log of rank 0' if facts['unread'] else ''}")
    lines += [f"  {name:<11} {in_a_line(text)}" for name, text in going(facts)]
    for pod in facts["pods"]:
        shown = pod["reason"] or pod["phase"]
        code = f", exit code {pod['exit_code']}" if pod["exit_code"] is not None else ""
        lines.append(f"  rank {pod['rank']}      {pod['name']} on {pod['node'] or 'no node yet'}: {shown}{code}")
    if measured := measured_in_words(facts["result"]):
        lines.append(f"  result      {measured}, best epoch {facts['result']['best_epoch']}")
    if facts["causes"] and facts["causes"][0]["kind"] != Phase.RUNNING:
        lines += ["  " + line for line in as_text(of_facts(facts["causes"])).splitlines()]
    lines += [f"  note: {note}" for note in facts["notes"]]
    return "\n".join(lines)


def line(facts: Mapping[str, Any]) -> str:
    """A run in one line, for those who watch it where nothing can be drawn again: phase, activity, numbers."""
    parts = [str(facts["phase"]), *doing(facts), facts["progress"]]
    if facts["loss"] is not None:
        parts.append(f"loss {facts['loss']:.4f}")
    parts.append(speed(facts))
    if facts["eta_seconds"] is not None:
        parts.append(f"ETA {duration(facts['eta_seconds'])}")
    return f"{in_a_line(facts['name'] or facts['run'])}: {in_a_line(', '.join(filter(None, parts)))}"


def doing(facts: Mapping[str, Any]) -> list[str]:
    """What rank 0 does, in words, if the run runs and that is known."""
    return [facts["activity"]] if facts["phase"] == Phase.RUNNING and facts["activity"] else []


def speed(facts: Mapping[str, Any]) -> str:
    """ "812 examples/s" of a run that runs; empty if unknown."""
    rate = facts["examples_per_second"]
    return "" if rate is None or facts["phase"] != Phase.RUNNING else f"{rate:,.0f} examples/s"


def going(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How long a run still takes, where its time went and what it costs: names and words, as far as known."""
    found = []
    if facts["eta_seconds"] is not None:
        found.append(("ETA", duration(facts["eta_seconds"])))
    if facts["goodput"] is not None:
        found.append(("goodput", where_time_went(facts)))
    if facts["cost"] is not None:
        found.append(("cost", cost.in_words(facts["cost"])))
    return found


def where_time_went(facts: Mapping[str, Any]) -> str:
    """ "93.1% of 1 h 12 min; decoding 3.0%, compiling 2.0%" from the facts of a run with a ledger."""
    ledger = Ledger(facts["ledger"])
    largest = [f"{WORDS.get(name, name)} {value / ledger.counted:.1%}" for name, value in ledger.wastes]
    steps = facts["lost_steps"]
    again = f" ({steps:,} steps done again)" if steps else ""
    spent = "; ".join(filter(None, [duration(ledger.counted), ", ".join(largest[:MOST_WASTES])]))
    return f"{facts['goodput']:.1%} of {spent}{again}"


def measured_in_words(summary: Mapping[str, Any] | None) -> str:
    """ "test accuracy 93.1%, loss 0.2051" from summary.json, else that of valid; empty if it has neither."""
    for split, words in (("test", "test"), ("valid", "validation")):
        found = (summary or {}).get(split)
        accuracy, loss = (found.get(name) if isinstance(found, Mapping) else None for name in ("accuracy", "loss"))
        if all(isinstance(number, float | int) and abs(number) < 1e300 for number in (accuracy, loss)):
            return f"{words} accuracy {accuracy:.1%}, loss {loss:.4f}"
    return ""


def as_json(value: Any) -> str:
    """JSON text: indented, in the given order."""
    return json.dumps(value, indent=1, ensure_ascii=False)
