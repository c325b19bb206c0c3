"""Names against a real server: stored and read back, or refused; never outside the prefix."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.servers import FakeGcs
from trainer.storage.errors import BadName, StorageFailed
from trainer.storage.opening import open_storage

LONGEST = "é" * 512


def test_a_name_of_1024_bytes_is_stored_in_a_bucket_and_refused_where_it_does_not_fit(
    bucket: str, tmp_path: Path
) -> None:
    storage = open_storage(bucket)
    storage.write(LONGEST, b"x")
    assert storage.read(LONGEST) == b"x"
    assert [stat.name for stat in storage.list()] == [LONGEST]
    with pytest.raises(BadName, match="1,025 bytes"):
        storage.write(LONGEST + "x", b"x")
    with pytest.raises(BadName, match="1,029 bytes"):
        storage.child("runs").write(LONGEST, b"x")
    with pytest.raises(BadName, match=r"has 1024 bytes; at most 255"):
        open_storage(str(tmp_path)).write(LONGEST, b"x")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec="utf-8"), max_size=20) | st.text("/.a\0\n%~ ", max_size=8))
def test_any_name_is_read_back_or_refused(bucket: str, name: str) -> None:
    storage = open_storage(f"{bucket}/run")
    try:
        storage.write(name, b"x")
    except BadName:
        assert list(open_storage(bucket).list()) == []
        return
    assert storage.read(name) == b"x"
    assert [stat.name for stat in open_storage(bucket).list()] == [f"run/{name}"]
    storage.delete(name)
    assert list(open_storage(bucket).list()) == []


def test_another_tools_names_are_told_not_followed(gcs_server: FakeGcs, bucket: str) -> None:
    client = pytest.importorskip("google.cloud.storage").Client(project=None)
    client.bucket(bucket[5:]).blob("data/").upload_from_string(b"")  # a folder as the console makes one
    client.bucket(bucket[5:]).blob("data/a").upload_from_string(b"x")
    assert [stat.name for stat in open_storage(f"{bucket}/data").list()] == ["a"]
    assert [stat.name for stat in open_storage(bucket).list()] == ["data/a"]
    client.bucket(bucket[5:]).blob("data/../../etc/passwd").upload_from_string(b"x")
    with pytest.raises(BadName, match=r"data/\.\./\.\./etc/passwd"):
        list(open_storage(bucket).list())


def test_what_was_stored_packed_stays_packed(bucket: str) -> None:
    """gsutil cp -Z: the server would unpack it on the way, and no size, range or checksum would fit."""
    import gzip

    packed = gzip.compress(b"picture " * 1000)
    blob = pytest.importorskip("google.cloud.storage").Client(project=None).bucket(bucket[5:]).blob("a")
    blob.content_encoding = "gzip"
    blob.upload_from_string(packed)
    storage = open_storage(bucket)
    assert storage.read("a") == packed
    assert storage.read_range("a", 5, 20) == packed[5:25]
    with pytest.raises(StorageFailed, match="the object has"):
        storage.read_range("a", 5, len(packed))
