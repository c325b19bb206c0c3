"""YAML that users write: files and parts of them, refused in one line that names them."""

from pathlib import Path
from typing import Any

import yaml

# PyYAML raises what its constructors raise for a date, a number or a tag that makes no sense: `a: 2026-99-99`.
_NOT_YAML = (yaml.YAMLError, ValueError, KeyError, AttributeError, TypeError, RecursionError)


LARGEST, DEEPEST = 100_000, 100
"""Values in a document, and levels: far more than anybody writes. Aliases make a short one endless, or huge."""


class DocumentError(ValueError):
    """A document cannot be read; the message is one line, and begins with its path."""


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        DocumentError: when it cannot be read, or is not text.
        FileNotFoundError: when it does not exist.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(*error.args) from error
    except OSError as error:
        raise DocumentError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DocumentError(f"{path}: not a text file (UTF-8)") from error


def parse(text: str, where: str) -> Any:
    """What a YAML document says; raises DocumentError when it is not YAML, or endless."""
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        deep = _deep(text, loader)
        found = None if deep else yaml.load(text, Loader=loader)
    except _NOT_YAML as error:
        first = " ".join(str(error).split())[:200]
        raise DocumentError(f"{where}: not YAML: {first}") from error
    if deep or _endless(found):
        raise DocumentError(f"{where}: more than {LARGEST:,} values or {DEEPEST} levels; it must be smaller")
    return found


def _deep(text: str, loader: Any) -> bool:
    """Whether a text has more than DEEPEST levels: the fast loader ends the process where there are very many."""
    level = 0
    for event in yaml.parse(text, Loader=loader):
        level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if level > DEEPEST:
            return True
    return False


def _endless(found: Any) -> bool:
    """Whether a value has more than LARGEST parts, counted as often as they are named, or more than DEEPEST levels."""
    left, count = [(found, 0)], 0
    while left:
        value, depth = left.pop()
        count += 1
        if count > LARGEST or depth > DEEPEST:
            return True
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
        left += [(part, depth + 1) for part in parts]
    return False
