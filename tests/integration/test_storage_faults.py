"""gcs against a real server behind a proxy that breaks requests and answers."""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.servers import FakeGcs, FaultProxy, Faults, fault_proxy, reasons
from trainer.exits import Exit
from trainer.storage.base import Storage
from trainer.storage.errors import PreconditionFailed, StorageDenied, StorageFailed, StorageMissing
from trainer.storage.fetch import read_many, write_many
from trainer.storage.opening import Listener, open_storage
from trainer.storage.retry import RetryEvent, RetryPolicy

pytestmark = pytest.mark.alone  # calls have a second or less, and which faults are counted depends on it

QUICK = RetryPolicy(total=20, attempt=1.0, connect=1.0, first_wait=0.01, longest_wait=0.1)
CONTENT = bytes(range(256)) * 80
LARGE = os.urandom(9 << 20)

FAULTS = {
    "503": "server_error",
    "500": "server_error",
    "429": "throttled",
    "408": "timeout",
    "reset": "connection",
    "lost": "connection",
    "cut": "truncated",
    "stall": "timeout",
}


@pytest.fixture
def events() -> list[RetryEvent]:
    return []


@pytest.fixture
def storage(proxy: FaultProxy, bucket: str, events: list[RetryEvent]) -> Storage:
    return open_storage(f"{bucket}/run", listener=Listener(events.append), retry=QUICK)


