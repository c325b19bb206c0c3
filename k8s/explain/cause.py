"""One reason why a run waits or has failed, as people and machines are told it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from k8s.explain.observation import Observation


@dataclass(frozen=True)
class Cause:
    """One reason, what shows it, and what to type next. `kind` is a fixed word for machines."""

    kind: str
    cause: str
    evidence: tuple[str, ...] = ()
    next: str = ""


Rule = Callable[[Observation], list[Cause]]
"""Looks at what is seen of a run, and gives the causes that it recognises."""


def as_text(causes: Iterable[Cause]) -> str:
    """For people: cause, then indented evidence and next command."""
    lines = []
    for cause in causes:
        lines.append(cause.cause)
        lines += [f"  {line}" for line in cause.evidence]
        if cause.next:
            lines.append(f"  next: {cause.next}")
    return "\n".join(lines)


def as_facts(causes: Iterable[Cause]) -> list[dict[str, Any]]:
    """For machines, as JSON has them."""
    return [{"kind": c.kind, "cause": c.cause, "evidence": list(c.evidence), "next": c.next} for c in causes]


def of_facts(facts: Iterable[Mapping[str, Any]]) -> list[Cause]:
    """Causes from `as_facts`."""
    return [Cause(one["kind"], one["cause"], tuple(one["evidence"]), one["next"]) for one in facts]
