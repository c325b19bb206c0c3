from typing import Any

import pytest

from k8s.explain.cost import Cost, Prices, as_facts, cost_of, in_words, prices_of, total_in_words
from k8s.explain.observation import Observation
from k8s.explain.told import Ledger, Told
from k8s.manifest.objects import job, job_set
from k8s.settings.platform import of_mapping
from tests.unit.k8s.explain.sightings import NOW, running, seen, top
from tests.unit.k8s.manifest.cases import PLATFORM, spec

HOUR = Ledger({"step": 3000.0, "lost": 600.0, "down": 1000.0, "stopped": 5000.0})
PRICES = Prices(2.5, 0.04, "EUR")
ALONE = Observation("run", NOW)


def test_hours_are_those_with_pods_and_of_all_gpus() -> None:
    cost = cost_of(ALONE, Told(gpus=4, ledger=HOUR), PRICES, 1800.0)
    assert cost == Cost("GPU", 4, 4.0, 600 * 4 / 3600, 2.0, 2.5, "EUR")
    assert (cost.amount(cost.hours), cost.amount(cost.hours_to_finish), cost.amount(None)) == (10.0, 5.0, None)


def test_without_gpus_it_is_the_cpus() -> None:
    cost = cost_of(ALONE, Told(gpus=0, cpus=2.5, ledger=HOUR), PRICES, None)
    assert cost is not None
    assert (cost.unit, cost.hours, cost.price, cost.hours_to_finish) == ("CPU", 2.5, 0.04, None)


@pytest.mark.parametrize("make", [job, job_set])
@pytest.mark.parametrize(("gpus", "unit", "count"), [(2, "GPU", 4.0), (0, "CPU", 4.0)])
def test_what_the_run_does_not_say_its_objects_do(make: Any, gpus: int, unit: str, count: float) -> None:
    made = make(spec("r", 2, gpus), PLATFORM)
    cost = cost_of(seen(made), Told(ledger=HOUR), PRICES, None)
    assert cost is not None
    assert (cost.unit, cost.count) == (unit, count)


def test_pods_say_what_they_have_been_given() -> None:
    assert (cost_of(seen(top(), running()), Told(ledger=HOUR), PRICES, None) or ALONE).count == 4  # type: ignore[union-attr]
    other = Prices(gpu_resource="amd.com/gpu")
    assert (cost_of(seen(top(), running()), Told(ledger=HOUR), other, None) or ALONE).unit == "CPU"  # type: ignore[union-attr]


def test_an_unknown_time_or_size_has_no_cost() -> None:
    assert cost_of(ALONE, Told(gpus=4), PRICES, 5.0) is None
    assert cost_of(ALONE, Told(ledger=HOUR), PRICES, 5.0) is None
    strange = running()
    strange["spec"]["containers"][0]["resources"] = {"requests": {"nvidia.com/gpu": "many", "cpu": "lots"}}
    assert cost_of(seen(top(), strange), Told(ledger=HOUR), PRICES, 5.0) is None


@pytest.mark.parametrize(
    ("prices", "words"),
    [
        (PRICES, "4.00 GPU-hours (10.00 EUR) so far, 2.00 (5.00 EUR) to finish, 0.67 (1.67 EUR) lost to failures"),
        (Prices(1000), "4.00 GPU-hours (4,000.00) so far, 2.00 (2,000.00) to finish, 0.67 (666.67) lost to failures"),
        (Prices(0, 5), "4.00 GPU-hours so far, 2.00 to finish, 0.67 lost to failures"),
    ],
)
def test_words(prices: Prices, words: str) -> None:
    facts = as_facts(cost_of(ALONE, Told(gpus=4, ledger=HOUR), prices, 1800.0))
    assert facts is not None
    assert in_words(facts) == words


def test_without_a_loss_or_an_end_neither_is_told() -> None:
    facts = as_facts(cost_of(ALONE, Told(gpus=400, ledger=Ledger({"step": 3600.0})), PRICES, None))
    assert facts is not None
    assert in_words(facts) == "400.0 GPU-hours (1,000.00 EUR) so far"
    assert total_in_words(facts) == ("400.0 GPU-h", "1,000.00 EUR")
    assert total_in_words(None) == ("", "")


def test_prices_are_settings() -> None:
    settings = {"pricePerGpuHour": 2, "pricePerCpuHour": 0.5, "currency": "EUR", "gpu": {"resource": "amd.com/gpu"}}
    assert prices_of(of_mapping(settings, "x")) == Prices(2.0, 0.5, "EUR", "amd.com/gpu")
