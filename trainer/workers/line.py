"""The connections of the rendezvous, kept open: once a second each worker tells rank 0, and rank 0 each worker, what it
does. A worker that is silent or gone is known by name in seconds, which TensorFlow's collectives do not tell: they wait
for ever for a process that lives and is stuck (tensorflow#58434).
"""

import dataclasses
import json
import logging
import selectors
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from trainer import documents
from trainer.exits import Exit, ExitError
from trainer.process.activity import BEFORE_JOINING, Activity, Doing
from trainer.workers.standing import (
    SILENT_SECONDS,
    UNHEARD_SECONDS,
    Beat,
    Farewell,
    Peer,
    fate,
    late,
    lost,
    read_beat,
    read_farewell,
    silent,
    slowest,
    told,
)

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
FEWEST_STEPS = 16
"""So many steps are timed before it is told how long one takes."""
LAST_WORD_SECONDS = 2.0
LONGEST_LINE = 1 << 16
NAMED_WITHIN = SILENT_SECONDS + 5.0


class Line:
    """One worker's end: on rank 0 a connection for each other rank, on the others one to rank 0.

    `on_lost(words)` is called once, on the line's own thread, when a worker is lost.
    """

    def __init__(
        self,
        rank: int,
        connections: Mapping[int, tuple[str, socket.socket]],
        activity: Activity,
        on_lost: Callable[[str], None],
        tick: float = TICK_SECONDS,
    ) -> None:
        self.rank, self.on_lost = rank, on_lost
        self.lost_since = ""  # when the first loss was noticed, ISO 8601
        self._activity, self._tick = activity, tick
        self._sockets = {peer: connection for peer, (_, connection) in connections.items()}
        self._peers = {peer: Peer(peer, host) for peer, (host, _) in connections.items()}
        self._received = dict.fromkeys(connections, b"")
        self._unsent = dict.fromkeys(connections, b"")
        self._sending, self._over = threading.Lock(), threading.Event()
        self._changed = threading.Condition()
        self._selector = selectors.DefaultSelector()
        for peer, connection in self._sockets.items():
            connection.setblocking(False)
            self._selector.register(connection, selectors.EVENT_READ, peer)
        self._thread = threading.Thread(target=self._run, name="line", daemon=True)
        if connections:
            self._thread.start()

    @property
    def peers(self) -> Mapping[int, Peer]:
        """The other workers that this one is connected with, as they were when last heard."""
        return self._peers

    @property
    def expected(self) -> int:
        """How many workers this one is to hear from, itself included."""
        return 1 + len(self._peers)

    @property
    def seen(self) -> int:
        """How many of them are there; a word that comes a little late is no absence."""
        return 1 + sum(not peer.closed and peer.silent < UNHEARD_SECONDS for peer in self._peers.values())

    def beats(self) -> dict[int, Beat]:
        """The last word of each worker, and this one's present."""
        return {self.rank: self._mine(), **{rank: peer.beat for rank, peer in self._peers.items()}}

    def is_asked_to_stop(self) -> bool:
        """Whether a worker was asked to stop, as far as it is known here, and not because another one is lost."""
        return not lost(self._peers) and any(beat.stopping for beat in self.beats().values())

    def gather(self) -> None:
        """Wait until every worker has come this far: rank 0 until all have said so, the others until rank 0 says it.

        TensorFlow joins the workers by a call that waits for all of them and holds the interpreter's lock: whoever
        made it early could neither speak here nor answer a probe.

        Raises:
            ExitError: 75 when a worker has ended instead.
        """
        if not self._sockets:
            return
        if self.rank != 0:
            self._join()
        with self._changed:
            self._changed.wait_for(lambda: all(map(_has_joined, self._peers.values())) or self._ended())
        if ended := self._ended():
            raise ExitError(Exit.PEER_LOST, f"a peer was lost: {ended}")
        if self.rank == 0:
            self._join()

    def part(self) -> None:
        """Wait for each other at the end, when this worker does what `Doing.FINISHING` says: rank 0 until all others do
        too, the others for its last word. One that left early would look like a lost peer; not a collective, which
        waits for ever for a worker that is frozen.

        Raises:
            ExitError: 75 when a worker has been lost or has failed instead.
        """
        self._say(self._mine())
        with self._changed:
            self._changed.wait_for(lambda: all(map(self._may_leave, self._peers.values())))
        if words := told(self._peers):
            raise ExitError(Exit.PEER_LOST, f"a peer was lost: {words}")

    def _may_leave(self, peer: Peer) -> bool:
        ready = self.rank == 0 and peer.beat.doing == Doing.FINISHING
        return ready or peer.closed or peer.farewell is not None or bool(fate(peer))

    def _join(self) -> None:
        self._activity.enter(Doing.JOINING)
        self._say(self._mine())

    def _ended(self) -> str:
        """What is known of the workers that are gone before they had joined, those included that were asked to stop."""
        gone = [peer for peer in self._peers.values() if (peer.closed or peer.farewell) and not _has_joined(peer)]
        stopped = (f"rank {peer.rank} ({peer.host}) ended with {peer.farewell.code}" for peer in gone if peer.farewell)
        return told(self._peers) or "; ".join(stopped)

    def await_loss(self, seconds: float) -> str:
        """Wait at most so long until a lost worker is known by name; return what is known of it, or nothing.

        A collective can fail seconds before the silence of the worker that it waited for is long enough.
        """
        with self._changed:
            self._changed.wait_for(lambda: bool(self.lost_since), timeout=seconds if self._sockets else 0)
        return told(self._peers)

    def end(self, code: Exit, reason: str) -> None:
        """Tell the others that this worker ends, and why; afterwards it neither speaks nor listens."""
        if self._over.is_set():
            return
        self._over.set()
        word = _line("farewell", Farewell(int(code), reason[:1000], lost(self._peers)))
        deadline = time.monotonic() + LAST_WORD_SECONDS
        for rank, connection in self._sockets.items():
            with suppress(OSError):  # gone already
                with self._sending:
                    connection.settimeout(max(0.1, deadline - time.monotonic()))
                    connection.sendall(self._unsent[rank] + word)
                connection.shutdown(socket.SHUT_WR)
        for connection in self._sockets.values():
            with suppress(OSError), connection:
                # Closed with something unread, a connection is reset, and the other end can lose what is on its way.
                connection.settimeout(max(0.1, deadline - time.monotonic()))
                while connection.recv(65536) and time.monotonic() < deadline:
                    pass

    def _mine(self) -> Beat:
        now = self._activity
        own = tuple(now.own_seconds)
        seconds = statistics.median(own) if len(own) >= FEWEST_STEPS else 0.0
        return Beat(now.doing, now.dispatched, now.seen, seconds, now.is_asked_to_stop())

    def _run(self) -> None:
        while not self._over.is_set():
            for rank in self._say(self._mine()):
                self._close(rank)
            heard = self._listen(time.monotonic() + self._tick)
            if self._over.is_set():
                return
            # One tick a round, however late: after a pause of our own, what the others said meanwhile is read first.
            for rank, peer in self._peers.items():
                if rank not in heard:
                    self._know(dataclasses.replace(peer, silent=peer.silent + 1))
            if lost(self._peers) and not self.lost_since:
                self.lost_since = datetime.now(UTC).isoformat(timespec="seconds")
                with self._changed:
                    self._changed.notify_all()
                self.on_lost(told(self._peers))

    def _say(self, beat: Beat) -> list[int]:
        """Send it to all; returns the ranks whose connections are broken."""
        broken = []
        for rank, connection in self._sockets.items():
            with self._sending:
                if self._over.is_set():
                    return []
                data = self._unsent[rank] or _line("beat", beat)
                try:
                    self._unsent[rank] = data[connection.send(data) :]
                except BlockingIOError:
                    self._unsent[rank] = data  # it does not read: its silence will tell
                except OSError:
                    broken.append(rank)
        return broken

    def _listen(self, deadline: float) -> set[int]:
        """Read what comes until the deadline; return who was heard."""
        heard: set[int] = set()
        while (left := deadline - time.monotonic()) > 0 and not self._over.is_set():
            for key, _ in self._selector.select(left):
                heard |= self._hear(key.data, key.fileobj)
        return heard

    def _hear(self, rank: int, connection: Any) -> set[int]:
        try:
            data = connection.recv(65536)
        except BlockingIOError:
            return set()
        except (OSError, ValueError):
            data = b""
        if not data:
            self._close(rank)
            return set()
        *lines, rest = (self._received[rank] + data).split(b"\n")
        self._received[rank] = rest[-LONGEST_LINE:]
        for one in lines:
            self._take(rank, one)
        return {rank} if lines else set()

    def _take(self, rank: int, line: bytes) -> None:
        peer = self._peers[rank]
        try:
            message = documents.parse(line)
            if "beat" in message:
                peer = dataclasses.replace(peer, beat=read_beat(message["beat"]), silent=0)
            if "farewell" in message:
                peer = dataclasses.replace(peer, farewell=read_farewell(message["farewell"]), silent=0)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("rank %d said what cannot be read: %s", rank, error)
        self._know(peer)

    def _close(self, rank: int) -> None:
        self._know(dataclasses.replace(self._peers[rank], closed=True))
        if self._sockets[rank].fileno() >= 0:
            self._selector.unregister(self._sockets[rank])
            self._sockets[rank].close()

    def _know(self, peer: Peer) -> None:
        with self._changed:
            self._peers[peer.rank] = peer
            self._changed.notify_all()


