"""Who does not know the secret cannot prove anything, whatever it has seen of others."""

import string
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trainer.exits import Exit, ExitError
from trainer.workers.handshake import (
    Credential,
    NotProved,
    admit,
    challenge,
    credential_of,
    new_nonce,
    new_secret,
    response,
)

OURS = Credential(b"0123456789abcdef", "run-1")


def registration(rank: int = 1, nonce: str = "from-the-worker", **more: Any) -> dict[str, Any]:
    return {"rank": rank, "uid": "u", "program": "0.1", "config": "abc", "nonce": nonce, **more}


def test_both_sides_prove_that_they_know_it() -> None:
    said = registration()
    answer = challenge(OURS, said, "from-rank-0")
    admit(OURS, said, "from-rank-0", response(OURS, said, answer))


@pytest.mark.parametrize(
    "theirs", [Credential(b"another-secret-16", "run-1"), Credential(OURS.secret, "run-2")], ids=["secret", "run"]
)
def test_another_secret_or_run_proves_nothing_in_either_direction(theirs: Credential) -> None:
    said = registration()
    with pytest.raises(NotProved, match="the rank 0 has another secret"):
        response(OURS, said, challenge(theirs, said, "n"))
    with pytest.raises(NotProved, match="the worker has another secret"):
        admit(OURS, said, "n", response(theirs, said, challenge(theirs, said, "n")))


def test_a_proof_for_one_connection_proves_nothing_in_another() -> None:
    said = registration()
    seen = response(OURS, said, challenge(OURS, said, "first"))
    with pytest.raises(NotProved):
        admit(OURS, said, "second", seen)
    answer = challenge(OURS, registration(nonce="first"), "n")
    with pytest.raises(NotProved):
        response(OURS, registration(nonce="second"), answer)


def test_what_rank_0_proves_does_not_make_a_worker() -> None:
    """A stranger could otherwise send back what it was sent."""
    said = registration()
    with pytest.raises(NotProved):
        admit(OURS, said, "n", challenge(OURS, said, "n"))


def test_a_proof_of_one_rank_proves_no_other() -> None:
    seen = response(OURS, registration(1), challenge(OURS, registration(1), "n"))
    with pytest.raises(NotProved):
        admit(OURS, registration(2), "n", seen)


ANYTHING = st.none() | st.booleans() | st.integers() | st.text(max_size=70) | st.lists(st.integers(), max_size=2)


@given(answer=st.dictionaries(st.sampled_from(["challenge", "proof", "x"]), ANYTHING))
def test_no_answer_is_taken_for_a_proof(answer: dict[str, Any]) -> None:
    with pytest.raises(NotProved):
        response(OURS, registration(), answer)
    with pytest.raises(NotProved):
        admit(OURS, registration(), "n", answer)


@given(field=st.sampled_from(sorted(registration())), value=ANYTHING)
def test_whatever_is_changed_in_a_registration_on_its_way_is_noticed_by_both(field: str, value: Any) -> None:
    said = registration()
    changed = {**said, field: value}
    assume(repr(changed) != repr(said))
    with pytest.raises(NotProved):
        response(OURS, said, challenge(OURS, changed, "n"))
    with pytest.raises(NotProved):
        admit(OURS, changed, "n", response(OURS, said, challenge(OURS, said, "n")))


@given(at=st.integers(0, 63), digit=st.sampled_from(string.hexdigits.lower()))
def test_a_proof_with_another_digit_is_none(at: int, digit: str) -> None:
    said = registration()
    proof = response(OURS, said, challenge(OURS, said, "n"))["proof"]
    changed = proof[:at] + digit + proof[at + 1 :]
    assume(changed != proof)
    with pytest.raises(NotProved):
        admit(OURS, said, "n", {"proof": changed})


def test_the_credential_comes_from_the_environment() -> None:
    assert credential_of({}) is None
    found = credential_of({"CATDOG_GANG_SECRET": "x" * 16, "CATDOG_RUN_UID": "run-1"})
    assert found == Credential(b"x" * 16, "run-1")
    assert credential_of({"CATDOG_GANG_SECRET": "\udcff" * 16}) == Credential(b"\xff" * 16, "")


@pytest.mark.parametrize("secret", ["", "hunter2-hunter2"])
def test_a_secret_that_is_none_is_refused_without_showing_it(secret: str) -> None:
    with pytest.raises(ExitError, match=f"CATDOG_GANG_SECRET has {len(secret)} characters") as no:
        credential_of({"CATDOG_GANG_SECRET": secret})
    assert no.value.code == Exit.BAD_OPTION
    assert "hunter2" not in no.value.message


def test_a_credential_does_not_show_its_secret() -> None:
    assert "0123456789abcdef" not in repr(OURS) + str(OURS)


def test_secrets_and_numbers_are_long_and_never_the_same() -> None:
    made = {new() for new in (new_secret, new_nonce) for _ in range(100)}
    assert len(made) == 200
    assert {len(one) for one in made} == {64}
