"""A gang with a secret meets over real sockets on loopback, while strangers try to join or to pass as rank 0."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from trainer.exits import Exit, ExitError
from trainer.workers import rendezvous
from trainer.workers.handshake import Credential, challenge
from trainer.workers.rendezvous import Hello, Message, refuse
from trainer.workers.topology import Topology, rendezvous_address

LIMIT = 30.0
SENT: Message = {"step": 12}
OURS, OTHER = Credential(b"a secret of the gang", "run"), Credential(b"a secret of another", "run")


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as made:
        yield made


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendezvous, "UNPROVED_SECONDS", 0.5)
    monkeypatch.setattr(rendezvous, "CHALLENGE_SECONDS", 1.0)
    monkeypatch.setattr(rendezvous, "INTRODUCTION_SECONDS", 1.0)


def topologies(world: int) -> list[Topology]:
    while True:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
            with suppress(OSError):
                socket.create_server(("127.0.0.1", port + 1)).close()
                hosts = (f"127.0.0.1:{port}", *(f"worker-{rank}:2222" for rank in range(1, world)))
                return [Topology(rank, hosts) for rank in range(world)]


def hello(rank: int) -> Hello:
    return Hello(rank, f"uid-{rank}", "0.1", "abc")


def meet(place: Topology, credential: Credential | None, timeout: float = LIMIT) -> Message:
    answer, connections = rendezvous.meet(place, hello(place.rank), timeout, SENT, credential)
    for _, connection in connections.values():
        connection.close()
    return answer


def error_of(future: "Future[Any]") -> ExitError:
    error = future.exception(LIMIT)
    assert isinstance(error, ExitError), error
    return error


def knock(place: Topology) -> socket.socket:
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            return socket.create_connection(rendezvous_address(place), timeout=LIMIT)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def introduced(rank: int, nonce: str = "n") -> dict[str, Any]:
    return {**hello(rank).__dict__, "nonce": nonce}


@contextmanager
def listening(place: Topology, answer: Callable[[bytes], bytes]) -> Iterator[list[bytes]]:
    """Somebody else where rank 0 should be; what it is told."""
    told: list[bytes] = []
    with socket.create_server(rendezvous_address(place)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        connection.settimeout(2.0)
                        told.append(connection.recv(65536))
                        connection.sendall(answer(told[-1]))
                        told.append(connection.recv(65536))

        threading.Thread(target=serve, daemon=True).start()
        yield told
        server.shutdown(socket.SHUT_RDWR)


def test_a_gang_with_a_secret_meets(pool: ThreadPoolExecutor) -> None:
    places = topologies(3)
    others = [pool.submit(meet, place, OURS) for place in places[1:]]
    assert meet(places[0], OURS) == SENT
    assert [other.result(LIMIT) for other in others] == [SENT, SENT]


def test_a_failure_of_rank_0_reaches_those_who_have_proved_themselves(pool: ThreadPoolExecutor) -> None:
    places = topologies(2)
    other = pool.submit(meet, places[1], OURS)
    refuse(places[0], hello(0), LIMIT, ExitError(Exit.BAD_DATA, "no pictures"), OURS)
    assert error_of(other).message == "rank 0 stopped with 65: no pictures"


STRANGERS = {
    "registers without proof": line(introduced(1)),
    "another program": line({**introduced(1), "program": "evil"}),
    "a rank that is none": line(introduced(7)),
    "guesses": line(introduced(1)) + line({"proof": "0" * 64}),
    "no text for a proof": line(introduced(1)) + line({"proof": None}),
    "says nothing": b"",
    "begins": b"{",
}


@pytest.mark.parametrize("said", STRANGERS.values(), ids=STRANGERS)
def test_a_stranger_neither_joins_nor_keeps_the_gang_from_meeting(
    pool: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture, said: bytes
) -> None:
    """Not by what makes a gang end either, if one of its own says it."""
    places = topologies(2)
    first = pool.submit(meet, places[0], OURS)
    with knock(places[0]) as stranger:
        stranger.sendall(said)
        assert meet(places[1], OURS) == SENT
        assert first.result(LIMIT) == SENT
        stranger.settimeout(LIMIT)
        heard = b""
        with suppress(ConnectionResetError):
            while data := stranger.recv(65536):
                heard += data
    assert b"message" not in heard
    assert "ignored a connection that did not register, from 127.0.0.1" in caplog.text


def test_what_strangers_say_does_not_fill_the_log(
    pool: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendezvous, "MOST_TOLD", 100)
    places = topologies(2)
    first = pool.submit(meet, places[0], OURS)
    for number in range(150):
        with knock(places[0]) as stranger:
            stranger.sendall(line({f"{number}" + "x" * 5000: 1}))
    assert meet(places[1], OURS) == SENT
    assert first.result(LIMIT) == SENT
    ignored = [record.getMessage() for record in caplog.records if "ignored" in record.getMessage()]
    assert 0 < len(ignored) <= 100
    assert max(map(len, ignored)) < 150


def test_who_drips_does_not_keep_the_gang_waiting(pool: ThreadPoolExecutor) -> None:
    places = topologies(2)
    first = pool.submit(meet, places[0], OURS)
    with knock(places[0]) as stranger:
        stop = threading.Event()

        def drip() -> None:
            with suppress(OSError):
                while not stop.wait(0.1):
                    stranger.send(b" ")

        threading.Thread(target=drip, daemon=True).start()
        began = time.monotonic()
        assert meet(places[1], OURS) == SENT
        assert time.monotonic() - began < 10
        assert first.result(LIMIT) == SENT
        stop.set()


def test_what_was_overheard_lets_nobody_join(pool: ThreadPoolExecutor) -> None:
    """The very bytes with which a worker has joined, in the same gang, are refused in another connection."""
    from trainer.workers.handshake import response

    places = topologies(2)
    first = pool.submit(meet, places[0], OURS, 2.0)
    with knock(places[0]) as worker, worker.makefile("rb") as answers:
        worker.sendall(line(introduced(1)))
        proof = line(response(OURS, introduced(1), json.loads(answers.readline())))
    with knock(places[0]) as stranger:
        stranger.sendall(line(introduced(1)) + proof)
        stranger.settimeout(LIMIT)
        with stranger.makefile("rb") as answers:
            assert "challenge" in json.loads(answers.readline())
            with suppress(ConnectionResetError):
                assert answers.readline() == b""
    assert "missing rank 1" in error_of(first).message


@pytest.mark.parametrize("theirs", [OTHER, Credential(OURS.secret, "another run"), None], ids=["other", "run", "none"])
def test_a_worker_with_a_wrong_secret_ends_with_one_line_and_rank_0_names_it(
    pool: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture, theirs: Credential | None
) -> None:
    places = topologies(2)
    first = pool.submit(meet, places[0], OURS, 3.0)
    error = error_of(pool.submit(meet, places[1], theirs))
    assert error.code == Exit.RENDEZVOUS_FAILED
    host, port = rendezvous_address(places[0])
    assert error.message.startswith(f"rendezvous: rank 0 ({host}:{port})")
    assert error.message.endswith(
        "asks for the secret of this gang, and CATDOG_GANG_SECRET is not set here: give every worker the same"
        if theirs is None
        else "the rank 0 has another secret than this one, or is of another run: "
        "give every worker the same CATDOG_GANG_SECRET"
    )
    assert "missing rank 1" in error_of(first).message
    assert "it says that it is rank 1, but the worker has another secret" in caplog.text
    assert caplog.text.count("ignored a connection") == 1
    assert "a secret of" not in caplog.text + error.message


IMPOSTORS: dict[str, Callable[[bytes], bytes]] = {
    "sends its own message": lambda said: line({"message": {"step": 666}}),
    "guesses": lambda said: line({"challenge": "n", "proof": "0" * 64}) + line({"message": {"step": 666}}),
    "knows another secret": lambda said: line(challenge(OTHER, json.loads(said), "n")) + line({"message": {}}),
    "sends it all back": lambda said: said,
    "refuses": lambda said: line({"refused": "rank 0 stopped with 65"}),
}


@pytest.mark.parametrize("answer", IMPOSTORS.values(), ids=IMPOSTORS)
def test_who_is_not_rank_0_is_not_believed(pool: ThreadPoolExecutor, answer: Callable[[bytes], bytes]) -> None:
    place = topologies(2)[1]
    with listening(place, answer) as told:
        error = error_of(pool.submit(meet, place, OURS))
    assert error.code == Exit.RENDEZVOUS_FAILED
    assert "give every worker the same CATDOG_GANG_SECRET" in error.message
    assert not any(OURS.secret in one for one in told)
    assert all(json.loads(one) == {"proof": ""} for one in told[1::2] if one)


def test_a_worker_without_a_secret_does_not_wait_for_one(pool: ThreadPoolExecutor) -> None:
    places = topologies(2)
    other = pool.submit(meet, places[1], None)
    assert meet(places[0], None) == SENT
    assert other.result(LIMIT) == SENT


def test_a_silent_impostor_does_not_keep_a_worker_from_the_rank_0_that_comes_later(pool: ThreadPoolExecutor) -> None:
    """A name can lead to another pod for a while."""
    places = topologies(2)
    with listening(places[0], lambda said: b""):
        other = pool.submit(meet, places[1], OURS)
        time.sleep(0.3)
    assert meet(places[0], OURS) == SENT
    assert other.result(LIMIT) == SENT
