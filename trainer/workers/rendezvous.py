"""All workers meet before TensorFlow starts, within a deadline; missing workers are named.

MultiWorkerMirroredStrategy waits forever when a worker is missing (tensorflow#58434 and similar). Here rank 0 listens,
every other rank registers with its unique id, and rank 0 answers all of them at once with one message. A rank that
registers twice has been restarted alone; a gang of old and new workers cannot train, so all exit with 75 and restart
together. Where the gang has a secret, workers and rank 0 prove to each other that they know it before anything else
counts (trainer.workers.handshake). The connections stay open (trainer.workers.line).
"""

import json
import logging
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer import documents
from trainer.contract import ENV_SECRET
from trainer.exits import Exit, ExitError
from trainer.workers.handshake import Credential, NotProved, admit, challenge, new_nonce, response
from trainer.workers.topology import Topology, rendezvous_address

log = logging.getLogger(__name__)

REMIND_SECONDS = 30.0
RETRY_SECONDS = 0.2
LINE_LIMIT = 1 << 20
INTRODUCTION_SECONDS = 5.0
"""Within so long a visitor has to register: meanwhile the others wait."""
MOST_TOLD = 200
"""So many visitors that are ignored are told of, in so many characters each: what they send is theirs to choose."""
CHALLENGE_SECONDS = 30.0
"""Within so long rank 0 has to prove itself to a worker that has reached it."""
UNPROVED_SECONDS = 30.0
"""So long a worker tries again where rank 0 does not know the secret: its name can still lead to another pod."""

Message = Mapping[str, Any]
Connections = Mapping[int, tuple[str, socket.socket]]
"""Rank → host and open connection: on rank 0 of all others, on the others of rank 0."""


@dataclass(frozen=True)
class Hello:
    """What a worker registers with. Workers with another `program` or `config` are refused."""

    rank: int
    uid: str
    program: str
    config: str


def meet(
    topology: Topology, hello: Hello, timeout: float, message: Message, credential: Credential | None = None
) -> tuple[Message, Connections]:
    """Wait until every worker has joined; return rank 0's `message` on all of them (other ranks' own is ignored), and
    the connections over which they have met. With a `credential`, only those who prove that they have it too can join.

    Raises:
        ExitError: 69 naming the ranks that did not join within `timeout` seconds, or that run another program or
            configuration, or where rank 0 has another credential; 75 when rank 0 gave up, or a rank was restarted
            alone; 79 when rank 0 gives up the run.
    """
    if topology.alone:
        return message, {}
    if topology.rank == 0:
        guests = _host(topology, hello, timeout, {"message": dict(message)}, credential)
        return message, {rank: (topology.hosts[rank], connection) for rank, connection in guests.items()}
    answer, connection = _join(topology, hello, timeout, credential)
    return answer, {0: (topology.hosts[0], connection)}


def refuse(
    topology: Topology, hello: Hello, timeout: float, reason: ExitError, credential: Credential | None = None
) -> None:
    """On rank 0, report its failure to every worker that joins within `timeout` seconds, so that none keeps waiting."""
    if topology.alone:
        return
    try:
        for connection in _host(topology, hello, timeout, _refusal(reason), credential).values():
            connection.close()
    except ExitError as error:
        log.warning("could not notify every worker: %s", error)


def _host(
    topology: Topology, hello: Hello, timeout: float, answer: dict[str, Any], credential: Credential | None
) -> dict[int, socket.socket]:
    deadline, reminder = time.monotonic() + timeout, time.monotonic() + REMIND_SECONDS
    _, port = rendezvous_address(topology)
    present: dict[int, tuple[str, socket.socket]] = {}
    told: set[str] = set()  # each visitor that is ignored is told of once
    with _listen(port) as server:
        try:
            while len(present) < topology.world - 1:
                now = time.monotonic()
                missing = sorted(set(range(1, topology.world)) - set(present))
                names = ", ".join(f"{rank} ({topology.hosts[rank]})" for rank in missing)
                if now >= deadline:
                    raise ExitError(
                        Exit.RENDEZVOUS_FAILED,
                        f"rendezvous: {len(present) + 1} of {topology.world} workers joined within {timeout:g} s; "
                        f"missing rank {names}",
                    )
                if now >= reminder:
                    log.warning("rendezvous: waiting for rank %s, %.0f s left", names, deadline - now)
                    reminder = now + REMIND_SECONDS
                visitor = _visitor(server, min(deadline, reminder) - now, credential, told)
                if visitor is not None:
                    _register(*visitor, hello, topology, present)
            _answer(present, answer)
        except ExitError as error:
            _answer(present, _refusal(error))
            for _, connection in present.values():
                connection.close()
            raise
    return {rank: connection for rank, (_, connection) in present.items()}


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server(("", port), backlog=512)
    except OSError as error:
        raise ExitError(
            Exit.RENDEZVOUS_FAILED, f"rendezvous: cannot listen on port {port}: {error.strerror}"
        ) from error


