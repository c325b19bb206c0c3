import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.storage.errors import PreconditionFailed
from trainer.storage.gcs_fields import content_type, crc32c_field, crc32c_number, generation_number


@given(st.integers(0, 2**32 - 1))
def test_a_checksum_is_read_as_it_is_written(number: int) -> None:
    assert crc32c_number(crc32c_field(number)) == number


def test_a_checksum_is_written_as_the_server_writes_it() -> None:
    assert crc32c_field(0xE3069283) == "4waSgw=="  # of "123456789", the check value of CRC-32C


def test_no_generation_no_object_and_one_are_told_apart() -> None:
    assert [generation_number(token) for token in (None, "", "17")] == [None, 0, 17]
    with pytest.raises(PreconditionFailed, match="not a generation"):
        generation_number("5f-1a-3")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a/b.jpg", "image/jpeg"),
        ("a.json", "application/json"),
        ("a", "application/octet-stream"),
        ("a.tar.gz", "application/octet-stream"),
    ],
)
def test_the_names_ending_gives_the_content_type(name: str, kind: str) -> None:
    assert content_type(name) == kind
