from pathlib import Path

import google_crc32c
import pytest

from trainer.data import source
from trainer.data.demo import DemoSize, write_demo
from trainer.data.drawing.draw import DEMO_VERSION
from trainer.data.source import demo_folder, open_source
from trainer.exits import Exit, ExitError

SMALL = DemoSize(2, 1, 1)


def test_a_named_data_set_is_listed_and_read(tmp_path: Path) -> None:
    root = write_demo(tmp_path / "pets", seed=1, size=SMALL)
    opened = open_source(str(root))
    assert not opened.demo
    assert opened.data.classes == ("cats", "dogs")
    examples = opened.data.splits["train"]
    read = dict(opened.read(examples))
    assert sorted(read) == list(range(len(examples)))
    for i, example in enumerate(examples):
        assert read[i] == (root / example.name).read_bytes()
        assert google_crc32c.value(read[i]) == example.crc32c


def test_without_a_name_the_demo_set_is_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(source, "write_demo", lambda folder: write_demo(folder, size=SMALL))
    first = open_source("")
    assert first.demo
    assert first.data.uri == str(tmp_path / "catdog" / f"demo-{DEMO_VERSION}")
    assert len(first.data.splits["train"]) == 4
    drawn = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*g")}
    assert open_source("").data.fingerprint == first.data.fingerprint
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*g")} == drawn


def test_the_demo_set_is_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert demo_folder() == tmp_path / ".cache" / "catdog" / f"demo-{DEMO_VERSION}"


def test_what_is_not_there_is_66(tmp_path: Path) -> None:
    with pytest.raises(ExitError) as caught:
        open_source(str(tmp_path / "nothing"))
    assert caught.value.code == Exit.INPUT_MISSING
