import pytest

from tests.odd import NESTED
from trainer.documents import DEEPEST, parse


@pytest.mark.parametrize("text", NESTED, ids=lambda text: str(text[:9]))
def test_what_is_nested_without_end_is_refused_as_what_is_no_json(text: bytes) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        parse(text)


def test_as_many_levels_as_anybody_needs_are_read() -> None:
    assert parse("[" * (DEEPEST - 1) + "]" * (DEEPEST - 1))
    assert parse('{"a": [{"b": 1}, "c"]}') == {"a": [{"b": 1}, "c"]}
    for depth in (DEEPEST + 1, 900):
        with pytest.raises(ValueError, match="nested too deeply"):
            parse('{"a":' * depth + "1" + "}" * depth)
