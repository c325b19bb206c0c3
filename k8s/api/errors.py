"""Error responses of the API server → one clear line and an exit code. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from k8s.exits import Cli, CliError

UNREACHABLE, UNAUTHORIZED = 0, 401
NO_TLS, STRANGER = -1, -2  # no HTTP status of the API server
_TRANSIENT = (UNREACHABLE, 429, 500, 502, 503, 504)


class ApiError(CliError):
    """The API server refused, or could not be reached; `status` is the HTTP status, or one of the names above."""

    def __init__(self, code: Cli, message: str, status: int) -> None:
        super().__init__(code, message, transient=status in _TRANSIENT)
        self.status = status


def unreachable(server: str, detail: str) -> ApiError:
    """No response at all."""
    check = "HTTPS_PROXY and NO_PROXY" if "proxy" in detail.lower() else "--context"
    return ApiError(
        Cli.PREREQUISITE, f"the API server {server} cannot be reached ({detail}); check {check}", UNREACHABLE
    )


def of_tls(server: str, detail: str) -> ApiError:
    """No encrypted connection: a certificate, of either side, that the other does not accept; or no TLS there."""
    return ApiError(
        Cli.PREREQUISITE,
        f"no TLS connection to the API server {server}: {detail}; check the certificates and the server's address "
        "in the kubeconfig, or --context",
        NO_TLS,
    )


def of_stranger(server: str, status: int, body: bytes, what: str) -> ApiError:
    """An answer that no Kubernetes API server gives: a page of a proxy, a log-in form."""
    text = " ".join(re.sub(r"<style.*?</style>|<script.*?</script>|<[^>]*>", " ", _decoded(body)).split())
    return ApiError(
        Cli.PREREQUISITE,
        f"cannot {what}: {server} answered HTTP {status} with what is not from a Kubernetes API server"
        f"{f' ({text[:100]})' if text else ''}; check HTTPS_PROXY, NO_PROXY and --context",
        status if status in _TRANSIENT else STRANGER,
    )


def _decoded(body: bytes) -> str:
    return body[:20000].decode(errors="replace")


def of_answer(status: int, body: Mapping[str, Any], what: str, namespace: str) -> ApiError:
    """An HTTP status of 400 or more, with the API's Status object; `what` is the request: "create job run-1"."""
    message = " ".join(str(body.get("message", "")).split())
    reason = str(body.get("reason", ""))
    code, text = _in_words(status, reason, message, what, namespace)
    return ApiError(code, text, status)


def _in_words(status: int, reason: str, message: str, what: str, namespace: str) -> tuple[Cli, str]:
    if status == UNAUTHORIZED:
        return Cli.PREREQUISITE, (
            f"cannot {what}: the cluster does not accept these credentials (wrong, or expired); log in again"
        )
    if status == 404 and (found := re.search(r'namespaces "([^"]+)" not found', message)):
        return Cli.PREREQUISITE, f"namespace {found[1]} does not exist; use another --namespace"
    if status == 404:
        return Cli.PREREQUISITE, f"cannot {what}: {message or 'not found'}"
    if status == 409 and reason == "AlreadyExists":
        return Cli.USAGE, f"cannot {what}: the name is taken; use another --name, or catdog resume or delete that run"
    if status in (400, 403, 422) and (refusal := _refusal(message)):
        return Cli.PREREQUISITE, f"cannot {what}: {refusal}"
    if status == 400 and "HTTP request to an HTTPS server" in message:
        return (
            Cli.PREREQUISITE,
            f"cannot {what}: the API server speaks TLS; `server` in the kubeconfig must be https://",
        )
    if status == 403 and '"system:anonymous"' in message:
        return Cli.PREREQUISITE, (
            f"cannot {what}: the request had no credentials (system:anonymous); log in, or check the context's user"
        )
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
