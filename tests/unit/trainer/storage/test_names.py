import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.exits import Exit
from trainer.storage.errors import BadName
from trainer.storage.local import LocalStorage
from trainer.storage.names import check_name

NAMES = (
    st.text(max_size=30)
    | st.text("/.a\0\n\\~ é", max_size=10)
    | st.lists(st.sampled_from(["..", ".", "a", ""])).map("/".join)
)


@settings(max_examples=60)
@given(NAMES)
def test_a_name_that_passes_stays_below_the_root(name: str) -> None:
    try:
        check_name(name, where="test")
    except BadName as error:
        refusal = error
    else:
        refusal = None
    if refusal:
        assert refusal.code == Exit.BAD_DATA
        assert len(str(refusal).splitlines()) == 1
        return
    path = os.path.normpath(f"/place/of/it/{name}")
    assert path == f"/place/of/it/{name}"
    assert 0 < len(name.encode()) <= 1024


@settings(max_examples=20)
@given(NAMES)
def test_any_name_is_read_back_or_refused(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        storage = LocalStorage(Path(folder, "root"))
        try:
            storage.write(name, b"x")
        except BadName:
            assert os.listdir(folder) == []
            return
        assert storage.read(name) == b"x"
        assert [stat.name for stat in storage.list()] == [name]
        assert os.listdir(folder) == ["root"]


def test_a_file_that_no_storage_could_hold_is_reported_by_the_listing(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xff.jpg", "wb"):
        pass
    with pytest.raises(BadName, match="not valid Unicode"):
        list(LocalStorage(tmp_path).list())
