"""Storage in a Google Cloud Storage bucket; the only importer of google.cloud.

The library's own retries are off (`retry=None`): they report nothing, and they resume a broken download with a ranged
request, after which no checksum is compared. Every attempt here is a whole request, counted, under one deadline.
STORAGE_EMULATOR_HOST is honoured, without credentials; else Application Default Credentials are used.
"""

import base64
import http.client
import mimetypes
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

import google_crc32c
import requests
import urllib3
from google.api_core.exceptions import GoogleAPICallError, NotFound, from_http_response
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
from google.cloud.storage import Blob, Bucket, Client
from requests.adapters import HTTPAdapter

from trainer.exits import Exit, ExitError
from trainer.storage.base import (
    Content,
    PreconditionFailed,
    Stat,
    Storage,
    StorageDenied,
    StorageFailed,
    StorageMissing,
    check_name,
    open_source,
)
from trainer.storage.retry import MIB, Attempt, GaveUp, RetryEvent, RetryPolicy, RetryReason, keep_trying

RESUMABLE_CHUNK = 32 * MIB
"""Bytes sent per request of a resumable upload, which the library uses above 8 MiB; held in memory once."""

WRITER_KEY = "catdog-write"
"""Custom metadata of a conditional write, a number of its own: tells our lost answer from a rival's equal content."""

LIST_PAGE = 1000
_STAT_FIELDS = "name,size,crc32c,generation"

READER = "roles/storage.objectViewer"
WRITER = "roles/storage.objectUser"

Result = TypeVar("Result")


class _ShortBody(Exception):
    """Fewer or more bytes came than were asked for."""


class _WrongChecksum(Exception):
    """What came, or what was stored, is not what was sent."""


@dataclass
class _Connection:
    """What a storage and its children share. `reached` becomes True with the first answer that proves the bucket."""

    client: Client
    bucket: Bucket
    policy: RetryPolicy
    on_retry: Callable[[RetryEvent], None] | None
    reached: bool = False


