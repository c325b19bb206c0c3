"""Real sockets on loopback; each worker is a thread."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from trainer.exits import Exit, ExitError
from trainer.workers import rendezvous
from trainer.workers.rendezvous import Hello, Message, refuse
from trainer.workers.topology import ALONE, Topology, rendezvous_address

LIMIT = 30.0
SENT: Message = {"precision": "float32", "pixel_path": 2, "step": 12, "finished": False}


def meet(topology: Topology, greeting: Hello, timeout: float, message: Message) -> Message:
    """What rank 0 says; the connections that are left open are closed."""
    answer, connections = rendezvous.meet(topology, greeting, timeout, message)
    for _, connection in connections.values():
        connection.close()
    return answer


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as made:
        yield made


def topologies(world: int) -> list[Topology]:
    while True:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
            try:
                socket.create_server(("127.0.0.1", port + 1)).close()
            except OSError:
                continue
            hosts = (f"127.0.0.1:{port}", *(f"worker-{rank}:2222" for rank in range(1, world)))
            return [Topology(rank, hosts) for rank in range(world)]


def hello(rank: int, uid: str = "", program: str = "0.1", config: str = "abc") -> Hello:
    return Hello(rank, uid or f"uid-{rank}", program, config)


def error_of(future: "Future[Any]") -> ExitError:
    error = future.exception(LIMIT)
    assert isinstance(error, ExitError), error
    return error


def visit(topology: Topology, data: bytes) -> socket.socket:
    """Connect to rank 0 as soon as it listens, and say something."""
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            connection = socket.create_connection(rendezvous_address(topology), timeout=LIMIT)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
            continue
        connection.sendall(data)
        return connection


def introduction(rank: int, uid: str) -> bytes:
    return json.dumps(hello(rank, uid).__dict__).encode() + b"\n"


def test_one_alone_meets_nobody() -> None:
    assert meet(ALONE, hello(0), 0.0, SENT) == SENT
    refuse(ALONE, hello(0), 0.0, ExitError(65, "bad data"))


def test_all_meet_and_hear_rank_0s_message(pool: ThreadPoolExecutor) -> None:
    places = topologies(4)
    others = [pool.submit(meet, place, hello(place.rank), LIMIT, {"ignored": True}) for place in places[:0:-1]]
    time.sleep(0.3)  # they are there before rank 0
    assert meet(places[0], hello(0), LIMIT, SENT) == SENT
    assert [other.result(LIMIT) for other in others] == [SENT] * 3


def test_the_connections_stay_open_and_nothing_that_follows_the_answer_is_lost(pool: ThreadPoolExecutor) -> None:
    places = topologies(3)
    others = [pool.submit(rendezvous.meet, place, hello(place.rank), LIMIT, {}) for place in places[1:]]
    answer, guests = rendezvous.meet(places[0], hello(0), LIMIT, SENT)
    assert answer == SENT
    assert {rank: host for rank, (host, _) in guests.items()} == {1: "worker-1:2222", 2: "worker-2:2222"}
    guests[1][1].sendall(b"to one\n")
    guests[2][1].sendall(b"to two\n")
    for other, said in zip(others, (b"to one\n", b"to two\n"), strict=True):
        told, connections = other.result(LIMIT)
        assert (told, set(connections)) == (SENT, {0})
        connection = connections[0][1]
        connection.settimeout(LIMIT)
        assert connection.recv(100) == said
        connection.close()
    for _, connection in guests.values():
        connection.close()


def test_rank_0_waits_for_those_who_come_late(pool: ThreadPoolExecutor) -> None:
    places = topologies(2)
    first = pool.submit(meet, places[0], hello(0), LIMIT, SENT)
    time.sleep(0.3)
    assert not first.done()
    assert meet(places[1], hello(1), LIMIT, {}) == SENT
    assert first.result(LIMIT) == SENT


def test_who_is_missing_is_named_within_the_deadline(pool: ThreadPoolExecutor) -> None:
    places = topologies(4)
    began = time.monotonic()
    first = pool.submit(meet, places[0], hello(0), 1.0, SENT)
    present = pool.submit(meet, places[2], hello(2), LIMIT, {})
    error = error_of(first)
    assert 0.9 < time.monotonic() - began < 10
    assert error.code == Exit.RENDEZVOUS_FAILED
    assert error.message == (
        "rendezvous: 2 of 4 workers joined within 1 s; missing rank 1 (worker-1:2222), 3 (worker-3:2222)"
    )
    # The one that came is told at once, and does not blame itself.
    told = error_of(present)
    assert told.code == Exit.PEER_LOST
    assert "rank 0 stopped with 69" in told.message
    assert "missing rank 1" in told.message


def test_those_who_wait_are_named_in_the_log(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rendezvous, "REMIND_SECONDS", 0.2)
    error_of(pool.submit(meet, topologies(2)[0], hello(0), 0.7, SENT))
    assert "rendezvous: waiting for rank 1 (worker-1:2222), 0 s left" in caplog.text


def test_without_rank_0_the_others_end_at_the_deadline(pool: ThreadPoolExecutor) -> None:
    place = topologies(2)[1]
    host, port = rendezvous_address(place)
    error = error_of(pool.submit(meet, place, hello(1), 0.5, {}))
    assert error.code == Exit.RENDEZVOUS_FAILED
    assert error.message.startswith(f"rendezvous: rank 0 ({host}:{port}) did not answer within 0.5 s: ")


@pytest.mark.parametrize("other", [hello(1, program="0.2"), hello(1, config="def")], ids=["program", "configuration"])
def test_another_program_or_configuration_is_refused_on_both_sides(pool: ThreadPoolExecutor, other: Hello) -> None:
    places = topologies(2)
    odd = pool.submit(meet, places[1], other, LIMIT, {})
    began = time.monotonic()
    error = error_of(pool.submit(meet, places[0], hello(0), LIMIT, SENT))
    assert error.code == Exit.RENDEZVOUS_FAILED
    assert f"rank 1 runs {other.program} with configuration {other.config}, rank 0 runs 0.1 with abc" in error.message
    assert f"rank 1 runs {other.program}" in error_of(odd).message
    assert time.monotonic() - began < LIMIT / 2


def test_a_rank_that_was_restarted_alone_makes_all_leave_with_75(pool: ThreadPoolExecutor) -> None:
    places = topologies(4)
    first = pool.submit(meet, places[0], hello(0), LIMIT, SENT)
    patient = pool.submit(meet, places[2], hello(2), LIMIT, {})
    time.sleep(0.2)
    with visit(places[1], introduction(1, "before")):
        time.sleep(0.2)
        restarted = pool.submit(meet, places[1], hello(1, "after"), LIMIT, {})
        errors = [error_of(one) for one in (first, patient, restarted)]
    assert [error.code for error in errors] == [Exit.PEER_LOST] * 3
    assert all("rank 1 was restarted alone" in error.message for error in errors)


def test_the_same_worker_may_come_twice(pool: ThreadPoolExecutor) -> None:
    places = topologies(3)
    first = pool.submit(meet, places[0], hello(0), LIMIT, SENT)
    visit(places[1], introduction(1, "uid-1")).close()  # its connection broke
    time.sleep(0.2)
    again = pool.submit(meet, places[1], hello(1, "uid-1"), LIMIT, {})
    time.sleep(0.2)
    third = pool.submit(meet, places[2], hello(2), LIMIT, {})
    assert [one.result(LIMIT) for one in (first, again, third)] == [SENT] * 3


@pytest.mark.parametrize("rank", [0, 2, -1])
def test_a_rank_that_is_none_is_refused(pool: ThreadPoolExecutor, rank: int) -> None:
    places = topologies(2)
    first = pool.submit(meet, places[0], hello(0), LIMIT, SENT)
    with visit(places[1], introduction(rank, "odd")):
        error = error_of(first)
    assert error.code == Exit.RENDEZVOUS_FAILED
    assert error.message == f"rendezvous: rank {rank} is not one of 1 to 1"


GARBAGE = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x00\xff\n",
    b"[]\n",
    b"[" * 100_000 + b"\n",
    b"{}\n",
    b'{"rank": 1}\n',
    b'{"rank": "1", "uid": "u", "program": "0.1", "config": "abc"}\n',
    b'{"rank": 1, "uid": [], "program": "0.1", "config": "abc"}\n',
    b"",
]


@pytest.mark.parametrize("data", GARBAGE)
def test_a_visitor_that_is_no_worker_is_ignored(
    pool: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    places = topologies(2)
    first = pool.submit(meet, places[0], hello(0), LIMIT, SENT)
    visit(places[0], data).close()
    assert meet(places[1], hello(1), LIMIT, {}) == SENT
    assert first.result(LIMIT) == SENT
    assert "ignored a connection that did not register" in caplog.text


def test_a_line_without_end_is_cut_off(pool: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture) -> None:
    places = topologies(2)
    first = pool.submit(meet, places[0], hello(0), LIMIT, SENT)
    with visit(places[0], b"x" * (rendezvous.LINE_LIMIT + 1)):
        assert meet(places[1], hello(1), LIMIT, {}) == SENT
    assert first.result(LIMIT) == SENT
    assert "line too long" in caplog.text


def test_refusing_reaches_the_others(pool: ThreadPoolExecutor) -> None:
    places = topologies(3)
    others = [pool.submit(meet, place, hello(place.rank), LIMIT, {}) for place in places[1:]]
    refuse(places[0], hello(0), LIMIT, ExitError(Exit.BAD_DATA, "pets/train: only one class"))
    for other in others:
        error = error_of(other)
        assert error.code == Exit.PEER_LOST
        assert error.message == "rank 0 stopped with 65: pets/train: only one class"


def test_a_run_that_is_given_up_is_given_up_by_all(pool: ThreadPoolExecutor) -> None:
    topology = topologies(2)
    other = pool.submit(meet, topology[1], hello(1), LIMIT, {})
    refuse(topology[0], hello(0), LIMIT, ExitError(Exit.NO_PROGRESS, "three attempts"))
    assert error_of(other).code == Exit.NO_PROGRESS
    assert error_of(other).message == "rank 0 stopped with 79: three attempts"


def test_refusing_ends_though_nobody_comes(caplog: pytest.LogCaptureFixture) -> None:
    began = time.monotonic()
    refuse(topologies(2)[0], hello(0), 0.5, ExitError(Exit.BAD_DATA, "bad"))
    assert time.monotonic() - began < 10
    assert "could not notify every worker" in caplog.text


def test_a_taken_port_is_named() -> None:
    place = topologies(2)[0]
    port = rendezvous_address(place)[1]
    with socket.create_server(("", port)), pytest.raises(ExitError, match=f"cannot listen on port {port}") as caught:
        meet(place, hello(0), LIMIT, SENT)
    assert caught.value.code == Exit.RENDEZVOUS_FAILED


def test_no_thread_or_socket_is_left(pool: ThreadPoolExecutor) -> None:
    places = topologies(2)
    before = threading.active_count()
    for _ in range(2):  # the port is free again at once
        other = pool.submit(meet, places[1], hello(1), LIMIT, {})
        assert meet(places[0], hello(0), LIMIT, SENT) == SENT
        assert other.result(LIMIT) == SENT
    assert threading.active_count() <= before + 1
