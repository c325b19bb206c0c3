"""Metrics, scraped over HTTP as Prometheus does."""

import http.client
import math
import socket
import threading
import time
import urllib.request
from functools import partial
from wsgiref.handlers import SimpleHandler

import numpy as np
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from trainer.config import RunConfig
from trainer.contract import State
from trainer.data.cache import PixelCache
from trainer.data.limits import TOO_LARGE
from trainer.exits import Exit, ExitError
from trainer.ledger import Attempt, Category, Ledger
from trainer.process.activity import Activity, Doing
from trainer.results import show_scores
from trainer.storage.measured import Call
from trainer.telemetry import metrics as module
from trainer.telemetry.metric_table import METRICS, Kind
from trainer.telemetry.metrics import Metrics, serve
from trainer.training.evaluation import evaluate

LIMIT = 20.0


def free_port(count: int = 1) -> int:
    """The first of so many free ports in a row."""
    while True:
        with socket.create_server(("", 0)) as probe:
            port: int = probe.getsockname()[1]
        try:
            for i in range(count):
                socket.create_server(("", port + i)).close()
        except OSError:
            continue
        return port


def scrape(port: int) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=LIMIT) as answer:
        text = answer.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape_from(address: str, port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT, source_address=(address, 0))
    connection.request("GET", "/metrics")
    assert connection.getresponse().read()
    connection.close()


def fill(made: Metrics) -> None:
    made.steps.inc(3)
    made.examples.inc(96)
    made.step_seconds.observe(0.2)
    made.loss.labels("train").set(0.5)
    made.accuracy.labels("valid").set(0.75)
    made.checkpoints.labels("best").inc()
    made.storage_retries.labels("timeout").inc(2)


def test_metrics_are_served_while_inside() -> None:
    made, port = Metrics(), free_port()
    fill(made)
    with serve(made, RunConfig(metrics_port=port), 0):
        values = scrape(port)
        made.step.set(7)
        assert scrape(port)["catdog_step", ()] == 7
    assert values["catdog_steps_total", ()] == 3
    assert values["catdog_examples_total", ()] == 96
    assert values["catdog_step_seconds_bucket", (("le", "0.25"),)] == 1
    assert values["catdog_step_seconds_bucket", (("le", "0.1"),)] == 0
    assert values["catdog_loss", (("split", "train"),)] == 0.5
    assert values["catdog_accuracy", (("split", "valid"),)] == 0.75
    assert values["catdog_checkpoints_total", (("kind", "best"),)] == 1
    assert values["catdog_storage_retries_total", (("reason", "timeout"),)] == 2
    with pytest.raises(OSError, match="refused"):
        scrape(port)


def test_every_metric_has_our_prefix_a_help_and_units_of_the_base() -> None:
    for family in Metrics().registry.collect():
        assert family.name.startswith("catdog_")
        assert family.documentation.endswith(".")
        assert not family.name.endswith(("_ms", "_milliseconds", "_percent", "_mb"))


def test_scores_by_class_are_of_the_test_split() -> None:
    made = Metrics()
    predictions = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    labels, pixels = np.array([0, 0, 1], np.int32), np.zeros((3, 1, 1, 3), np.uint8)
    show_scores(made, evaluate(predictions, PixelCache(pixels, labels, np.ones(3, bool), (), False)))
    assert made.registry.get_sample_value("catdog_balanced_accuracy", {"split": "test"}) == 0.5
    assert made.registry.get_sample_value("catdog_macro_f1", {"split": "test"}) == pytest.approx(0.4)


def test_two_runs_in_one_process_do_not_share_metrics() -> None:
    one, other = Metrics(), Metrics()
    one.steps.inc()
    assert other.registry.get_sample_value("catdog_steps_total") == 0


def test_without_a_port_nothing_is_served() -> None:
    before = threading.active_count()
    with serve(Metrics(), RunConfig(), 0) as scrapes:
        assert threading.active_count() == before
        scrapes.await_last()


def test_local_workers_add_their_rank_to_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port(2)
    monkeypatch.setenv("CATDOG_LOCAL_WORKERS", "2")
    with serve(Metrics(), RunConfig(metrics_port=port), 0), serve(Metrics(), RunConfig(metrics_port=port), 1):
        scrape(port)
        scrape(port + 1)


def test_workers_in_pods_of_their_own_all_use_the_port() -> None:
    port = free_port()
    with serve(Metrics(), RunConfig(metrics_port=port), 3):
        scrape(port)


def test_a_taken_port_is_64() -> None:
    port = free_port()
    with (
        socket.create_server(("", port)),
        pytest.raises(ExitError, match=f"--metrics-port: cannot listen on port {port}") as caught,
        serve(Metrics(), RunConfig(metrics_port=port), 0),
    ):
        pass
    assert caught.value.code == Exit.BAD_OPTION


