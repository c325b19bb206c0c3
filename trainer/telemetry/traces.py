"""What a trace of TensorFlow's profiler says of some steps: the calls, how long any op ran, the ops that took longest.

A trace is an XSpace (tsl/profiler/protobuf/xplane.proto): planes of hosts and devices, each with lines (threads,
streams) of events in picoseconds. On a host, an op is an event "name:Type"; on a GPU, kernels are events of the lines
"Stream …", and a statistic `tf_op` of most of them has "name:Type".
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

HOST, DEVICE = "/host:CPU", "/device:GPU"
MOST_OPS = 12

Span = tuple[float, float]
"""Begin and end, in seconds from any one moment."""


@dataclass(frozen=True)
class Op:
    """All ops of a type: how often they ran, and for how long in all, seconds added over threads and devices."""

    kind: str
    count: int
    seconds: float


@dataclass(frozen=True)
class Trace:
    """Of the traced steps: their number, the seconds that their calls took on the thread that trains, the seconds in
    which any op ran, and the types of ops that ran longest, longest first."""

    steps: int
    calls: float
    busy: float
    ops: tuple[Op, ...]


@dataclass
class _Sums:
    """What is added up over the events."""

    steps: int = 0
    calls: float = 0.0
    spans: list[Span] = field(default_factory=list)
    by_kind: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def read(encoded: bytes, step_name: str, most_ops: int = MOST_OPS) -> Trace:
    """Sum up an encoded XSpace; `step_name` is the name of the event around the call of a step.

    Raises:
        ImportError: this TensorFlow does not say how traces are encoded.
    """
    from tensorflow.tsl.profiler.protobuf import xplane_pb2  # here: TensorFlow, and not a part that it promises

    sums = _Sums()
    for plane in xplane_pb2.XSpace.FromString(encoded).planes:
        if plane.name.startswith(DEVICE):
            for line in plane.lines:
                if line.name.startswith("Stream"):
                    _add(sums, ((_kind_on_device(plane, event), *_span(line, event)) for event in line.events))
        elif plane.name == HOST:
            for line in plane.lines:
                _add_host(sums, plane, line, step_name)
    ops = [Op(kind, len(each), sum(each)) for kind, each in sums.by_kind.items()]
    longest = sorted(ops, key=lambda op: -op.seconds)[:most_ops]
    return Trace(sums.steps, sums.calls, covered(sums.spans), tuple(longest))


def _add_host(sums: _Sums, plane: Any, line: Any, step_name: str) -> None:
    named = [(plane.event_metadata[event.metadata_id].name, event) for event in line.events]
    steps = [event for name, event in named if name == step_name]
    sums.steps += len(steps)
    sums.calls += sum(event.duration_ps for event in steps) / 1e12
    ops = ((_kind(name), event) for name, event in named)
    _add(sums, ((kind, *_span(line, event)) for kind, event in ops if kind))


def _add(sums: _Sums, found: Iterable[tuple[str, float, float]]) -> None:
    events = list(found)
    sums.spans += [(begin, end) for _, begin, end in events]
    for kind, seconds in own_seconds(events):
        sums.by_kind[kind].append(seconds)


def _span(line: Any, event: Any) -> Span:
    begin = line.timestamp_ns / 1e9 + event.offset_ps / 1e12
    return begin, begin + event.duration_ps / 1e12


def _kind(name: str) -> str:
    """The type of an op, from the name of a host's event; empty for what is no op."""
    op, colon, kind = name.rpartition(":")
    return kind.removeprefix("_") if colon and op and not op.endswith(":") and kind.isidentifier() else ""


def _kind_on_device(plane: Any, event: Any) -> str:
    for stat in event.stats:
        if plane.stat_metadata[stat.metadata_id].name == "tf_op":
            told = stat.str_value or plane.stat_metadata[stat.ref_value].name
            return _kind(told) or told
    return str(plane.event_metadata[event.metadata_id].name)


def own_seconds(events: Iterable[tuple[str, float, float]]) -> Iterator[tuple[str, float]]:
    """Of events (kind, begin, end) on one line: the seconds of each without those of the events inside it."""
    inside: list[list[Any]] = []  # open events: kind, end, own seconds
    for kind, begin, end in sorted(events, key=lambda event: (event[1], -event[2])):
        while inside and inside[-1][1] <= begin:
            done = inside.pop()
            yield done[0], done[2]
        if inside:
            inside[-1][2] -= min(end, inside[-1][1]) - begin
        inside.append([kind, end, end - begin])
    for done in inside:
        yield done[0], done[2]


def covered(spans: Iterable[Span]) -> float:
    """Seconds that lie in at least one span."""
    total, until = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total
