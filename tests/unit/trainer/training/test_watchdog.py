import threading
import time

from trainer.training.watchdog import Watchdog

LIMIT = 20.0


def test_silence_is_noticed_once_with_its_length() -> None:
    heard: list[float] = []
    called = threading.Event()

    def stalled(seconds: float) -> None:
        heard.append(seconds)
        called.set()

    began = time.monotonic()
    dog = Watchdog(0.2, stalled)
    assert called.wait(LIMIT)
    assert time.monotonic() - began >= 0.2
    time.sleep(0.3)
    assert len(heard) == 1
    assert heard[0] > 0.2
    dog.close()


def test_beats_keep_it_quiet_until_they_end() -> None:
    called = threading.Event()
    dog = Watchdog(0.6, lambda _: called.set())
    for _ in range(40):
        dog.beat()
        time.sleep(0.02)
    assert not called.is_set()
    assert called.wait(LIMIT)
    dog.close()


def test_a_closed_watchdog_says_nothing() -> None:
    called = threading.Event()
    Watchdog(0.1, lambda _: called.set()).close()
    time.sleep(0.3)
    assert not called.is_set()


def test_zero_is_never() -> None:
    before = threading.active_count()
    dog = Watchdog(0, lambda _: None)
    assert threading.active_count() == before
    dog.beat()
    dog.close()