def test_the_last_values_are_kept_for_one_more_scrape() -> None:
    made, port = Metrics(), free_port()
    with serve(made, RunConfig(metrics_port=port), 0) as scrapes:
        scrape(port)
        made.step.set(100)
        waiting = threading.Thread(target=scrapes.await_last)
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        assert scrape(port)["catdog_step", ()] == 100
        waiting.join(LIMIT)
        assert not waiting.is_alive()


def test_each_of_two_that_scrape_gets_the_last_values() -> None:
    port = free_port()
    with serve(Metrics(), RunConfig(metrics_port=port), 0) as scrapes:
        for address in ("127.0.0.2", "127.0.0.3"):
            scrape_from(address, port)
        waiting = threading.Thread(target=scrapes.await_last)
        waiting.start()
        waiting.join(0.3)
        for address in ("127.0.0.2", "127.0.0.2", "127.0.0.4"):
            scrape_from(address, port)
        waiting.join(0.5)
        assert waiting.is_alive()
        scrape_from("127.0.0.3", port)
        waiting.join(LIMIT)
        assert not waiting.is_alive()


def test_who_has_not_scraped_for_a_while_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCRAPER_SECONDS", 0.2)
    port = free_port()
    with serve(Metrics(), RunConfig(metrics_port=port), 0) as scrapes:
        scrape(port)
        time.sleep(0.3)
        began = time.monotonic()
        scrapes.await_last()
        assert time.monotonic() - began < 5