def connect(
    bucket: str,
    prefix: str,
    *,
    concurrency: int,
    on_retry: Callable[[RetryEvent], None] | None,
    policy: RetryPolicy,
) -> "GcsStorage":
    """Finds the credentials and prepares the connection pool; makes no request to the bucket.

    Raises `StorageDenied` without credentials, `ExitError` 64 for an impossible bucket name.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", bucket):
        raise ExitError(Exit.BAD_OPTION, f"gs://{bucket}: not a bucket name; use gs://bucket/prefix")
    prefix = prefix.strip("/")
    if prefix:
        check_name(prefix, where=f"gs://{bucket}")
    try:
        client = Client(project=None, client_options=_endpoint())
    except DefaultCredentialsError as error:
        raise StorageDenied(
            f"gs://{bucket}: no Google Cloud credentials found; run 'gcloud auth application-default login', or in "
            "Kubernetes bind the pod's service account to one that may use the bucket (Workload Identity)"
        ) from error
    # Else release 3.17 asks for the bucket's metadata behind our back, with a right (buckets.get) that nobody needs.
    client._bucket_metadata_cache = None
    session = client._http
    if not session.is_mtls:  # mutual TLS needs the adapter that google.auth has mounted
        adapter = HTTPAdapter(pool_connections=4, pool_maxsize=concurrency)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
    return GcsStorage(_Connection(client, client.bucket(bucket), policy, on_retry), prefix)


def _endpoint() -> dict[str, str] | None:
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    return {"api_endpoint": emulator if "://" in emulator else f"http://{emulator}"} if emulator else None


class GcsStorage:
    """Objects below a prefix of a bucket; see `base.Storage` for the methods. Opened by `connect`."""

    def __init__(self, connection: _Connection, prefix: str) -> None:
        self._connection = connection
        self._prefix = f"{prefix}/" if prefix else ""

    @property
    def uri(self) -> str:
        """gs://bucket/prefix"""
        return f"gs://{self._connection.bucket.name}/{self._prefix}".rstrip("/")

    def list(self, prefix: str = "") -> Iterator[Stat]:
        """One request per thousand objects. Skips the empty "folder/" objects that consoles and mounts make."""
        token: str | None = None
        while True:
            page, token = self._page(prefix, token)
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
            page, token = self._folder_page(token)
            for prefix in sorted(page, key=str.encode):
                name = prefix[len(self._prefix) : -1]
                check_name(name, where=self.uri)
                yield name
            if not token:
                return

    def _folder_page(self, token: str | None) -> tuple[set[str], str | None]:
        def attempt(this: Attempt) -> tuple[set[str], str | None]:
            found = self._connection.client.list_blobs(
                self._connection.bucket,
                prefix=self._prefix,
                delimiter="/",
                page_token=token,
                page_size=LIST_PAGE,
                fields="prefixes,nextPageToken",
                timeout=self._timeout(this),
                retry=None,
            )
            next(found.pages)
            return found.prefixes, found.next_page_token

        try:
            return self._call("list", "", attempt)
        except _NotFound as error:
            raise self._no_bucket() from error

    def _page(self, prefix: str, token: str | None, size: int | None = None) -> tuple[tuple[Blob, ...], str | None]:
        def attempt(this: Attempt) -> tuple[tuple[Blob, ...], str | None]:
            found = self._connection.client.list_blobs(
                self._connection.bucket,
                prefix=self._prefix + prefix,
                page_token=token,
                page_size=size or LIST_PAGE,
                fields=f"items({_STAT_FIELDS}),nextPageToken",
                timeout=self._timeout(this),
                retry=None,
            )
            return tuple(next(found.pages)), found.next_page_token

        try:
            return self._call("list", prefix, attempt)
        except _NotFound as error:
            raise self._no_bucket() from error

    def stat(self, name: str) -> Stat | None:
        """One request for the object's metadata."""
        self._key(name)
        found = self._call("stat", name, lambda this: self._look(name, this), proves_bucket=False)
        if found is None:
            self._require_bucket()
        return found

    def _look(self, name: str, this: Attempt, written_by: dict[str, str] | None = None) -> Stat | None:
        """`stat` within another call's attempt: not retried by itself. None also for another writer's object."""
        blob = Blob(self._key(name), self._connection.bucket)
        try:
            blob.reload(timeout=self._timeout(this), retry=None)
        except NotFound:
            return None
        if written_by is not None and blob.metadata != written_by:
            return None
        return _stat_of(name, blob)

    def read(self, name: str) -> bytes:
        """One request; the content is compared with the crc32c that the server keeps of it."""
        key = self._key(name)

        def attempt(this: Attempt) -> bytes:
            headers, data = self._download(key, this)
            sent = re.search(r"crc32c=([\w+/=]+)", headers.get("X-Goog-Hash", ""))
            if not sent:
                raise StorageFailed(f"{self.uri}/{name}: the server sent no crc32c, so the content cannot be trusted")
            if _number(sent[1]) != google_crc32c.value(data):
                raise _WrongChecksum(
                    f"{len(data)} bytes came of crc32c {google_crc32c.value(data)}, not {_number(sent[1])}"
                )
            return data

        return self._reading("read", name, attempt)

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """One request; the number of bytes is verified, their content cannot be."""
        if start < 0 or length < 0:
            raise ValueError(f"range {start}+{length}: neither may be negative")
        key = self._key(name)
        if not length:
            return b""
        beyond = f"{self.uri}/{name}: bytes {start}-{start + length - 1} asked for, but the object"

        def attempt(this: Attempt) -> bytes:
            _, data = self._download(key, this, f"bytes={start}-{start + length - 1}")
            if len(data) == length:
                return data
            facts = self._look(name, this)
            if facts and facts.size < start + length:
                raise StorageFailed(f"{beyond} has {facts.size} bytes")
            raise _ShortBody(f"{len(data)} bytes came instead of {length}")

        try:
            return self._reading("read_range", name, attempt, size=length)
        except _Unsatisfiable as error:
            raise StorageFailed(f"{beyond} is shorter") from error

    def _download(self, key: str, this: Attempt, part: str | None = None) -> tuple[Mapping[str, str], bytes]:
        """Headers and stored bytes, in small reads against the attempt's limit.

        Not Blob.download_to_file: below it a body that trickles in, each byte within the timeout, is read for ever.
        Asking for gzip keeps the server from unpacking what was stored with that encoding: bytes stay bytes.
        """
        connection = self._connection
        url = f"{connection.client.api_endpoint}/download/storage/v1{Blob.path_helper(connection.bucket.path, key)}"
        asked = {"Accept-Encoding": "gzip"} | ({"Range": part} if part else {})
        end = time.monotonic() + this.limit
        body = bytearray()
        with connection.client._http.get(
            url, params={"alt": "media"}, headers=asked, stream=True, timeout=self._timeout(this)
        ) as answer:
            if answer.status_code not in (200, 206):
                raise from_http_response(answer)
            while data := answer.raw.read1(MIB, decode_content=False):
                body += data
                if time.monotonic() > end + len(body) / MIB:
                    raise TimeoutError(f"only {len(body)} bytes came in {this.limit:.0f} s")
            return answer.headers, bytes(body)

    def _reading(self, operation: str, name: str, attempt: Callable[[Attempt], bytes], size: int = 0) -> bytes:
        try:
            return self._call(operation, name, attempt, size=size)
        except _NotFound as error:
            self._require_bucket()
            raise StorageMissing(f"{self.uri}/{name}: no such object") from error

    def write(self, name: str, data: Content, *, if_generation: str | None = None) -> Stat:
        """One request up to 8 MiB, a resumable upload above; the server refuses content that is not as sent.

        A failed resumable upload begins anew: nothing of it is visible before its last byte is accepted.
        """
        key = self._key(name)
        with open_source(data) as source:
            size, checksum = _measure(source)
            expected = _generation_number(if_generation)
            writer = {WRITER_KEY: uuid.uuid4().hex} if if_generation is not None else None

            def attempt(this: Attempt) -> Stat:
                nonlocal expected
                blob = Blob(key, self._connection.bucket, chunk_size=RESUMABLE_CHUNK)
                blob.metadata = writer
                source.seek(0)
                try:
                    blob.upload_from_file(
                        source,
                        size=size,
                        content_type=_content_type(name),
                        if_generation_match=expected,
                        # Declared with the first request, the checksum is the server's to enforce. The library's own
                        # check of a resumable upload would delete the object, whoever wrote it meanwhile.
                        checksum="crc32c" if size <= 8 * MIB else None,
                        crc32c_checksum_value=base64.b64encode(checksum.to_bytes(4, "big")).decode(),
                        timeout=(this.limit, self._silence(this)),  # the first covers sending too
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
                    expected = int(stored.generation)  # overwrite what we spoiled, and only that
                    raise _WrongChecksum(f"stored {stored.size} bytes of crc32c {stored.crc32c}")
                return stored

            try:
                return self._call("write", name, attempt, size=size, role=WRITER)
            except _NotFound as error:
                raise self._no_bucket() from error
            except _Conflict as error:
                wanted = f"generation {if_generation}" if if_generation else "no object"
                raise PreconditionFailed(f"{self.uri}/{name}: another writer was first: expected {wanted}") from error

    def delete(self, name: str, *, if_generation: str | None = None) -> None:
        """With a generation: looks first, then names it twice, so that a server which knows only one way is safe too.

        (fake-gcs-server 1.56 ignores ifGenerationMatch on deletes.) In a bucket with versioning such a delete leaves
        no archived version behind.
        """
        key = self._key(name)
        expected = _generation_number(if_generation)
        refused = f"{self.uri}/{name}: not deleted: another writer was first: expected generation {if_generation}"

        def attempt(this: Attempt) -> None:
            if expected is not None:
                found = self._look(name, this)
                if found is None and (this.number > 1 or expected == 0):
                    return  # an earlier attempt deleted it and its answer was lost; or none was expected
                if found is None or found.generation != if_generation:
                    raise PreconditionFailed(refused)
            blob = Blob(key, self._connection.bucket, generation=expected)
            blob.delete(if_generation_match=expected, timeout=self._timeout(this), retry=None)

        try:
            self._call("delete", name, attempt, role=WRITER)
        except _NotFound as error:
            self._require_bucket()
            if expected is not None:
                raise PreconditionFailed(refused) from error
        except _Conflict as error:
            raise PreconditionFailed(refused) from error

    def child(self, prefix: str) -> Storage:
        """Shares the connections."""
        return GcsStorage(self._connection, self._key(prefix))

    def _key(self, name: str) -> str:
        check_name(name, where=self.uri)
        return check_name(self._prefix + name, where=f"gs://{self._connection.bucket.name}")

    def _timeout(self, this: Attempt) -> tuple[float, float]:
        """Seconds to connect, and of silence, as requests takes them."""
        return min(self._connection.policy.connect, this.limit), self._silence(this)

    def _silence(self, this: Attempt) -> float:
        return min(self._connection.policy.attempt, this.limit)

    def _require_bucket(self) -> None:
        """A 404 may mean the object or the bucket; only a listing tells them apart with a reader's rights."""
        if not self._connection.reached:
            self._page("", None, size=1)

    def _no_bucket(self) -> StorageMissing:
        bucket = self._connection.bucket.name
        return StorageMissing(
            f"gs://{bucket}: no such bucket; check the name, or make it: gcloud storage buckets create gs://{bucket}"
        )

    def _call(
        self,
        operation: str,
        name: str,
        attempt: Callable[[Attempt], Result],
        *,
        size: int = 0,
        role: str = READER,
        proves_bucket: bool = True,
    ) -> Result:
        """Retries, and turns the library's errors into ours; `_NotFound` and the like are for the caller to explain."""
        what = f"{self.uri}/{name}: {operation}"
        try:
            result = keep_trying(
                attempt,
                operation=operation,
                name=name,
                size=size,
                policy=self._connection.policy,
                reason_of=reason_of,
                on_retry=self._connection.on_retry,
            )
        except GaveUp as error:
            raise StorageFailed(f"{what} {error}: {_one_line(error.__cause__)}") from error
        except GoogleAPICallError as error:
            if error.code in (401, 403):
                raise self._denied(error, what, role) from error
            if error.code in _OUTCOMES:
                raise _OUTCOMES[error.code](str(error)) from error
            raise StorageFailed(f"{what} refused with {error.code}: {_one_line(error)}") from error
        except GoogleAuthError as error:
            raise StorageDenied(
                f"{what}: the Google Cloud credentials were not accepted ({_one_line(error)}); run 'gcloud auth "
                f"application-default login' or check the pod's Workload Identity; then {self._advice(role, None)}"
            ) from error
        self._connection.reached |= proves_bucket
        return result

    def _denied(self, error: GoogleAPICallError, what: str, role: str) -> StorageDenied:
        who = re.search(r"[\w.+-]+@[\w.-]+\w", str(error))  # Cloud Storage names the account in its answer
        return StorageDenied(
            f"{what}: no permission ({int(error.code)}); {self._advice(role, who[0] if who else None)}"
        )

    def _advice(self, role: str, account: str | None) -> str:
        bucket = self._connection.bucket.name
        account = account or getattr(self._connection.client._credentials, "service_account_email", None)
        if not account or "@" not in account:
            member = "MEMBER"
        else:
            member = f"{'serviceAccount' if account.endswith('gserviceaccount.com') else 'user'}:{account}"
        return (
            f"bucket {bucket} needs the role {role}: "
            f"gcloud storage buckets add-iam-policy-binding gs://{bucket} --member={member} --role={role}"
        )


class _NotFound(Exception):
    """404: the object or the bucket."""


class _Conflict(Exception):
    """412: a precondition did not hold."""


class _Unsatisfiable(Exception):
    """416: the range begins beyond the object's end."""


_OUTCOMES: dict[int, type[Exception]] = {404: _NotFound, 412: _Conflict, 416: _Unsatisfiable}


def reason_of(error: Exception) -> RetryReason | None:
    """Why a failed attempt deserves another; None where it does not.

    The library passes some errors of requests and urllib3 on bare and wraps others, so the whole chain is looked at.
    """
    if isinstance(error, GoogleAPICallError):
        return _reason_of_status(int(error.code), str(error))
    if isinstance(error, _WrongChecksum):
        return RetryReason.CHECKSUM
    if isinstance(error, GoogleAuthError):
        transport = isinstance(error, TransportError) or isinstance(error.__cause__, TransportError)
        return RetryReason.CREDENTIALS if transport or error.retryable else None
    kinds = [type(link) for link in _chain(error)]
    for classes, reason in _TRANSIENT:
        if any(issubclass(kind, classes) for kind in kinds):
            return reason
    return None


def _reason_of_status(status: int, message: str) -> RetryReason | None:
    if status == 408:
        return RetryReason.TIMEOUT
    if status == 429:
        return RetryReason.THROTTLED
    if status >= 500:
        return RetryReason.SERVER_ERROR
    # The server refuses an upload whose bytes are not those of the declared checksum.
    return RetryReason.CHECKSUM if status == 400 and "crc32c" in message.lower() else None


# In this order: a timeout while reading a body arrives as requests.ConnectionError around urllib3's ReadTimeoutError,
# a cut body as ChunkedEncodingError around IncompleteRead.
_TRANSIENT: tuple[tuple[tuple[type[BaseException], ...], RetryReason], ...] = (
    ((TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError), RetryReason.TIMEOUT),
    ((_ShortBody, http.client.IncompleteRead, requests.exceptions.JSONDecodeError), RetryReason.TRUNCATED),
    (
        (
            ConnectionError,
            requests.ConnectionError,
            requests.exceptions.ChunkedEncodingError,
            urllib3.exceptions.ProtocolError,
            urllib3.exceptions.SSLError,
        ),
        RetryReason.CONNECTION,
    ),
)


def _chain(error: BaseException) -> Iterator[BaseException]:
    yield error
    for inner in (*error.args, getattr(error, "reason", None), error.__cause__):
        if isinstance(inner, BaseException) and inner is not error:
            yield from _chain(inner)


def _measure(source: BinaryIO) -> tuple[int, int]:
    """Size in bytes and crc32c of all that can be read."""
    size, checksum = 0, 0
    while block := source.read(MIB):
        size += len(block)
        checksum = google_crc32c.extend(checksum, block)
    return size, checksum


def _stat_of(name: str, blob: Blob) -> Stat:
    return Stat(name, int(blob.size), _number(blob.crc32c) if blob.crc32c else None, str(blob.generation))


def _number(checksum: str) -> int:
    """A crc32c in Cloud Storage's form, base64 of the big-endian number: https://datatracker.ietf.org/doc/html/rfc4960"""
    return int.from_bytes(base64.b64decode(checksum), "big")


def _generation_number(token: str | None) -> int | None:
    """What Cloud Storage compares with: 0 stands for no object."""
    if token is None:
        return None
    if token and not token.isdecimal():
        raise PreconditionFailed(f"{token!r} is not a generation that a bucket gave out")
    return int(token or 0)


def _content_type(name: str) -> str:
    kind, encoding = mimetypes.guess_type(name, strict=False)
    return kind if kind and not encoding else "application/octet-stream"


def _one_line(error: BaseException | None) -> str:
    return " ".join(str(error).split())[:300]
