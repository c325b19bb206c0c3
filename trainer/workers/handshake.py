"""Workers of a gang prove to each other that they know the gang's secret, so that no stranger trains with them.

Each side chooses a number that it has never used before, and each proves that it knows the secret by an HMAC-SHA256
over both numbers, the run, the worker's rank, and all else that it has registered with. A proof is of no use in another
connection, for another run or rank, or in the other direction. The secret itself is never sent.

Without a secret nothing is proved and nothing asked for. What follows the handshake is not protected by it: whoever can
change packets on their way can do so afterwards, and TensorFlow's own port knows no handshake at all.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainer.contract import ENV_RUN_UID, ENV_SECRET
from trainer.exits import Exit, ExitError

SHORTEST = 16
"""Characters of a secret."""
_PROTOCOL = "catdog rendezvous 1"
_HOST, _GUEST = "rank 0", "worker"


@dataclass(frozen=True)
class Credential:
    """What the members of one gang know. It is shown nowhere: not even its representation has the secret."""

    secret: bytes = field(repr=False)
    run: str


class NotProved(ValueError):
    """The other side does not know the secret, or knows it of another run."""


def credential_of(environment: Mapping[str, str]) -> Credential | None:
    """The credential in the environment, None without a secret.

    Raises:
        ExitError: 64 for a secret that is too short to be one: an empty one must not be taken for none.
    """
    secret = environment.get(ENV_SECRET)
    if secret is None:
        return None
    if len(secret) < SHORTEST:
        raise ExitError(
            Exit.BAD_OPTION,
            f"{ENV_SECRET} has {len(secret)} characters; the secret of a gang must have at least {SHORTEST}",
        )
    return Credential(secret.encode(errors="surrogateescape"), environment.get(ENV_RUN_UID, ""))


def new_secret() -> str:
    """A secret for a gang on this machine."""
    return secrets.token_hex(32)


def new_nonce() -> str:
    """A number that was never used before."""
    return secrets.token_hex(32)


def challenge(credential: Credential, registration: Mapping[str, Any], nonce: str) -> dict[str, str]:
    """Rank 0's answer to a worker that registers: its own number, and its proof."""
    return {"challenge": nonce, "proof": _proof(credential, _HOST, registration, nonce)}


def response(credential: Credential, registration: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, str]:
    """A worker's proof, once rank 0 has given its own.

    Raises:
        NotProved: the answer proves nothing.
    """
    nonce = answer.get("challenge")
    if not isinstance(nonce, str):
        raise NotProved("rank 0 does not prove that it knows the gang's secret")
    _require(credential, _HOST, registration, nonce, answer)
    return {"proof": _proof(credential, _GUEST, registration, nonce)}


def admit(credential: Credential, registration: Mapping[str, Any], nonce: str, answer: Mapping[str, Any]) -> None:
    """Check a worker's proof; `nonce` is the number that it was given.

    Raises:
        NotProved: it proves nothing.
    """
    _require(credential, _GUEST, registration, nonce, answer)


def _require(
    credential: Credential, role: str, registration: Mapping[str, Any], nonce: str, answer: Mapping[str, Any]
) -> None:
    given = answer.get("proof")
    expected = _proof(credential, role, registration, nonce)
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(errors="replace"), expected.encode()):
        raise NotProved(f"the {role} has another secret than this one, or is of another run")


def _proof(credential: Credential, role: str, registration: Mapping[str, Any], nonce: str) -> str:
    said = json.dumps([_PROTOCOL, role, credential.run, nonce, dict(registration)], sort_keys=True)
    return hmac.new(credential.secret, said.encode(), hashlib.sha256).hexdigest()
