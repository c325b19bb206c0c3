import http.client

import pytest
import requests
import urllib3
from google.api_core.exceptions import from_http_status
from google.auth.exceptions import RefreshError, TransportError

from trainer.storage.errors import StorageDenied, StorageFailed
from trainer.storage.gcs_errors import (
    READER,
    Answered404,
    Answered412,
    Answered416,
    ShortBody,
    WrongChecksum,
    explained,
    reason_of,
)
from trainer.storage.retry import GaveUp, RetryReason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (from_http_status(408, "slow"), "timeout"),
        (from_http_status(429, "too many"), "throttled"),
        (from_http_status(503, "away"), "server_error"),
        (from_http_status(400, "Provided CRC32C does not match"), "checksum"),
        (from_http_status(400, "no such field"), None),
        (from_http_status(404, "nothing"), None),
        (WrongChecksum("other bytes"), "checksum"),
        (ShortBody("3 bytes"), "truncated"),
        (requests.ConnectionError(urllib3.exceptions.ReadTimeoutError(None, "", "read timed out")), "timeout"),
        (requests.exceptions.ChunkedEncodingError(http.client.IncompleteRead(b"")), "truncated"),
        (requests.ConnectionError("refused"), "connection"),
        (TransportError("no metadata server"), "credentials"),
        (RefreshError("revoked"), None),
        (KeyError("bug"), None),
    ],
)
def test_what_another_try_can_help_is_told_from_what_it_cannot(error: Exception, reason: str | None) -> None:
    assert reason_of(error) == (RetryReason(reason) if reason else None)


def told(error: Exception, account: str | None = None) -> Exception:
    return explained(error, "gs://b/run/a: read", bucket="b", role=READER, account=account)


@pytest.mark.parametrize(
    ("said", "account", "member"),
    [
        ("bot@p.iam.gserviceaccount.com does not have access", None, "serviceAccount:bot@p.iam.gserviceaccount.com"),
        ("jo@example.com does not have access", "bot@p.iam.gserviceaccount.com", "user:jo@example.com"),
        ("denied", "bot@p.iam.gserviceaccount.com", "serviceAccount:bot@p.iam.gserviceaccount.com"),
        ("denied", "default", "MEMBER"),
        ("denied", None, "MEMBER"),
    ],
)
def test_a_denial_says_what_to_grant_to_whom(said: str, account: str | None, member: str) -> None:
    error = told(from_http_status(403, said), account)
    assert type(error) is StorageDenied
    assert str(error) == (
        "gs://b/run/a: read: no permission (403); bucket b needs the role roles/storage.objectViewer: gcloud storage "
        f"buckets add-iam-policy-binding gs://b --member={member} --role=roles/storage.objectViewer"
    )


@pytest.mark.parametrize(("status", "kind"), [(404, Answered404), (412, Answered412), (416, Answered416)])
def test_an_answer_that_the_caller_has_to_explain_is_left_to_it(status: int, kind: type[Exception]) -> None:
    assert type(told(from_http_status(status, "no"))) is kind


def test_any_other_end_is_one_line_with_the_cause() -> None:
    gave_up = GaveUp(3, 20.4, RetryReason.TIMEOUT)
    gave_up.__cause__ = TimeoutError("only 5 bytes\ncame")
    error = told(gave_up)
    assert type(error) is StorageFailed
    assert str(error) == "gs://b/run/a: read gave up after 3 attempts in 20 s (timeout): only 5 bytes came"
    assert str(told(from_http_status(409, "busy\nnow"))) == "gs://b/run/a: read refused with 409: 409 busy now"
    assert str(told(RefreshError("revoked"))).startswith(
        "gs://b/run/a: read: the Google Cloud credentials were not accepted (revoked); run 'gcloud auth "
    )
