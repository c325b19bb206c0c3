"""Archives on disk as an import sees them, for tests."""

import warnings
from pathlib import Path

import pytest

from trainer.data.contents.opening import open_contents
from trainer.exits import Exit, ExitError


def listed(path: Path, data: bytes) -> dict[str, bytes]:
    """Every file of an archive with these bytes."""
    path.write_bytes(data)
    with open_contents(str(path), 4) as contents:
        return {name: contents.read(name) for name in contents.sizes}


def refused(path: Path, data: bytes, words: str, code: Exit = Exit.BAD_DATA) -> None:
    """Holds that an archive with these bytes is refused, in one line, before anything is read or while it is."""
    with pytest.raises(ExitError, match=words) as raised:
        listed(path, data)
    assert raised.value.code == code
    assert "\n" not in raised.value.message


def read_or_refused(path: Path, data: bytes) -> None:
    """Holds that any bytes are an archive or refused in one line; nothing else is raised."""
    path.write_bytes(data)
    faults: list[ExitError] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with open_contents(str(path), 4) as contents:
                for name in contents.sizes:
                    try:
                        contents.read(name)
                    except ExitError as error:
                        faults.append(error)
        except ExitError as error:
            faults.append(error)
    assert all(fault.code == Exit.BAD_DATA and "\n" not in fault.message for fault in faults)