def _visitor(
    server: socket.socket, wait: float, credential: Credential | None, told: set[str]
) -> tuple[Hello, socket.socket] | None:
    """The next worker that comes within `wait` seconds; None if nobody does, or somebody who is none."""
    server.settimeout(max(0.01, wait))
    try:
        connection, address = server.accept()
    except TimeoutError:
        return None
    try:
        return _introduced(connection, credential), connection
    except (OSError, ValueError) as error:
        connection.close()
        line = f"ignored a connection that did not register, from {address[0]}: {error}"[:MOST_TOLD]
        if line not in told and len(told) < MOST_TOLD:
            told.add(line)
            log.warning("rendezvous: %s", line)
        return None


def _introduced(connection: socket.socket, credential: Credential | None) -> Hello:
    """Who is at the other end. Raises OSError, ValueError: nobody who has said and proved it in time."""
    deadline = time.monotonic() + INTRODUCTION_SECONDS
    registration = _receive(connection, deadline)
    try:
        guest = Hello(**{name: value for name, value in registration.items() if name != "nonce"})
    except TypeError as error:
        raise ValueError(str(error)) from error
    if type(guest.rank) is not int or not all(isinstance(one, str) for one in (guest.uid, guest.program, guest.config)):
        raise ValueError("a rank or name of the wrong type")
    if credential is not None:
        nonce = new_nonce()
        _send(connection, challenge(credential, registration, nonce))
        try:
            admit(credential, registration, nonce, _receive(connection, deadline))
        except NotProved as error:
            raise NotProved(f"it says that it is rank {guest.rank}, but {error}") from error
    return guest


def _register(
    guest: Hello,
    connection: socket.socket,
    hello: Hello,
    topology: Topology,
    present: dict[int, tuple[str, socket.socket]],
) -> None:
    objection = _objection(guest, hello, topology, present)
    if objection is not None:
        _answer({guest.rank: (guest.uid, connection)}, _refusal(objection))
        connection.close()
        raise objection
    if guest.rank in present:
        present[guest.rank][1].close()  # it lost that connection and reconnected
    present[guest.rank] = (guest.uid, connection)
    log.info("rendezvous: rank %d joined, %d of %d", guest.rank, len(present) + 1, topology.world)


def _objection(
    guest: Hello, hello: Hello, topology: Topology, present: Mapping[int, tuple[str, Any]]
) -> ExitError | None:
    """Why this worker cannot train with us, or None."""
    if (guest.program, guest.config) != (hello.program, hello.config):
        return ExitError(
            Exit.RENDEZVOUS_FAILED,
            f"rendezvous: rank {guest.rank} runs {guest.program} with configuration {guest.config}, "
            f"rank 0 runs {hello.program} with {hello.config}: give every worker the same image and configuration",
        )
    if not 0 < guest.rank < topology.world:
        return ExitError(
            Exit.RENDEZVOUS_FAILED, f"rendezvous: rank {guest.rank} is not one of 1 to {topology.world - 1}"
        )
    if guest.rank in present and present[guest.rank][0] != guest.uid:
        return ExitError(Exit.PEER_LOST, f"rendezvous: rank {guest.rank} was restarted alone; all restart together")
    return None


def _refusal(reason: ExitError) -> dict[str, Any]:
    return {"refused": f"rank 0 stopped with {int(reason.code)}: {reason.message}", "code": int(reason.code)}


def _answer(present: dict[int, tuple[str, socket.socket]], answer: dict[str, Any]) -> None:
    for rank, (_, connection) in present.items():
        try:
            _send(connection, answer)
        except OSError as error:
            log.warning("rendezvous: rank %d disconnected before the answer: %s", rank, error)


