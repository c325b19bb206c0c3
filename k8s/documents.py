"""YAML that users write: files and parts of them, refused in one line that names them."""

from pathlib import Path
from typing import Any

import yaml

# PyYAML raises what its constructors raise for a date, a number or a tag that makes no sense: `a: 2026-99-99`.
_NOT_YAML = (yaml.YAMLError, ValueError, KeyError, AttributeError, TypeError, RecursionError)


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
    """What a YAML document says; raises DocumentError when it is not YAML."""
    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except _NOT_YAML as error:
        first = " ".join(str(error).split())[:200]
        raise DocumentError(f"{where}: not YAML: {first}") from error
