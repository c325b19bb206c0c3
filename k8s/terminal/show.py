"""How runs are shown: one dictionary per run for JSON, and text made from it for people. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from k8s.explain import observation, tops
from k8s.explain.cause import as_facts, as_text, of_facts
from k8s.explain.observation import Observation, instant
from k8s.explain.phase import Phase, phase_of, progress
from k8s.explain.why import explain
from k8s.labels import RECIPE_LABEL
from trainer.words import age, ago, in_a_line

COLUMNS = ("name", "phase", "recipe", "workers", "progress", "age", "where")


def row(seen: Observation, uri: str) -> dict[str, Any]:
    """One row of `catdog list`, for JSON. `where` is "cluster" while there are objects, else "folder"."""
    phase = phase_of(seen)
    metadata = (seen.top or {}).get("metadata") or {}
    made = instant(metadata.get("creationTimestamp")) or instant(str((seen.state or {}).get("updated")))
    return {
        "name": seen.name,
        "phase": None if phase is None else str(phase),
        "recipe": (metadata.get("labels") or {}).get(RECIPE_LABEL, ""),
        "workers": observation.workers(seen) or None,
        "progress": progress(seen.state),
        "unread": seen.unread,
        "age": age(made, seen.now) if made else "",
        "where": "cluster" if seen.top is not None else "folder",
        "run": uri,
    }


def status(seen: Observation, uri: str, summary: Mapping[str, Any] | None) -> dict[str, Any]:
    """`catdog status`, for JSON."""
    made = row(seen, uri)
    causes = [] if made["phase"] in (Phase.SUCCEEDED, None) else explain(seen)
    status_of = (seen.top or {}).get("status") or {}
    return {
        **made,
        "kind": (seen.top or {}).get("kind"),
        "restarts": restarts(seen),
        "restarts_counted": status_of.get("restartsCountTowardsMax"),
        "state": None if seen.state is None else dict(seen.state),
        "heartbeat": _heartbeat(seen),
        "pods": [
            _pod(pod)
            for pod in sorted(seen.pods, key=lambda pod: (observation.rank(pod) or 0, str(pod["metadata"]["name"])))
        ],
        "causes": as_facts(causes),
        "result": _result(summary),
        "notes": list(seen.notes),
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


def _heartbeat(seen: Observation) -> float | None:
    """Seconds since state.json was written."""
    updated = instant(str((seen.state or {}).get("updated")))
    return None if updated is None else round((seen.now - updated).total_seconds(), 1)


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


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of `row` as aligned text with a heading."""
    if not rows:
        return "no runs"
    cells = [[name.upper() for name in COLUMNS]]
    cells += [[in_a_line(_cell(one, name)) for name in COLUMNS] for one in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def _cell(one: Mapping[str, Any], name: str) -> str:
    """A value for people: "?" where what it is made from could not be read."""
    if name in ("phase", "progress") and one.get("unread") and not one[name]:
        return "?"
    return "" if one[name] is None else str(one[name])


def status_text(uri: str, facts: Mapping[str, Any]) -> str:
    """`facts` of `status` for people."""
    where = f", {facts['progress']}" if facts["progress"] else ""
    unknown = "unknown, its folder cannot be read" if facts["unread"] else "not found"
    lines = [f"{in_a_line(facts['name'] or uri)}: {facts['phase'] or unknown}{where}"]
    lines.append(f"  run folder  {in_a_line(uri) or 'unknown'}")
    if facts["kind"]:
        lines.append(
            f"  object      {facts['kind']} {facts['name']}, {facts['workers']} workers, {facts['restarts']} restarts"
        )
    if facts["heartbeat"] is not None:
        lines.append(f"  heartbeat   {ago(facts['heartbeat'])}{', in the log of rank 0' if facts['unread'] else ''}")
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