def _join(
    topology: Topology, hello: Hello, timeout: float, credential: Credential | None
) -> tuple[Message, socket.socket]:
    deadline, reminder = time.monotonic() + timeout, time.monotonic() + REMIND_SECONDS
    address = rendezvous_address(topology)
    trouble, unproved = "no answer", 0.0
    while (left := deadline - time.monotonic()) > 0:
        try:
            # Look the name up each time: a pod's name might not resolve yet, or still resolve to the previous pod.
            answer, connection = _ask(address, hello, left, credential)
        except (OSError, ValueError) as error:
            trouble, now = str(error), time.monotonic()
            unproved = (unproved or now) if isinstance(error, NotProved) else 0.0
            if unproved and now - unproved >= UNPROVED_SECONDS:
                break
            if now >= reminder:
                log.warning("rendezvous: waiting for rank 0 (%s:%d): %s", *address, trouble)
                reminder = now + REMIND_SECONDS
            time.sleep(RETRY_SECONDS)
            continue
        if "refused" in answer:
            connection.close()
            # 75 is retried, and of a run that was given up no worker should be.
            final = answer.get("code") == Exit.NO_PROGRESS
            raise ExitError(Exit.NO_PROGRESS if final else Exit.PEER_LOST, str(answer["refused"]))
        return dict(answer["message"]), connection
    if unproved:
        raise ExitError(
            Exit.RENDEZVOUS_FAILED,
            f"rendezvous: rank 0 ({address[0]}:{address[1]}): {trouble}: give every worker the same {ENV_SECRET}",
        )
    raise ExitError(
        Exit.RENDEZVOUS_FAILED,
        f"rendezvous: rank 0 ({address[0]}:{address[1]}) did not answer within {timeout:g} s: {trouble}",
    )


def _ask(
    address: tuple[str, int], hello: Hello, patience: float, credential: Credential | None
) -> tuple[dict[str, Any], socket.socket]:
    """Register with rank 0 and wait for its answer.

    Raises:
        OSError, ValueError: it did not come, or was none; NotProved: rank 0 does not know the secret.
        ExitError: 69 when rank 0 asks for a secret, and there is none here.
    """
    deadline = time.monotonic() + patience
    registration = {**hello.__dict__, "nonce": new_nonce()}
    connection = socket.create_connection(address, timeout=min(5.0, patience))
    try:
        _send(connection, registration)
        if credential is not None:
            soon = min(deadline, time.monotonic() + CHALLENGE_SECONDS)
            _prove(connection, credential, registration, soon)
        answer = _receive(connection, deadline)
        if credential is None and "challenge" in answer:
            _send(connection, {"proof": ""})
            raise ExitError(
                Exit.RENDEZVOUS_FAILED,
                f"rendezvous: rank 0 ({address[0]}:{address[1]}) asks for the secret of this gang, and {ENV_SECRET} is "
                "not set here: give every worker the same",
            )
        return answer, connection
    except (OSError, ValueError, ExitError):
        connection.close()
        raise


def _prove(connection: socket.socket, credential: Credential, registration: Mapping[str, Any], deadline: float) -> None:
    """Have rank 0 prove that it knows the secret, and prove it to rank 0. Raises OSError, ValueError, NotProved."""
    try:
        proof = response(credential, registration, _receive(connection, deadline))
    except NotProved:
        _send(connection, {"proof": ""})  # so that rank 0 can say who it is that does not join
        raise
    _send(connection, proof)


def _send(connection: socket.socket, message: Mapping[str, Any]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


def _receive(connection: socket.socket, deadline: float) -> dict[str, Any]:
    """One JSON object on one line; what comes after it is left for the line. Raises ValueError when it is not,
    ConnectionError when it is cut off, TimeoutError when it is not whole at the deadline (of time.monotonic)."""
    data = b""
    while not data.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        connection.settimeout(left)
        ahead = connection.recv(65536, socket.MSG_PEEK)
        if not ahead:
            raise ConnectionError("the connection was closed")
        data += connection.recv(ahead.find(b"\n") + 1 or len(ahead))
        if len(data) > LINE_LIMIT:
            raise ValueError("line too long")
    message = documents.parse(data)
    if not isinstance(message, dict):
        raise ValueError("not an object")
    return message
