from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s.exits import Cli, CliError
from k8s.planning import quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4", "4"),
        ("500m", "0.5"),
        ("16Gi", str(16 * 2**30)),
        ("1e3", "1000"),
        ("1.5k", "1500"),
        (".5", "0.5"),
        ("2E", "2e18"),
        ("100u", "1e-4"),
    ],
)
def test_parse(text: str, value: str) -> None:
    assert quantity.parse(text, "here") == Decimal(value)


@pytest.mark.parametrize("text", ["", "-1", "4GB", "1 Gi", "Gi", "1e", "0x4", "٤"])
def test_an_invalid_quantity_is_named(text: str) -> None:
    with pytest.raises(CliError, match=r"resources\.cpu is") as caught:
        quantity.parse(text, "resources.cpu")
    assert caught.value.code == Cli.USAGE


@given(st.decimals(0, 10**6, places=3), st.sampled_from(["", "m", "k", "Mi", "Gi", "e3"]), st.integers(1, 64))
def test_a_multiple_is_exact(number: Decimal, suffix: str, factor: int) -> None:
    text = f"{number}{suffix}"
    assert quantity.parse(quantity.multiply(text, factor, ""), "") == factor * quantity.parse(text, "")


@pytest.mark.parametrize(
    ("value", "text"), [("4", "4"), ("0.5", "0.5"), ("1073741824", "1Gi"), ("1610612736", "1.5Gi"), ("12345", "12345")]
)
def test_shown(value: str, text: str) -> None:
    assert quantity.shown(Decimal(value)) == text
