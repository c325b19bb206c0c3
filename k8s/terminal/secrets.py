"""Hides what looks like a secret, by its name or its form, in what people pass on. Pure.

A net, not a wall: what is neither named nor formed like a secret stays.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from trainer import documents

HIDDEN = "(hidden)"
_NAME = r"(?:secret|token|passw|credential|private|api.?key|access.?key|authorization|signature)"
_SECRET = re.compile(rf"(?i)({_NAME}|_key$)")
_IN_TEXT = (
    # PEM bodies, also where line breaks are written as \\n.
    (re.compile(r"-----BEGIN [^-]*PRIVATE KEY-----.*?(-----END [^-]*-----|$)", re.DOTALL), HIDDEN),
    (re.compile(r"(?i)((?:bearer|basic)\s+)[\w.~+/=-]{8,}"), r"\1" + HIDDEN),
    # A signed URL's signature, and NAME=value, NAME: value, "NAME": "value" where the name says it.
    (re.compile(rf"(?i)((?:[\w.-]*{_NAME}[\w.-]*|\bkey)[\"']?\s*=\s*[\"']?)[^&\s\"',;(]+"), r"\1" + HIDDEN),
    (
        re.compile(rf"(?i)([\w.-]*{_NAME}[\w.-]*[\"']?:\s*[\"']?)(?!bearer|basic|\d+\b)[^&\s\"',;(/{{\[]{{6,}}"),
        r"\1" + HIDDEN,
    ),
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+@"), r"\1" + HIDDEN + "@"),
    # Tokens by their form: JSON Web Tokens, Google, Hugging Face, GitHub, GitLab, AWS, Slack, and `sk-`.
    (
        re.compile(
            r"\b(eyJ[\w-]{8,}\.[\w-]+\.[\w-]*|ya29\.[\w.-]{8,}|AIza[\w-]{20,}|GOCSPX-[\w-]{8,}|hf_\w{16,}|gh[pousr]_\w{16,}"
            r"|github_pat_\w{16,}|glpat-[\w-]{16,}|(?:AKIA|ASIA)[0-9A-Z]{12,}|xox[abprs]-[\w-]{8,}|sk-[\w-]{16,})"
        ),
        HIDDEN,
    ),
)


def hide(value: Any) -> Any:
    """The same value without managedFields, with fields and variables hidden that are named like secrets."""
    if isinstance(value, Mapping):
        named = str(value.get("name", ""))
        return {
            name: HIDDEN if _is_secret(str(name), named, one) else hide(one)
            for name, one in value.items()
            if name != "managedFields"
        }
    if isinstance(value, (list, tuple)):
        return [hide(one) for one in value]
    if isinstance(value, str) and value[:1] in ("{", "["):
        return _hide_in_json(value)
    return value


def _is_secret(name: str, named: str, value: Any) -> bool:
    """Whether a field, or the `value` of what is `named`, is a secret; the names of Kubernetes' references are none."""
    texts = isinstance(value, str) or (
        isinstance(value, list | tuple) and bool(value) and all(isinstance(one, str) for one in value)
    )
    return texts and bool(_SECRET.search(name) or (name == "value" and _SECRET.search(named)))


def _hide_in_json(text: str) -> str:
    """JSON in an annotation: what `kubectl apply` last applied has the values of variables."""
    try:
        return json.dumps(hide(documents.parse(text)))
    except ValueError:
        return text


def hide_in_text(text: str) -> str:
    """The same text with everything hidden that looks like a secret."""
    for pattern, instead in _IN_TEXT:
        text = pattern.sub(instead, text)
    return text
