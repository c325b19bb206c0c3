"""Storage in a Google Cloud Storage bucket; the only importer of google.cloud.

Every call consists of whole requests that `gcs_connection` retries, so the library's own retries are off
(`retry=None`). STORAGE_EMULATOR_HOST is used, without credentials, if set; else Application Default Credentials.
"""

import os
import re
import uuid
from collections.abc import Callable, Iterator
from typing import BinaryIO

import google_crc32c
from google.api_core.exceptions import GoogleAPICallError, NotFound
from google.auth.exceptions import DefaultCredentialsError
from google.cloud.storage import Blob, Client
from requests.adapters import HTTPAdapter

from trainer.exits import Exit, ExitError
from trainer.storage.base import Stat, Storage
from trainer.storage.content import Content, open_content
from trainer.storage.errors import PreconditionFailed, StorageFailed, StorageMissing
from trainer.storage.gcs_connection import Connection
from trainer.storage.gcs_errors import (
    WRITER,
    Answered404,
    Answered412,
    Answered416,
    ShortBody,
    WrongChecksum,
    no_bucket,
    no_credentials,
)
from trainer.storage.gcs_fields import content_type, crc32c_field, crc32c_number, generation_number
from trainer.storage.names import check_name
from trainer.storage.retry import MIB, RetryEvent, RetryPolicy, Try

RESUMABLE_CHUNK = 32 * MIB
"""Bytes sent per request of a resumable upload, which the library uses above 8 MiB; kept in memory once."""

WRITER_KEY = "catdog-write"
"""Custom metadata of a conditional write, a unique id: shows whether a stored object is ours or another writer's."""

LIST_PAGE = 1000
_ITEMS = "items(name,size,crc32c,generation)"


