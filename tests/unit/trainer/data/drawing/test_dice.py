from trainer.data.drawing.dice import Dice


def test_the_random_stream_is_pinned() -> None:
    """The pictures may change only with DEMO_VERSION, so the stream under them must not change unseen."""
    dice = Dice("stream", 1)
    assert [dice.integer(0, 999_999) for _ in range(3)] == [169_026, 841_003, 632_584]
