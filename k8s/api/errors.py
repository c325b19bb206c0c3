"""What the API server answers when it does not do what was asked → one clear line and an exit code. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from k8s.exits import Cli, CliError

UNREACHABLE = 0
_TRANSIENT = (UNREACHABLE, 429, 500, 502, 503, 504)


class ApiError(CliError):
    """The API server refused, or was not reached; `status` is HTTP's, `UNREACHABLE` when there was no answer."""

    def __init__(self, code: Cli, message: str, status: int) -> None:
        super().__init__(code, message, transient=status in _TRANSIENT)
        self.status = status


def unreachable(server: str, detail: str) -> ApiError:
    """No answer at all."""
    return ApiError(
        Cli.PREREQUISITE,
        f"the API server {server} does not answer ({detail}); is this the right --context?",
        UNREACHABLE,
    )


def of_answer(status: int, body: Mapping[str, Any], what: str, namespace: str) -> ApiError:
    """An HTTP status of 400 or more, with the API's Status object; `what` is the request: "create job run-1"."""
    message = " ".join(str(body.get("message", "")).split())
    reason = str(body.get("reason", ""))
    code, text = _in_words(status, reason, message, what, namespace)
    return ApiError(code, text, status)


def _in_words(status: int, reason: str, message: str, what: str, namespace: str) -> tuple[Cli, str]:
    if status == 401:
        return Cli.PREREQUISITE, f"cannot {what}: the cluster does not accept these credentials; log in again"
    if status == 404 and (found := re.search(r'namespaces "([^"]+)" not found', message)):
        return Cli.PREREQUISITE, f"namespace {found[1]} does not exist; name another with --namespace"
    if status == 404:
        return Cli.PREREQUISITE, f"cannot {what}: {message or 'not found'}"
    if status == 409 and reason == "AlreadyExists":
        return Cli.USAGE, f"cannot {what}: the name is taken; use another --name, or catdog resume or delete that run"
    if status in (400, 403, 422) and (refusal := _refusal(message)):
        return Cli.PREREQUISITE, f"cannot {what}: {refusal}"
    if status == 403:
        return Cli.PREREQUISITE, (
            f"no permission to {what} in namespace {namespace}: {_brief(message)}; "
            "ask for a binding to the Role catdog-submitter, or name another --namespace"
        )
    if status in (400, 422):
        return Cli.USAGE, f"cannot {what}: {_brief(message)}"
    return Cli.PREREQUISITE, f"cannot {what}: the API server says {status} {_brief(message)}".rstrip()


def _refusal(message: str) -> str:
    """In words, a refusal that is neither a missing right nor a malformed object; empty otherwise."""
    if "exceeded quota" in message:
        return f"a ResourceQuota of the namespace is used up: {_brief(message)}"
    if "violates PodSecurity" in message:
        return f"the namespace's Pod Security level refuses it: {_brief(message)}"
    if re.search(r"admission webhook .* denied the request|ValidatingAdmissionPolicy", message):
        return f"a policy of the cluster refuses it: {_brief(message)}"
    if "is being terminated" in message:
        return f"the namespace is being deleted: {_brief(message)}"
    return ""


def _brief(message: str) -> str:
    return message if len(message) <= 600 else message[:600] + "…"
