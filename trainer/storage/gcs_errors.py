"""What an error of Google's libraries means: whether a retry can help, and otherwise the message to show."""

import http.client
import re
from collections.abc import Iterator

import requests
import urllib3
from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError, TransportError

from trainer.storage.errors import StorageDenied, StorageFailed, StorageMissing
from trainer.storage.retry import GaveUp, RetryReason

READER = "roles/storage.objectViewer"
WRITER = "roles/storage.objectUser"


class ShortBody(Exception):
    """Fewer or more bytes were received than requested."""


class WrongChecksum(Exception):
    """The received or stored content is not what was sent."""


class Answered404(Exception):
    """Not found: the object or the bucket."""


class Answered412(Exception):
    """A precondition did not hold."""


class Answered416(Exception):
    """The range starts beyond the object's end."""


_OUTCOMES: dict[int, type[Exception]] = {404: Answered404, 412: Answered412, 416: Answered416}


def reason_of(error: Exception) -> RetryReason | None:
    """Why to retry after a failed attempt; None if a retry cannot help.

    The library passes on some errors of requests and urllib3 and wraps others, so the whole chain is checked.
    """
    if isinstance(error, GoogleAPICallError):
        return _reason_of_status(int(error.code), str(error))
    if isinstance(error, WrongChecksum):
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
    # The server refuses an upload whose bytes do not match the declared checksum.
    return RetryReason.CHECKSUM if status == 400 and "crc32c" in message.lower() else None


# In this order: a timeout while reading a body arrives as requests.ConnectionError around urllib3's ReadTimeoutError,
# a cut body as ChunkedEncodingError around IncompleteRead.
_TRANSIENT: tuple[tuple[tuple[type[BaseException], ...], RetryReason], ...] = (
    ((TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError), RetryReason.TIMEOUT),
    ((ShortBody, http.client.IncompleteRead, requests.exceptions.JSONDecodeError), RetryReason.TRUNCATED),
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


FINAL = (GaveUp, GoogleAPICallError, GoogleAuthError)
"""The errors that `explained` explains."""


def explained(error: Exception, what: str, *, bucket: str, role: str, account: str | None) -> Exception:
    """The error to raise for one of `FINAL`: an `Answered…` for the caller to explain, else a storage error.

    `what` names the object and the operation, `role` is what the operation needs on the bucket, `account` the one that
    the credentials name.
    """
    if isinstance(error, GaveUp):
        return StorageFailed(f"{what} {error}: {_one_line(error.__cause__)}")
    if isinstance(error, GoogleAuthError):
        return StorageDenied(
            f"{what}: the Google Cloud credentials were not accepted ({_one_line(error)}); run 'gcloud auth "
            f"application-default login' or check the pod's Workload Identity; then {_advice(bucket, role, account)}"
        )
    assert isinstance(error, GoogleAPICallError)
    if error.code in (401, 403):
        who = re.search(r"[\w.+-]+@[\w.-]+\w", str(error))  # Cloud Storage names the account in its response
        advice = _advice(bucket, role, who[0] if who else account)
        return StorageDenied(f"{what}: no permission ({int(error.code)}); {advice}")
    if error.code in _OUTCOMES:
        return _OUTCOMES[error.code](str(error))
    return StorageFailed(f"{what} refused with {error.code}: {_one_line(error)}")


def no_credentials(bucket: str) -> StorageDenied:
    """The error to raise when there are no Application Default Credentials."""
    return StorageDenied(
        f"gs://{bucket}: no Google Cloud credentials found; run 'gcloud auth application-default login', or in "
        "Kubernetes bind the pod's service account to one that can use the bucket (Workload Identity)"
    )


def no_bucket(bucket: str) -> StorageMissing:
    """The error to raise when a 404 means the bucket."""
    return StorageMissing(
        f"gs://{bucket}: no such bucket; check the name, or create it: gcloud storage buckets create gs://{bucket}"
    )


def _advice(bucket: str, role: str, account: str | None) -> str:
    if not account or "@" not in account:
        member = "MEMBER"
    else:
        member = f"{'serviceAccount' if account.endswith('gserviceaccount.com') else 'user'}:{account}"
    return (
        f"bucket {bucket} needs the role {role}: "
        f"gcloud storage buckets add-iam-policy-binding gs://{bucket} --member={member} --role={role}"
    )


def _one_line(error: BaseException | None) -> str:
    return " ".join(str(error).split())[:300]