def connect(
    bucket: str,
    prefix: str,
    *,
    concurrency: int,
    on_retry: Callable[[RetryEvent], None] | None,
    policy: RetryPolicy,
) -> "GcsStorage":
    """Finds the credentials and prepares the connection pool; makes no request to the bucket.

    Raises `StorageDenied` without credentials, `ExitError` 64 for an invalid bucket name.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", bucket):
        raise ExitError(Exit.BAD_OPTION, f"gs://{bucket}: not a bucket name; use gs://bucket/prefix")
    prefix = prefix.strip("/")
    if prefix:
        check_name(prefix, where=f"gs://{bucket}")
    try:
        client = Client(project=None, client_options=_endpoint())
    except DefaultCredentialsError as error:
        raise no_credentials(bucket) from error
    # Else release 3.17 implicitly requests the bucket's metadata, with a permission (buckets.get) not needed otherwise.
    client._bucket_metadata_cache = None
    session = client._http
    if not session.is_mtls:  # mutual TLS needs the adapter that google.auth has mounted
        adapter = HTTPAdapter(pool_connections=4, pool_maxsize=concurrency)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
    return GcsStorage(Connection(client, client.bucket(bucket), policy, on_retry), prefix)


def _endpoint() -> dict[str, str] | None:
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    return {"api_endpoint": emulator if "://" in emulator else f"http://{emulator}"} if emulator else None


class GcsStorage:
    """Objects below a prefix of a bucket; see `base.Storage` for the methods. Opened by `connect`."""

    def __init__(self, connection: Connection, prefix: str) -> None:
        self._connection = connection
        self._prefix = f"{prefix}/" if prefix else ""

    @property
    def uri(self) -> str:
        """gs://bucket/prefix"""
        return f"gs://{self._connection.bucket.name}/{self._prefix}".rstrip("/")

    def list(self, prefix: str = "") -> Iterator[Stat]:
        """One request per thousand objects. Skips the empty "folder/" objects that consoles and mounts create."""
        token: str | None = None
        while True:
            page, _, token = self._page(prefix, token, _ITEMS)
            for blob in page:
                name = blob.name[len(self._prefix) :]
                if not name.endswith("/") and name:
                    check_name(name, where=self.uri)
                    yield _stat_of(name, blob)
            if not token:
                return

    def folders(self) -> Iterator[str]:
        """One request per thousand."""
        token: str | None = None
        while True:
            _, found, token = self._page("", token, "prefixes", delimiter="/")
            for prefix in sorted(found, key=str.encode):
                name = prefix[len(self._prefix) : -1]
                check_name(name, where=self.uri)
                yield name
            if not token:
                return

    def _page(
        self, prefix: str, token: str | None, fields: str, *, delimiter: str | None = None, size: int | None = None
    ) -> tuple[tuple[Blob, ...], set[str], str | None]:
        """One page of a listing: objects, the names' prefixes up to a delimiter, and the next page's token."""

        def attempt(this: Try) -> tuple[tuple[Blob, ...], set[str], str | None]:
            found = self._connection.client.list_blobs(
                self._connection.bucket,
                prefix=self._prefix + prefix,
                delimiter=delimiter,
                page_token=token,
                page_size=size or LIST_PAGE,
                fields=f"{fields},nextPageToken",
                timeout=self._connection.timeout(this),
                retry=None,
            )
            return tuple(next(found.pages)), found.prefixes, found.next_page_token

        try:
            return self._connection.call("list", prefix, attempt, where=self.uri)
        except Answered404 as error:
            raise no_bucket(self._connection.bucket.name) from error

    def stat(self, name: str) -> Stat | None:
        """One request for the object's metadata."""
        self._key(name)
        found = self._connection.call(
            "stat", name, lambda this: self._look(name, this), where=self.uri, proves_bucket=False
        )
        if found is None:
            self._require_bucket()
        return found

    def _look(self, name: str, this: Try, written_by: dict[str, str] | None = None) -> Stat | None:
        """`stat` within another call's attempt: not retried by itself. None also for another writer's object."""
        blob = Blob(self._key(name), self._connection.bucket)
        try:
            blob.reload(timeout=self._connection.timeout(this), retry=None)
        except NotFound:
            return None
        if written_by is not None and blob.metadata != written_by:
            return None
        return _stat_of(name, blob)

    def read(self, name: str) -> bytes:
        """One request; the content is verified against the server's crc32c."""
        key = self._key(name)

        def attempt(this: Try) -> bytes:
            headers, data = self._connection.download(key, this)
            sent = re.search(r"crc32c=([\w+/=]+)", headers.get("X-Goog-Hash", ""))
            if not sent:
                raise StorageFailed(f"{self.uri}/{name}: the server sent no crc32c, so the content cannot be trusted")
            if crc32c_number(sent[1]) != google_crc32c.value(data):
                raise WrongChecksum(
                    f"received {len(data)} bytes with crc32c {google_crc32c.value(data)}, not {crc32c_number(sent[1])}"
                )
            return data

        return self._reading("read", name, attempt)

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """One request; the number of bytes is verified, their content cannot be."""
        if start < 0 or length < 0:
            raise ValueError(f"range {start}+{length}: start and length must not be negative")
        key = self._key(name)
        if not length:
            return b""
        beyond = f"{self.uri}/{name}: bytes {start}-{start + length - 1} requested, but the object"

        def attempt(this: Try) -> bytes:
            _, data = self._connection.download(key, this, f"bytes={start}-{start + length - 1}")
            if len(data) == length:
                return data
            facts = self._look(name, this)
            if facts and facts.size < start + length:
                raise StorageFailed(f"{beyond} has {facts.size} bytes")
            raise ShortBody(f"received {len(data)} bytes instead of {length}")

        try:
            return self._reading("read_range", name, attempt, size=length)
        except Answered416 as error:
            raise StorageFailed(f"{beyond} is shorter") from error

    def _reading(self, operation: str, name: str, attempt: Callable[[Try], bytes], size: int = 0) -> bytes:
        try:
            return self._connection.call(operation, name, attempt, where=self.uri, size=size)
        except Answered404 as error:
            self._require_bucket()
            raise StorageMissing(f"{self.uri}/{name}: no such object") from error

    def write(self, name: str, data: Content, *, if_generation: str | None = None) -> Stat:
        """One request up to 8 MiB, a resumable upload above; the server refuses content that is not what was sent.

        A failed resumable upload starts over: nothing of it is visible before its last byte is accepted.
        """
        key = self._key(name)
        with open_content(data) as source:
            size, checksum = _measure(source)
            expected = generation_number(if_generation)
            writer = {WRITER_KEY: uuid.uuid4().hex} if if_generation is not None else None

            def attempt(this: Try) -> Stat:
                nonlocal expected
                blob = Blob(key, self._connection.bucket, chunk_size=RESUMABLE_CHUNK)
                blob.metadata = writer
                source.seek(0)
                try:
                    blob.upload_from_file(
                        source,
                        size=size,
                        content_type=content_type(name),
                        if_generation_match=expected,
                        # Declared with the first request, the checksum is enforced by the server. The library's own
                        # check of a resumable upload would delete the object, even if another writer wrote it.
                        checksum="crc32c" if size <= 8 * MIB else None,
                        crc32c_checksum_value=crc32c_field(checksum),
                        timeout=(this.limit, self._connection.silence(this)),  # the first also covers sending
                        retry=None,
                    )
                except GoogleAPICallError as error:
                    if error.code == 412 and this.number > 1:
                        found = self._look(name, this, written_by=writer)
                        if found and (found.size, found.crc32c) == (size, checksum):
                            return found  # an earlier attempt was stored and its answer lost
                    raise
                stored = _stat_of(name, blob)
                if (stored.size, stored.crc32c) != (size, checksum):
                    expected = int(stored.generation)  # overwrite what we corrupted, and only that
                    raise WrongChecksum(f"stored {stored.size} bytes with crc32c {stored.crc32c}")
                return stored

            try:
                return self._connection.call("write", name, attempt, where=self.uri, size=size, role=WRITER)
            except Answered404 as error:
                raise no_bucket(self._connection.bucket.name) from error
            except Answered412 as error:
                wanted = f"generation {if_generation}" if if_generation else "no object"
                raise PreconditionFailed(f"{self.uri}/{name}: another writer was first: expected {wanted}") from error

    def delete(self, name: str, *, if_generation: str | None = None) -> None:
        """With a generation: checks it first, then sends it in two ways, so a server that knows only one is safe too.

        (fake-gcs-server 1.56 ignores ifGenerationMatch on deletes.) In a bucket with versioning such a delete leaves
        no archived version behind.
        """
        key = self._key(name)
        expected = generation_number(if_generation)
        refused = f"{self.uri}/{name}: not deleted: another writer was first: expected generation {if_generation}"

        def attempt(this: Try) -> None:
            if expected is not None:
                found = self._look(name, this)
                if found is None and (this.number > 1 or expected == 0):
                    return  # an earlier attempt deleted it and its answer was lost; or none was expected
                if found is None or found.generation != if_generation:
                    raise PreconditionFailed(refused)
            blob = Blob(key, self._connection.bucket, generation=expected)
            blob.delete(if_generation_match=expected, timeout=self._connection.timeout(this), retry=None)

        try:
            self._connection.call("delete", name, attempt, where=self.uri, role=WRITER)
        except Answered404 as error:
            self._require_bucket()
            if expected is not None:
                raise PreconditionFailed(refused) from error
        except Answered412 as error:
            raise PreconditionFailed(refused) from error

    def child(self, prefix: str) -> Storage:
        """Shares the connections."""
        return GcsStorage(self._connection, self._key(prefix))

    def _key(self, name: str) -> str:
        check_name(name, where=self.uri)
        return check_name(self._prefix + name, where=f"gs://{self._connection.bucket.name}")

    def _require_bucket(self) -> None:
        """A 404 can mean the object or the bucket; with a reader's permissions, only a listing distinguishes them."""
        if not self._connection.reached:
            self._page("", None, _ITEMS, size=1)


def _measure(source: BinaryIO) -> tuple[int, int]:
    """Size in bytes and crc32c of all that can be read."""
    size, checksum = 0, 0
    while block := source.read(MIB):
        size += len(block)
        checksum = google_crc32c.extend(checksum, block)
    return size, checksum


def _stat_of(name: str, blob: Blob) -> Stat:
    return Stat(name, int(blob.size), crc32c_number(blob.crc32c) if blob.crc32c else None, str(blob.generation))
