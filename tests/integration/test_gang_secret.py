"""Two workers that are given a secret, as pods are: they train, and it is nowhere in what they leave or print."""

import socket
from pathlib import Path

import pytest

from tests import runs

pytestmark = pytest.mark.timeout(300)

PLANTED = "planted-secret-0123456789"


def addresses() -> str:
    """Of two workers, the port after the first one's free for the rendezvous."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
            first, second = one.getsockname()[1], two.getsockname()[1]
            try:
                socket.create_server(("", first + 1)).close()
            except OSError:
                continue
            return f"127.0.0.1:{first},127.0.0.1:{second}"


@pytest.mark.parametrize(("other", "codes"), [(PLANTED, (0, 0)), ("another-secret-0123456789", (69, 69))])
def test_it_is_neither_printed_nor_stored(other: str, codes: tuple[int, int], tmp_path: Path) -> None:
    run, hosts = tmp_path / "run", addresses()
    data = runs.drawn(tmp_path / "drawn", 12, 4, 4)
    small = {"image_size": 32, "batch_size": 8, "epochs": 1, "workers": 2, "rendezvous_timeout": 40.0}
    asked = runs.config("demo", data, run, **small)

    def place(rank: int, secret: str) -> dict[str, str]:
        return {"CATDOG_HOSTS": hosts, "CATDOG_RANK": str(rank), "CATDOG_GANG_SECRET": secret, "CATDOG_RUN_UID": "u"}

    with runs.started(asked, **place(0, PLANTED)) as first, runs.started(asked, **place(1, other)) as second:
        said = runs.finish(second, codes[1]) + runs.finish(first, codes[0])
    assert [word for word in (PLANTED, other) if word in said] == []
    left = [path for path in run.rglob("*") if path.is_file()]
    assert left
    assert [path for path in left if PLANTED.encode() in path.read_bytes()] == []
    if other != PLANTED:
        assert "missing rank 1" in said
        assert "give every worker the same CATDOG_GANG_SECRET" in said
