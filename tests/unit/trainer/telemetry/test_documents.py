from trainer.telemetry.documents import first_number


def test_a_whole_number_that_no_float_holds_is_no_number():
    assert first_number(10**400, None, True, float("nan"), "1", 3) == 3.0
