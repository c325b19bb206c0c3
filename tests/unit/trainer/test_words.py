import json
import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.words import (
    age,
    ago,
    clock,
    counted,
    decimal,
    duration,
    escaped,
    grouped,
    in_a_line,
    mebibytes,
    percent,
    plain,
)

NOW = datetime(2026, 4, 12, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.25, "0.2 s"), (33, "33 s"), (61, "1 min 1 s"), (4361, "1 h 13 min"), (200_000, "2 d 7 h"), (None, "–")],
)
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(9.96, "10 s"), (3599.4, "59 min 59 s"), (3600, "1 h 0 min"), (172_800, "2 d 0 h")]
)
def test_a_duration_never_shows_a_full_smaller_unit(seconds, words):
    assert duration(seconds) == words


def test_percent_of_the_unknown_is_a_dash():
    assert percent(None) == percent(float("nan")) == "–"


def test_percent_has_one_decimal_and_stays_on_its_line():
    assert percent(0.843) == "84.3\N{NO-BREAK SPACE}%"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (42, "42s"), (420, "7m"), (3600 * 3 + 720, "3h12m"), (86400 * 2 + 4 * 3600, "2d4h")],
)
def test_age(seconds: int, text: str) -> None:
    assert age(NOW - timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s ago"), (5.4, "5 s ago"), (7200.0, "7200 s ago")])
def test_ago(seconds, text):
    assert ago(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.9, "0:59"), (600, "10:00"), (4450.0, "1:14:10"), (360_000, "100:00:00")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text


@pytest.mark.parametrize(("size", "text"), [(0, "0 MiB"), (32 << 20, "32 MiB"), (5 << 30, "5,120 MiB")])
def test_mebibytes(size, text):
    assert mebibytes(size) == text


def test_decimals_of_what_is_not_finite_are_a_dash():
    assert (decimal(0.12345), decimal(2, 1), decimal(float("inf"))) == ("0.123", "2.0", "–")


@pytest.mark.parametrize(
    ("value", "text"), [(60.25, "60.2"), (60.0, "60"), (99.96, "100.0"), (121.4, "121"), (1_234_567, "1,234,567")]
)
def test_small_numbers_keep_a_decimal_and_large_ones_are_grouped(value, text):
    assert grouped(value) == text


@pytest.mark.parametrize(("value", "text"), [(1890, "1,890"), (True, "yes"), ("many", "many"), (None, "–")])
def test_only_counts_are_grouped(value, text):
    assert counted(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (False, "no"),
        (20260412, "20260412"),
        (0.0005, "0.0005"),
        (["GPU:0", "GPU:1"], "GPU:0, GPU:1"),
        ([], "–"),
        ([{"a": "ü"}], '[{"a": "ü"}]'),
    ],
)
def test_plain_values(value, text):
    assert plain(value) == text


@given(st.text())
def test_a_name_in_a_line_is_one_line_of_plain_text_that_json_can_hold(name: str) -> None:
    shown = in_a_line(name)
    assert len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in shown)
    quoted = name.replace("\\", "").replace('"', "")
    assert json.loads(f'"{in_a_line(quoted)}"') == quoted


@pytest.mark.parametrize(
    ("name", "line", "text"),
    [
        ("a\u202eb", "a\\u202eb", "a\\u202eb"),
        ("x\udcff", "x\\udcff", "x\\udcff"),
        ("a\n\x1b[31mb\t", "a\\n\\u001b[31mb\\t", "a\n\x1b[31mb\t"),
        (
            "\u732b caf\u00e9 \u06cc\u200c\u0627",
            "\u732b caf\u00e9 \u06cc\u200c\u0627",
            "\u732b caf\u00e9 \u06cc\u200c\u0627",
        ),
    ],
)
def test_what_hides_or_turns_others_is_escaped(name: str, line: str, text: str) -> None:
    assert (in_a_line(name), escaped(name)) == (line, text)
