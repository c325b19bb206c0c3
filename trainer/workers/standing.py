"""Pure: what workers tell each other once a second, and what follows from it: who is silent, who is slow."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer.exits import Exit
from trainer.process.activity import BEFORE_JOINING, Doing

UNHEARD_SECONDS = 5
"""After so long without a word a worker is not counted as seen."""
SILENT_SECONDS = 15
"""After so long without a word a worker is lost."""
SILENT_WHILE_STARTING_SECONDS = 60
"""The same while TensorFlow is imported, or joins the workers: both hold the interpreter's lock, for long under a small
CPU limit, and no other thread of the process can say a word."""
SLOW_TIMES = 1.5
SLOW_SECONDS = 0.005


@dataclass(frozen=True)
class Beat:
    """What a worker tells: what it does, the last step it has begun, the last whose result it knows, and the seconds of
    a step, in the mean of the last second, that it took for itself rather than waited for others; and whether it was
    asked to stop."""

    doing: str = Doing.STARTING
    dispatched: int = 0
    seen: int = 0
    own_seconds: float = 0.0
    stopping: bool = False


@dataclass(frozen=True)
class Farewell:
    """A worker's last word: its exit code, why, and whom it lost itself."""

    code: int
    reason: str = ""
    lost: tuple[int, ...] = ()


@dataclass(frozen=True)
class Peer:
    """Another worker as this one knows it. `silent` is in seconds, `closed` once its connection is gone."""

    rank: int
    host: str
    beat: Beat = Beat()
    silent: int = 0
    closed: bool = False
    farewell: Farewell | None = None


PLANNED = (0, 130, 143)
"""Codes with which a whole gang ends together."""


def fate(peer: Peer) -> str:
    """What has become of a worker that is lost, in words; empty while it trains, or after a planned end."""
    if peer.farewell is not None:
        if peer.farewell.code in PLANNED:
            return ""
        return f"ended with {peer.farewell.code}: {peer.farewell.reason}"
    if peer.closed:
        return f"went away while {peer.beat.doing}"
    starts = peer.beat.doing in (*BEFORE_JOINING, Doing.JOINING)
    limit = SILENT_WHILE_STARTING_SECONDS if starts else SILENT_SECONDS
    return f"has been silent for {peer.silent} s, last {peer.beat.doing}" if peer.silent >= limit else ""


def lost(peers: Mapping[int, Peer]) -> tuple[int, ...]:
    """The ranks that are lost: those that another worker has lost first, where it has told; the cause is there."""
    gone = [peer for peer in peers.values() if fate(peer)]
    named = {rank for peer in gone if peer.farewell is not None for rank in peer.farewell.lost}
    return tuple(sorted(named or {peer.rank for peer in gone}))


def silent(peers: Mapping[int, Peer]) -> bool:
    """Whether silence is all that is known of the workers that are lost: then their machines may be gone."""
    gone = [peer for peer in peers.values() if fate(peer)]
    told = any(peer.closed if peer.farewell is None else peer.farewell.code != Exit.PEER_LOST for peer in gone)
    return bool(gone) and not told


def told(peers: Mapping[int, Peer]) -> str:
    """One line about the workers that are lost; empty when there are none."""
    fates = [(peer, fate(peer)) for peer in peers.values()]
    return "; ".join(f"rank {peer.rank} ({peer.host}) {words}" for peer, words in fates if words)


def slowest(beats: Mapping[int, Beat]) -> tuple[int, float] | None:
    """The rank that takes clearly longer for its part of a step than the others do, and how many times as long."""
    times = {rank: beat.own_seconds for rank, beat in beats.items() if beat.own_seconds > 0}
    if len(times) < 2 or len(times) < len(beats):
        return None
    rank = max(times, key=lambda one: times[one])
    others = statistics.median(seconds for one, seconds in times.items() if one != rank)
    if times[rank] - others < SLOW_SECONDS or times[rank] < SLOW_TIMES * others:
        return None
    return rank, times[rank] / others


def late(beats: Mapping[int, Beat]) -> tuple[int, ...]:
    """The ranks that have begun fewer steps than others: those for which the others wait."""
    first = max((beat.dispatched for beat in beats.values()), default=0)
    return tuple(sorted(rank for rank, beat in beats.items() if beat.dispatched < first))


def read_beat(values: Mapping[str, Any]) -> Beat:
    """A beat from its message; keys that are not known are ignored, for a later version may tell more.

    Raises:
        TypeError, ValueError: it is none.
    """
    return Beat(
        str(values.get("doing", "")),
        int(values.get("dispatched", 0)),
        int(values.get("seen", 0)),
        float(values.get("own_seconds", 0.0)),
        bool(values.get("stopping", False)),
    )


def read_farewell(values: Mapping[str, Any]) -> Farewell:
    """A farewell from its message.

    Raises:
        TypeError, ValueError: it is none.
    """
    return Farewell(int(values["code"]), str(values.get("reason", "")), tuple(int(r) for r in values.get("lost", ())))