@pytest.fixture
def direct(gcs_server: FakeGcs, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """The same place without the proxy: the other writer, and the judge of what is stored."""
    with monkeypatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", gcs_server.url)
        storage = open_storage(f"{bucket}/run")
    return storage


def kinds(events: list[RetryEvent]) -> list[str]:
    return [str(event.reason) for event in events]


@pytest.mark.parametrize("fault", [*FAULTS, "flip", "trickle"])
def test_a_read_survives_and_counts(storage: Storage, proxy: FaultProxy, events: list[RetryEvent], fault: str) -> None:
    storage.write("a", CONTENT)
    proxy.faults = Faults(stall_seconds=1.5)
    proxy.next(fault)
    assert storage.read("a") == CONTENT
    assert kinds(events) == [{"flip": "checksum", "trickle": "timeout"}.get(fault) or FAULTS[fault]]
    assert (events[0].operation, events[0].name, events[0].attempt) == ("read", "a", 1)
    assert proxy.counts.total() == 1


WRITES = [(CONTENT, fault) for fault in (*FAULTS, "flip")] + [
    (LARGE, fault) for fault in ("503", "cut", "lost", "flip")
]


@pytest.mark.parametrize(("data", "fault"), WRITES, ids=lambda value: value if isinstance(value, str) else len(value))
def test_a_write_survives_and_counts(
    storage: Storage, direct: Storage, proxy: FaultProxy, events: list[RetryEvent], fault: str, data: bytes
) -> None:
    if data is LARGE:
        proxy.next("")  # the request that opens the session
    proxy.faults = Faults(stall_seconds=1.5)
    proxy.next(fault)
    stat = storage.write("a", data, if_generation="")
    assert kinds(events) == [{"flip": "checksum"}.get(fault) or FAULTS[fault]]
    assert proxy.counts.total() == 1
    assert direct.stat("a") == stat
    assert direct.read("a") == data


OTHERS = [
    (operation, fault)
    for operation in ("stat", "list", "delete", "delete_if", "read_range")
    for fault in ("429", "lost", "cut")
    if not (operation.startswith("delete") and fault == "cut")  # its answer has no body
]


@pytest.mark.parametrize(("operation", "fault"), OTHERS)
def test_other_calls_survive_and_count(
    storage: Storage, proxy: FaultProxy, events: list[RetryEvent], operation: str, fault: str
) -> None:
    stat = storage.write("a", CONTENT)
    if operation == "delete_if":
        proxy.next("")  # it looks first; the fault befalls the delete itself
    proxy.next(fault)
    if operation == "stat":
        assert storage.stat("a") == stat
    elif operation == "list":
        assert list(storage.list()) == [stat]
    elif operation == "read_range":
        assert storage.read_range("a", 1000, 5000) == CONTENT[1000:6000]
    else:
        storage.delete("a", if_generation=stat.generation if operation == "delete_if" else None)
        assert storage.stat("a") is None
    assert kinds(events) == [FAULTS[fault]]


def test_a_rival_that_wins_during_the_retry_is_seen(
    proxy: FaultProxy, bucket: str, direct: Storage, storage: Storage
) -> None:
    """The rival's content is even the same: it is still the rival's write."""
    racer = open_storage(
        f"{bucket}/run",
        retry=QUICK,
        listener=Listener(lambda _: direct.write("lease", b"free", if_generation="") and None),
    )
    proxy.next("reset")
    with pytest.raises(PreconditionFailed, match="another writer was first"):
        racer.write("lease", b"free", if_generation="")
    assert direct.read("lease") == b"free"


def test_no_update_is_lost_behind_faults(proxy: FaultProxy, bucket: str) -> None:
    """Each writer adds its own lines, once each, by compare and swap; a write that was stored may still be refused."""
    proxy.faults = Faults(status=0.05, reset=0.05, lost=0.1, cut=0.05)

    def add(writer: int) -> None:
        storage = open_storage(bucket, retry=QUICK)
        for number in range(6):
            line = f"{writer}-{number}"
            while True:
                stat = storage.stat("lines")
                lines = storage.read("lines").decode().split() if stat else []
                if line in lines:
                    break
                try:
                    generation = stat.generation if stat else ""
                    storage.write("lines", " ".join([*lines, line]).encode(), if_generation=generation)
                except PreconditionFailed:
                    continue

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    proxy.faults = Faults()
    lines = open_storage(bucket).read("lines").decode().split()
    assert sorted(lines) == sorted(f"{writer}-{number}" for writer in range(4) for number in range(6))
    assert proxy.counts["lost"]


def test_a_load_of_all_faults_arrives_whole_and_every_fault_is_counted(
    storage: Storage, proxy: FaultProxy, events: list[RetryEvent]
) -> None:
    contents = {f"{number}.jpg": os.urandom(5000 + number) for number in range(400)}
    proxy.faults = Faults(status=0.05, reset=0.02, cut=0.03, flip=0.03, lost=0.02, stall=0.01)
    assert {stat.name for stat in write_many(storage, contents.items(), concurrency=32)} == set(contents)
    assert dict(read_many(storage, contents, concurrency=32)) == contents
    injected, reported = proxy.counts, reasons(events)
    assert all(injected[fault] for fault in ("status", "reset", "cut", "flip", "lost", "stall")), injected
    assert reported["server_error"] + reported["throttled"] == injected["status"]
    assert reported["server_error"] > 0 < reported["throttled"]
    assert reported["connection"] == injected["reset"] + injected["lost"]
    assert reported["truncated"] == injected["cut"]
    assert reported["checksum"] == injected["flip"]
    assert reported["timeout"] >= injected["stall"]  # more on a machine that is busy


def test_a_stall_below_the_limit_is_only_waited_for(bucket: str, proxy: FaultProxy, events: list[RetryEvent]) -> None:
    storage = open_storage(bucket, listener=Listener(events.append))
    storage.write("a", CONTENT)
    proxy.next("stall")
    assert storage.read("a") == CONTENT
    assert events == []


def test_a_server_that_comes_back_is_waited_for(storage: Storage, proxy: FaultProxy, events: list[RetryEvent]) -> None:
    storage.write("a", CONTENT)
    proxy.faults = Faults(reset=1.0)
    healing = threading.Timer(1.0, lambda: setattr(proxy, "faults", Faults()))
    healing.start()
    assert storage.read("a") == CONTENT
    healing.join()
    assert set(kinds(events)) == {"connection"}
    assert [event.attempt for event in events] == list(range(1, len(events) + 1))
    assert all(event.wait <= QUICK.longest_wait for event in events)


GONE = {
    "resets": Faults(reset=1),
    "refusals": Faults(status=1),
    "silence": Faults(stall=1, stall_seconds=60),
    "cut answers": Faults(cut=1),
}


@pytest.mark.parametrize("gone", GONE)
@pytest.mark.parametrize("operation", ["read", "write", "list"])
def test_gone_for_good_ends_within_the_deadline(proxy: FaultProxy, bucket: str, gone: str, operation: str) -> None:
    policy = RetryPolicy(total=0.8, attempt=0.3, connect=0.3, first_wait=0.02, longest_wait=0.1)
    storage = open_storage(bucket, retry=policy)
    storage.write("a", CONTENT)
    proxy.faults = GONE[gone]
    calls: dict[str, Callable[[], object]] = {
        "read": lambda: storage.read("a"),
        "write": lambda: storage.write("a", CONTENT),
        "list": lambda: list(storage.list()),
    }
    begin = time.monotonic()
    with pytest.raises(
        StorageFailed, match=rf"^{bucket}/a?: {operation} gave up after \d+ attempts in \d+ s"
    ) as caught:
        calls[operation]()
    assert time.monotonic() - begin < 2.0
    assert caught.value.code == Exit.STORAGE_FAILED
    assert "\n" not in str(caught.value)


def test_nobody_listening_ends_within_the_deadline(
    gcs_server: FakeGcs, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fault_proxy(gcs_server.url) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        storage = open_storage(bucket, retry=RetryPolicy(total=0.5, attempt=0.3, first_wait=0.02))
        storage.write("a", CONTENT)
    begin = time.monotonic()
    with pytest.raises(StorageFailed, match="gave up"):
        storage.read("a")
    assert time.monotonic() - begin < 2.0


@pytest.mark.parametrize("status", ["401", "403"])
def test_no_permission_stops_at_once_and_says_what_to_grant(
    storage: Storage, proxy: FaultProxy, events: list[RetryEvent], bucket: str, status: str
) -> None:
    account = "serviceAccount:trainer@example-project.iam.gserviceaccount.com" if status == "403" else "MEMBER"
    for role, call in (
        ("objectViewer", lambda: storage.read("a")),
        ("objectViewer", lambda: list(storage.list())),
        ("objectUser", lambda: storage.write("a", b"x")),
        ("objectUser", lambda: storage.delete("a")),
    ):
        proxy.next(status)
        with pytest.raises(StorageDenied) as caught:
            call()
        assert caught.value.code == Exit.NO_PERMISSION
        assert str(caught.value).endswith(
            f"bucket {bucket[5:]} needs the role roles/storage.{role}: gcloud storage buckets "
            f"add-iam-policy-binding {bucket} --member={account} --role=roles/storage.{role}"
        )
        assert "\n" not in str(caught.value)
    assert events == []
    assert proxy.requests.total() == 4


def test_a_missing_bucket_is_named(proxy: FaultProxy) -> None:
    calls: list[Callable[[Storage], object]] = [
        lambda storage: storage.read("a"),
        lambda storage: storage.read_range("a", 0, 1),
        lambda storage: storage.stat("a"),
        lambda storage: list(storage.list()),
        lambda storage: storage.write("a", b"x"),
        lambda storage: storage.write("a", LARGE),
        lambda storage: storage.delete("a"),
    ]
    for call in calls:
        with pytest.raises(StorageMissing, match=r"^gs://no-such-bucket: no such bucket"):
            call(open_storage("gs://no-such-bucket/run"))


def test_a_short_range_is_told_from_a_cut_one(storage: Storage, proxy: FaultProxy, events: list[RetryEvent]) -> None:
    storage.write("a", CONTENT)
    with pytest.raises(StorageFailed, match=rf"the object has {len(CONTENT)} bytes"):
        storage.read_range("a", 100, len(CONTENT))
    assert events == []


def test_sixty_four_calls_are_in_flight_with_as_many_connections(
    storage: Storage, proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    names = [str(number) for number in range(256)]
    for _ in write_many(storage, ((name, CONTENT[:100]) for name in names), concurrency=32):
        pass
    proxy.faults = Faults(latency=0.25)
    begin = time.monotonic()
    assert len(list(read_many(storage, names, concurrency=64))) == 256
    # Four waves of 0.25 s; one by one it is 64 s, with urllib3's ten connections a warning for each one thrown away.
    assert time.monotonic() - begin < 4
    assert "pool is full" not in caplog.text


def test_a_listing_in_pages_goes_on_where_it_was(
    storage: Storage, proxy: FaultProxy, events: list[RetryEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.storage.gcs.LIST_PAGE", 7)
    names = sorted(str(number) for number in range(30))
    for name in names:
        storage.write(name, b"")
    listing = storage.list()
    first = next(listing)
    proxy.next("503", "cut")
    assert [stat.name for stat in [first, *listing]] == names
    assert Counter(kinds(events)) == {"server_error": 1, "truncated": 1}


@pytest.mark.parametrize(("fault", "reason"), [("503", "server_error"), ("lost", "connection"), ("flip", "checksum")])
def test_an_upload_of_many_chunks_survives_and_counts(
    storage: Storage,
    direct: Storage,
    proxy: FaultProxy,
    events: list[RetryEvent],
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    reason: str,
) -> None:
    """fake-gcs-server forgets the declared checksum after the first chunk, so a flipped bit is found in its answer."""
    monkeypatch.setattr("trainer.storage.gcs.RESUMABLE_CHUNK", 2 << 20)
    first = storage.write("a", CONTENT)
    proxy.next("", "", fault)
    stat = storage.write("a", LARGE, if_generation=first.generation)
    assert kinds(events) == [reason]
    assert direct.stat("a") == stat
    assert direct.read("a") == LARGE
