"""Error responses of the API server → one clear line and an exit code. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from k8s.exits import Cli, CliError

UNREACHABLE, UNAUTHORIZED = 0, 401
_TRANSIENT = (UNREACHABLE, 429, 500, 502, 503, 504)


class ApiError(CliError):
    """The API server refused, or could not be reached; `status` is the HTTP status, or `UNREACHABLE`."""

    def __init__(self, code: Cli, message: str, status: int) -> None:
        super().__init__(code, message, transient=status in _TRANSIENT)
        self.status = status


def unreachable(server: str, detail: str) -> ApiError:
    """No response at all."""
    return ApiError(
        Cli.PREREQUISITE,
        f"the API server {server} cannot be reached ({detail}); check --context",
        UNREACHABLE,
    )


def of_answer(status: int, body: Mapping[str, Any], what: str, namespace: str) -> ApiError:
    """An HTTP status of 400 or more, with the API's Status object; `what` is the request: "create job run-1"."""
    message = " ".join(str(body.get("message", "")).split())
    reason = str(body.get("reason", ""))
    code, text = _in_words(status, reason, message, what, namespace)
    return ApiError(code, text, status)


def _in_words(status: int, reason: str, message: str, what: str, namespace: str) -> tuple[Cli, str]:
    if status == UNAUTHORIZED:
        return Cli.PREREQUISITE, f"cannot {what}: the cluster does not accept these credentials; log in again"
    if status == 404 and (found := re.search(r'namespaces "([^"]+)" not found', message)):
        return Cli.PREREQUISITE, f"namespace {found[1]} does not exist; use another --namespace"
    if status == 404:
        return Cli.PREREQUISITE, f"cannot {what}: {message or 'not found'}"
    if status == 409 and reason == "AlreadyExists":
        return Cli.USAGE, f"cannot {what}: the name is taken; use another --name, or catdog resume or delete that run"
    if status in (400, 403, 422) and (refusal := _refusal(message)):
        return Cli.PREREQUISITE, f"cannot {what}: {refusal}"
    if status == 403:
        return Cli.PREREQUISITE, (
            f"no permission to {what} in namespace {namespace}: {_brief(message)}; "
            "ask for a binding to the Role catdog-submitter, or use another --namespace"
        )
    if status in (400, 422):
        return Cli.USAGE, f"cannot {what}: {_brief(message)}"
    return Cli.PREREQUISITE, f"cannot {what}: the API server returned {status} {_brief(message)}".rstrip()


def _refusal(message: str) -> str:
    """The reason of a refusal that is neither a missing permission nor a malformed object; else empty."""
    if "exceeded quota" in message:
        return f"a ResourceQuota in the namespace is used up: {_brief(message)}"
    if "violates PodSecurity" in message:
        return f"the namespace's Pod Security level rejects it: {_brief(message)}"
    if re.search(r"admission webhook .* denied the request|ValidatingAdmissionPolicy", message):
        return f"a cluster policy rejects it: {_brief(message)}"
    if "is being terminated" in message:
        return f"the namespace is being deleted: {_brief(message)}"
    return ""


def _brief(message: str) -> str:
    return message if len(message) <= 600 else message[:600] + "…"
