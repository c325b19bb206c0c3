"""What a worker's exit code means, and what to do next. Pure."""

from collections.abc import Callable, Mapping

from k8s.explain import observation
from k8s.explain.again import resume
from k8s.explain.command import Next, catdog
from k8s.explain.observation import Observation
from trainer.exits import MEANING, Exit

_SIGNALS = {
    1: "an error outside catdog",
    127: "command not found in the image",
    128: "the container did not start",
    134: "aborted (SIGABRT)",
    137: "killed (SIGKILL)",
    139: "crashed (SIGSEGV)",
}
Then = Callable[[Observation], Next]


def meaning_of(code: int) -> str:
    """An exit code in words; empty for one that nobody uses."""
    return MEANING.get(Exit(code), "") if code in Exit._value2member_map_ else _SIGNALS.get(code, "")


def then_of(code: int, seen: Observation) -> tuple[str, Next]:
    """The kind of the cause, and what to do next, for a worker that ended with this code."""
    kind, then = _BY_CODE.get(code, ("exit", _logs))
    return kind, then(seen)


def _logs(seen: Observation) -> Next:
    return ("its output says more",) if seen.local else (catdog(seen.typed, "logs", seen.name),)


def _doctor(seen: Observation) -> Next:
    drifted = "; if replicas have drifted apart, take the machine that is named out instead"
    if seen.local:
        return (f"report the bug{drifted}",)
    return (catdog(seen.typed, "doctor", seen.name), f", then report the bug{drifted}")


def _missing(seen: Observation) -> Next:
    if seen.local:
        return ("its output names the worker that is missing",)
    return (catdog(seen.typed, "why", seen.name), " while it starts again names the pod that is missing")


def _text(words: str) -> Then:
    return lambda seen: (words,)


def _before(words: str, then: Then) -> Then:
    return lambda seen: (words, *then(seen))


def _after(then: Then, words: str) -> Then:
    return lambda seen: (*then(seen), words)


def _retried(seen: Observation) -> Next:
    """For a code that is retried: nothing to do as long as the cluster does."""
    if observation.is_going(seen.top):
        return (catdog(seen.typed, "status", seen.name), "; it starts again by itself")
    return resume(seen)


_BY_CODE: Mapping[int, tuple[str, Then]] = {
    2: ("usage", _text("use the same version of catdog here and in the image")),
    64: ("bad-option", _text("fix the option and submit again")),
    65: ("bad-data", _before("fix the data set, then ", resume)),
    66: ("input-missing", _text("submit again with the --data URI of an existing data set")),
    69: ("rendezvous", _after(_missing, "; --rendezvous-timeout waits longer")),
    70: ("bug", _doctor),
    73: ("run-refused", _text("submit with another --name, or with --force-resume")),
    74: ("storage", _retried),
    75: ("peer-lost", _logs),
    76: ("stalled", _after(_retried, "; raise --stall-timeout if steps take longer")),
    77: ("no-permission", _before("grant the workers' service account the role named above, then ", resume)),
    78: ("no-accelerator", _text("check the node's driver and device plugin, and that the image is the CUDA variant")),
    79: ("no-progress", _before("fix what made the first of them fail, then ", resume)),
    80: ("diverged", _text("submit with another --name and a lower --learning-rate, or with --clip-norm")),
    127: ("image", _text("set --image to an image built from catdog's Dockerfile")),
    137: ("killed", _after(_logs, "; a node that runs out of memory kills containers even below their limits")),
}
