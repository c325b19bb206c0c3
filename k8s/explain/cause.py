"""One reason why a run is waiting or has failed, as text and as JSON."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from k8s.explain.command import Next, commands_in, in_words
from k8s.explain.observation import Observation


@dataclass(frozen=True)
class Cause:
    """One reason, the evidence for it, and what to do next. `kind` is a fixed word for programs."""

    kind: str
    cause: str
    evidence: tuple[str, ...] = ()
    then: Next = ()

    @property
    def next(self) -> str:
        """What to do next, in words."""
        return in_words(self.then)


Rule = Callable[[Observation], list[Cause]]
"""Takes an observation of a run and returns the causes that it recognizes."""


def as_text(causes: Iterable[Cause]) -> str:
    """Text for people: each cause, then its evidence and next command, indented."""
    lines = []
    for cause in causes:
        lines.append(cause.cause)
        lines += [f"  {line}" for line in cause.evidence]
        if cause.then:
            lines.append(f"  next: {cause.next}")
    return "\n".join(lines)


def as_facts(causes: Iterable[Cause]) -> list[dict[str, Any]]:
    """The causes as values for JSON."""
    return [
        {
            "kind": c.kind,
            "cause": c.cause,
            "evidence": list(c.evidence),
            "next": c.next,
            "commands": [{"words": list(one.words), "by": str(one.by)} for one in commands_in(c.then)],
        }
        for c in causes
    ]


def of_facts(facts: Iterable[Mapping[str, Any]]) -> list[Cause]:
    """The causes in the output of `as_facts`, with what to do next as text."""
    return [
        Cause(one["kind"], one["cause"], tuple(one["evidence"]), (one["next"],) if one["next"] else ()) for one in facts
    ]