def test_the_last_scrape_is_awaited_until_its_answer_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only until it is made: the process would end, and its daemon threads with it, in the middle of the answer."""
    writing, go_on = threading.Event(), threading.Event()
    write = SimpleHandler._write  # type: ignore[attr-defined]  # where wsgiref hands bytes to the socket

    def slow(self: SimpleHandler, data: bytes) -> None:
        writing.set()
        assert go_on.wait(LIMIT)
        write(self, data)

    port = free_port()
    with serve(Metrics(), RunConfig(metrics_port=port), 0) as scrapes:
        scrape(port)
        monkeypatch.setattr(SimpleHandler, "_write", slow)
        waiting = threading.Thread(target=scrapes.await_last)
        waiting.start()
        reading = threading.Thread(target=scrape, args=(port,))
        reading.start()
        assert writing.wait(LIMIT)
        waiting.join(0.3)
        assert waiting.is_alive()
        go_on.set()
        waiting.join(LIMIT)
        reading.join(LIMIT)
        assert not waiting.is_alive()


def test_a_scrape_that_began_before_the_end_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    made, port = Metrics(), free_port()
    collecting, go_on = threading.Event(), threading.Event()

    class Slow(Collector):
        def collect(self) -> list[Metric]:
            collecting.set()
            assert go_on.wait(LIMIT)
            return []

    with serve(made, RunConfig(metrics_port=port), 0) as scrapes:
        made.registry.register(Slow())
        early = threading.Thread(target=scrape, args=(port,))
        early.start()
        assert collecting.wait(LIMIT)
        waiting = threading.Thread(target=scrapes.await_last)
        waiting.start()
        waiting.join(0.1)
        go_on.set()
        early.join(LIMIT)
        waiting.join(0.3)
        assert waiting.is_alive()
        scrape(port)
        waiting.join(LIMIT)
        assert not waiting.is_alive()


def test_the_last_scrape_is_not_awaited_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FINAL_SCRAPE_SECONDS", 0.3)
    port = free_port()
    with serve(Metrics(), RunConfig(metrics_port=port), 0) as scrapes:
        scrape(port)
        began = time.monotonic()
        scrapes.await_last()
        assert 0.2 < time.monotonic() - began < LIMIT


def test_nobody_is_waited_for_when_nobody_ever_scraped() -> None:
    with serve(Metrics(), RunConfig(metrics_port=free_port()), 0) as scrapes:
        began = time.monotonic()
        scrapes.await_last()
        assert time.monotonic() - began < 5


def ask(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=LIMIT) as answer:
        return str(answer.read().decode())


def test_a_question_whether_the_process_lives_is_answered_and_is_no_scrape() -> None:
    port = free_port()
    with serve(Metrics(), RunConfig(metrics_port=port), 0) as scrapes:
        assert ask(port) == "ok\n"
        began = time.monotonic()
        scrapes.await_last()
        assert time.monotonic() - began < LIMIT / 2


def test_a_process_that_stopped_answering_is_neglected(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    with serve(Metrics(), RunConfig(metrics_port=port), 0) as scrapes:
        now = time.monotonic()
        assert not scrapes.neglected(165)  # nobody has asked
        ask(port)
        assert not scrapes.neglected(165)
        monkeypatch.setattr(time, "monotonic", lambda: now + 300)
        assert scrapes.neglected(165)
        assert not scrapes.neglected(0)  # there is no probe


def test_the_workers_are_shown_as_they_are_when_scraped() -> None:
    made, port = Metrics(), free_port()
    seen, seconds = [2], {0: 0.02, 1: 0.03}
    made.show_workers(lambda: seen[0], {rank: partial(seconds.__getitem__, rank) for rank in seconds})
    with serve(made, RunConfig(metrics_port=port), 0):
        assert scrape(port)["catdog_workers", (("state", "seen"),)] == 2
        seen[0], seconds[1] = 1, 0.06
        shown = scrape(port)
    assert [shown["catdog_workers", (("state", state),)] for state in ("expected", "seen")] == [2, 1]
    assert shown["catdog_worker_step_seconds", (("worker", "1"),)] == 0.06
    assert shown["catdog_straggler_ratio", (("worker", "1"),)] == pytest.approx(1.5)


def test_a_straggler_is_none_while_no_time_is_known() -> None:
    made = Metrics()
    made.show_workers(lambda: 1, {0: lambda: 0.0})
    assert made.registry.get_sample_value("catdog_straggler_ratio", {"worker": "0"}) == 1


def test_the_metrics_served_are_those_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "memory_limit", lambda: 1 << 30)
    served = {family.name: family for family in Metrics().registry.collect()}
    assert set(served) == {name.removesuffix("_total") for name in METRICS}
    for name, metric in METRICS.items():
        assert (name.endswith("_total"), metric.kind == Kind.COUNTER) in ((True, True), (False, False))
        family = served[name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.help)


def test_no_metric_has_a_label_that_the_scrape_sets() -> None:
    labels = {label for metric in METRICS.values() for label in metric.labels}
    assert not labels & {"namespace", "pod", "run", "rank", "recipe", "instance", "job"}


def test_the_time_of_a_process_is_served_from_its_first_second() -> None:
    activity = Activity()
    made = Metrics(activity)
    activity.enter(Doing.READING)
    value = made.registry.get_sample_value
    spent = {str(one): value("catdog_wall_seconds_total", {"category": one}) or 0.0 for one in Category}
    assert sum(spent.values()) == pytest.approx(time.time() - activity.began, abs=0.2)
    assert spent["step"] == 0
    activity.enter(Doing.TRAINING)
    time.sleep(0.03)
    assert 0.03 <= (value("catdog_step_phase_seconds_total", {"phase": "compute"}) or 0.0) < 1


def test_the_run_s_ledger_state_and_end_are_shown() -> None:
    made, ledger = Metrics(), Ledger((Attempt(1, {"step": 30.0, "lost": 10.0}, 7),), 40.0)
    value = made.registry.get_sample_value
    assert math.isnan(value("catdog_eta_seconds") or 0.0)
    made.show_run(lambda: ledger, lambda: 12.5)
    made.show_state(State.RUNNING)
    made.show_state(State.FAILED)
    assert value("catdog_run_wall_seconds", {"category": "lost"}) == 10.0
    assert (value("catdog_lost_steps"), value("catdog_goodput_ratio"), value("catdog_eta_seconds")) == (7, 0.75, 12.5)
    shown = {str(one): value("catdog_run_state", {"state": one}) for one in State}
    assert shown == {"running": 0, "succeeded": 0, "failed": 1, "preempted": 0, "cancelled": 0}


def test_storage_calls_and_rejected_pictures_are_counted() -> None:
    made = Metrics()
    made.count_call(Call("write", 0.2, 500))
    made.count_call(Call("list", 0.1))
    made.show_rejected("train", 2, [f"{TOO_LARGE} 256 MiB", "neither a JPEG nor a PNG"])
    made.show_rejected("valid", 0, [])
    value = made.registry.get_sample_value
    assert value("catdog_storage_requests_total", {"operation": "write"}) == 1
    assert value("catdog_storage_bytes_total", {"operation": "write"}) == 500
    assert value("catdog_storage_bytes_total", {"operation": "read"}) == 0
    assert value("catdog_storage_seconds_sum", {"operation": "list"}) == pytest.approx(0.1)
    assert value("catdog_rejected_examples", {"split": "train"}) == 2
    assert value("catdog_input_rejected_total", {"reason": "too_large"}) == 1


def test_gpu_memory_is_read_when_it_is_scraped() -> None:
    made, memory = Metrics(), [10.0, 20.0]
    made.show_gpus({"0": lambda: (memory[0], memory[1])})
    memory[0] = 15.0
    assert made.registry.get_sample_value("catdog_gpu_memory_bytes", {"gpu": "0"}) == 15.0
    assert made.registry.get_sample_value("catdog_gpu_memory_peak_bytes", {"gpu": "0"}) == 20.0


def test_who_is_in_a_hurry_does_not_wait_for_the_last_scrape() -> None:
    port, hurry = free_port(), threading.Event()
    with serve(Metrics(), RunConfig(metrics_port=port), 0) as scrapes:
        scrape(port)
        waiting = threading.Thread(target=scrapes.await_last, args=(hurry.is_set,))
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        hurry.set()
        waiting.join(LIMIT / 2)
        assert not waiting.is_alive()
