"""Requests to one bucket: retried until the deadline, limited in time, with failures explained.

The library's own retries are off (`retry=None`): they report nothing, and they resume a broken download with a ranged
request, after which no checksum is verified. Every attempt here is a whole request, counted, under one deadline.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from google.api_core.exceptions import from_http_response

from trainer.storage.gcs_errors import FINAL, READER, explained, reason_of
from trainer.storage.retry import MIB, RetryEvent, RetryPolicy, Try, keep_trying

if TYPE_CHECKING:
    from google.cloud.storage import Bucket, Client

Result = TypeVar("Result")


@dataclass
class Connection:
    """What a storage and its children share. `reached` becomes True once an answer proves that the bucket exists."""

    client: "Client"
    bucket: "Bucket"
    policy: RetryPolicy
    on_retry: Callable[[RetryEvent], None] | None
    reached: bool = False

    def call(
        self,
        operation: str,
        name: str,
        attempt: Callable[[Try], Result],
        *,
        where: str,
        size: int = 0,
        role: str = READER,
        proves_bucket: bool = True,
    ) -> Result:
        """Retries, and turns the library's errors into ours; `Answered404` and the like are for the caller to explain.

        `name` is relative to `where`, a storage's URI; `size` in bytes is what one attempt moves, where known.
        """
        try:
            result = keep_trying(
                attempt,
                operation=operation,
                name=name,
                size=size,
                policy=self.policy,
                reason_of=reason_of,
                on_retry=self.on_retry,
            )
        except FINAL as error:
            account = getattr(self.client._credentials, "service_account_email", None)
            what = f"{where}/{name}: {operation}"
            raise explained(error, what, bucket=self.bucket.name, role=role, account=account) from error
        self.reached |= proves_bucket
        return result

    def timeout(self, this: Try) -> tuple[float, float]:
        """Connect and read timeouts in seconds, as requests takes them."""
        return min(self.policy.connect, this.limit), self.silence(this)

    def silence(self, this: Try) -> float:
        """Longest silence on the connection in seconds."""
        return min(self.policy.attempt, this.limit)

    def download(self, key: str, this: Try, part: str | None = None) -> tuple[Mapping[str, str], bytes]:
        """Headers and stored bytes of an object (or of `part`, a Range header), within `call`.

        The body is read in small parts within the attempt's limit. Not with Blob.download_to_file: it reads forever
        when a body trickles in, each byte within the timeout. Accepting gzip keeps the server from decompressing
        content that was stored with that encoding: the bytes stay as stored.
        """
        url = f"{self.client.api_endpoint}/download/storage/v1{self.bucket.blob(key).path}"
        asked = {"Accept-Encoding": "gzip"} | ({"Range": part} if part else {})
        end = time.monotonic() + this.limit
        body = bytearray()
        with self.client._http.get(
            url, params={"alt": "media"}, headers=asked, stream=True, timeout=self.timeout(this)
        ) as answer:
            if answer.status_code not in (200, 206):
                raise from_http_response(answer)
            while data := answer.raw.read1(MIB, decode_content=False):
                body += data
                if time.monotonic() > end + len(body) / MIB:
                    raise TimeoutError(f"received only {len(body)} bytes in {this.limit:.0f} s")
            return answer.headers, bytes(body)
