"""Servers that the integration tests share; each test gets its own bucket."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.servers import FakeGcs, FaultProxy, fake_gcs_server, fault_proxy


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[FakeGcs]:
    with fake_gcs_server() as server:
        yield server


@pytest.fixture(scope="session")
def _bucket_names() -> Iterator[str]:
    return (f"bucket-{number}" for number in itertools.count())


@pytest.fixture
def new_bucket(gcs_server: FakeGcs, _bucket_names: Iterator[str], monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Makes an empty bucket and gives its gs:// URI; gs:// leads to the server for this test."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return lambda: gcs_server.make_bucket(next(_bucket_names))


@pytest.fixture
def bucket(new_bucket: Callable[[], str]) -> str:
    return new_bucket()


@pytest.fixture
def proxy(gcs_server: FakeGcs, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A proxy without faults yet, before the server; gs:// leads through it for this test."""
    with fault_proxy(gcs_server.url) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        yield proxy
