"""JSON that somebody else may have written, or damaged: parsed, or refused with one kind of error."""

import json
from collections.abc import Callable
from typing import Any

DEEPEST = 100
"""Levels: far more than any document of ours has. Python ends with a RecursionError somewhere above a thousand."""


def parse(text: str | bytes, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """What a JSON document says; `pairs` as json's `object_pairs_hook`.

    Raises:
        ValueError: it is not JSON, or nested deeper than DEEPEST levels.
    """
    try:
        found = json.loads(text, object_pairs_hook=pairs)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    level = [found]
    for _ in range(DEEPEST):
        inner = (part.values() if isinstance(part, dict) else part for part in level)
        level = [one for parts in inner if isinstance(parts, list | type({}.values())) for one in parts]
        level = [one for one in level if isinstance(one, dict | list)]
        if not level:
            return found
    raise ValueError("nested too deeply")