def _has_joined(peer: Peer) -> bool:
    return peer.beat.doing not in BEFORE_JOINING


def _line(kind: str, message: Beat | Farewell) -> bytes:
    return json.dumps({kind: dataclasses.asdict(message)}).encode() + b"\n"


@contextmanager
def telling_failures(line: Line) -> Iterator[None]:
    """Ends the line with the failure that comes out of the block. One that only says that a peer was lost is given the
    peer's name.

    Raises:
        ExitError: what comes out of the block; 75 with the lost worker's name, where it becomes known.
    """
    try:
        yield
    except ExitError as error:
        if error.code == Exit.PEER_LOST and (words := line.await_loss(NAMED_WITHIN)):
            error = ExitError(error.code, f"a peer was lost: {words}")
        line.end(error.code, error.message)
        raise error from None
    except BaseException as error:
        line.end(Exit.BUG, f"{type(error).__name__}: {error}".split("\n")[0])
        raise


def needs_no_peer(words: str) -> None:
    """An `on_lost` for a worker that goes on alone."""
    log.warning("lost: %s; the rest needs no other worker", words)


def waited_for(line: Line) -> str:
    """For which ranks the others wait, to be added to a line; empty when all have begun the same step."""
    ranks = late(line.beats())
    if not ranks:
        return ""
    doing = ", ".join(f"rank {rank} is {line.beats()[rank].doing}" for rank in ranks)
    return f"; the others wait: {doing}"


def awaits_input(line: Line) -> bool:
    """Whether the others wait for a rank that waits for its pictures, which has a limit of its own."""
    return any(line.beats()[rank].doing in (Doing.READING, Doing.WAITING) for rank in late(line.beats()))


def own_seconds(line: Line, rank: int) -> float:
    """What a worker takes for its part of a step, as far as it is known here; 0 if it is not."""
    return line.beats()[rank].own_seconds


def told_of(line: Line) -> dict[str, Any]:
    """What state.json says of the workers."""
    slow = slowest(line.beats()) if line.rank == 0 else None
    named = None if slow is None else {"rank": slow[0], "times": round(slow[1], 2)}
    return {
        "workers_seen": line.seen,
        "slow": named,
        "step_seconds": {str(rank): round(beat.own_seconds, 6) for rank, beat in line.beats().items()},
        "lost": lost(line.peers),
        "lost_since": line.lost_since,
        "lost_silent": silent(line.peers),
    }
