import pytest

from trainer.exits import MEANING, NEVER_RETRIED, Exit, ExitError


def test_codes_are_those_of_the_contract() -> None:
    assert {code.value for code in Exit} == {0, 2, 64, 65, 66, 69, 70, 73, 74, 75, 76, 77, 78, 79, 80, 130, 141, 143}
    assert set(NEVER_RETRIED) == {2, 64, 65, 66, 73, 77, 78, 79, 80}


def test_every_code_has_a_meaning() -> None:
    assert set(MEANING) == set(Exit)


def test_an_exit_error_carries_code_and_line() -> None:
    error = ExitError(73, "why")
    assert (error.code, error.message, str(error)) == (Exit.RUN_REFUSED, "why", "why")
    with pytest.raises(ValueError, match="71"):
        ExitError(71, "no code of the contract")
