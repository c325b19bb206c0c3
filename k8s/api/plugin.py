"""Credential plugins of a kubeconfig: commands that print a token or a client certificate.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
What a plugin prints to standard output may be a secret and is never shown; its standard error is.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO, Any

from k8s.api.errors import UNAUTHORIZED, ApiError
from k8s.exits import Cli
from trainer import documents

SILENT = "it said nothing to standard error"  # standard output may have a credential
SECONDS = 300.0  # a person may have to log in
EARLY = timedelta(seconds=10)  # a request takes a moment
_CLUSTER_FIELDS = (
    "server",
    "tls-server-name",
    "insecure-skip-tls-verify",
    "certificate-authority-data",
    "proxy-url",
    "disable-compression",
)


@dataclass(frozen=True)
class Credential:
    """What a plugin answered: a token, or a client certificate with its key (PEM), and until when."""

    token: str = ""
    certificate: str = ""
    key: str = ""
    expires: datetime | None = None

    def expired(self, now: datetime) -> bool:
        """Whether it is no longer valid, or only for a moment."""
        return self.expires is not None and self.expires - EARLY <= now


def ask(plugin: Any, user: str, cluster: Mapping[str, Any], seconds: float = SECONDS) -> Credential:
    """Run the plugin that `exec` of a user in the kubeconfig describes.

    Raises:
        ApiError: which plugin fails, and what it said.
    """
    if not isinstance(plugin, Mapping) or not isinstance(plugin.get("command"), str) or not plugin["command"]:
        raise _failed(f"the credential plugin of user {user} in the kubeconfig has no `command`")
    who = f"the credential plugin {plugin['command']} of user {user} in the kubeconfig"
    try:
        words = [plugin["command"], *map(str, plugin.get("args") or ())]
        named = {str(one["name"]): str(one["value"]) for one in plugin.get("env") or ()}
    except (TypeError, KeyError) as error:
        raise _failed(f"{who}: its `args` must be a list, and each entry of `env` have a name and a value") from error
    code, out, said = _run(words, {**os.environ, **named, **_info(plugin, cluster)}, who, plugin, seconds)
    if code != 0:
        raise _failed(f"{who} has failed with exit code {code}: {_last(said) or SILENT}")
    return _credential(out, plugin.get("apiVersion"), who, said)


def _run(
    words: list[str], environment: Mapping[str, str], who: str, plugin: Mapping[str, Any], seconds: float
) -> tuple[int, str, str]:
    """Exit code and what it printed. What it says to a person is passed on at once, if there is one."""
    person = sys.stdin.isatty() and sys.stderr.isatty() and plugin.get("interactiveMode") != "Never"
    try:
        process = subprocess.Popen(
            words,
            env=environment,
            stdin=None if person else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except (OSError, ValueError) as error:
        hint = " ".join(str(plugin.get("installHint") or "").split())
        reason = getattr(error, "strerror", None) or str(error)
        raise _failed(f"{who} cannot be started: {reason}{f'; {hint[:300]}' if hint else ''}") from error
    said: list[bytes] = []
    printed: list[bytes] = []
    readers = [
        threading.Thread(target=_read, args=(process.stderr, said, person), daemon=True),
        threading.Thread(target=_read, args=(process.stdout, printed, False), daemon=True),
    ]
    for reader in readers:
        reader.start()
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired as error:
        raise _failed(f"{who} has not answered within {seconds:g} s") from error
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for reader in readers:
            reader.join(1.0)  # a child of the plugin may keep its streams open
    return code, b"".join(printed).decode(errors="replace"), b"".join(said).decode(errors="replace")


def _read(stream: IO[bytes], into: list[bytes], shown: bool) -> None:
    with stream:
        while part := os.read(stream.fileno(), 65536):
            into.append(part)
            if shown:
                sys.stderr.write(part.decode(errors="replace"))
                sys.stderr.flush()


def _info(plugin: Mapping[str, Any], cluster: Mapping[str, Any]) -> dict[str, str]:
    spec: dict[str, Any] = {"interactive": sys.stdin.isatty() and plugin.get("interactiveMode") != "Never"}
    if plugin.get("provideClusterInfo"):
        spec["cluster"] = {name: cluster[name] for name in _CLUSTER_FIELDS if name in cluster}
        extensions = cluster.get("extensions")
        for one in extensions if isinstance(extensions, list) else ():
            if isinstance(one, Mapping) and one.get("name") == "client.authentication.k8s.io/exec":
                spec["cluster"]["config"] = one.get("extension")
    info = {"apiVersion": plugin.get("apiVersion"), "kind": "ExecCredential", "spec": spec}
    return {"KUBERNETES_EXEC_INFO": json.dumps(info, default=str, skipkeys=True)}


def _credential(out: str, version: Any, who: str, said: str) -> Credential:
    also = f"; it said: {_last(said)}" if said.strip() else ""
    try:
        answer = documents.parse(out)
        status = answer["status"]
        if answer["kind"] != "ExecCredential" or answer["apiVersion"] != version:
            raise _failed(f"{who} answered {answer['kind']} {answer['apiVersion']}; the kubeconfig expects {version}")
        expires = status.get("expirationTimestamp")
        made = Credential(
            token=str(status.get("token") or ""),
            certificate=str(status.get("clientCertificateData") or ""),
            key=str(status.get("clientKeyData") or ""),
            expires=datetime.fromisoformat(expires).astimezone(UTC) if expires else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _failed(f"{who} printed no ExecCredential{also}") from error
    if not made.token and not (made.certificate and made.key):
        raise _failed(f"{who} gave neither a token nor a certificate with its key{also}")
    return made


def _last(text: str) -> str:
    """The last lines of what a program said, in one."""
    return " / ".join(line.strip() for line in text.splitlines() if line.strip())[-400:]


def _failed(message: str) -> ApiError:
    return ApiError(Cli.PREREQUISITE, message, UNAUTHORIZED)
