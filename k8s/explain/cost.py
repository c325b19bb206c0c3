"""What a run costs: the hours of its GPUs, or of its CPUs where it has none, and their price. Pure.

A pod is paid for from its start to its end, whatever it does meanwhile. So the hours are the wall time in which the run
had its pods, by its ledger, times the GPUs of all workers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from k8s.exits import CliError
from k8s.explain import observation, tops
from k8s.explain.observation import Object, Observation
from k8s.explain.told import Told
from k8s.planning import quantity
from k8s.settings.platform import Platform
from trainer.ledger import Category

HOUR = 3600.0


@dataclass(frozen=True)
class Prices:
    """What a namespace's platform says of prices: for an hour of one GPU and of one CPU; 0: not given.

    `gpu_resource` is what its nodes call a GPU.
    """

    gpu_hour: float = 0.0
    cpu_hour: float = 0.0
    currency: str = ""
    gpu_resource: str = "nvidia.com/gpu"


NONE = Prices()


def prices_of(platform: Platform) -> Prices:
    """The prices among a platform's settings."""
    return Prices(platform.price_per_gpu_hour, platform.price_per_cpu_hour, platform.currency, platform.gpu.resource)


@dataclass(frozen=True)
class Cost:
    """Hours of `count` GPUs or CPUs (`unit`): so far, of it lost to failures, and to finish (None if unknown).

    `price` is that of an hour, 0 if it is not given.
    """

    unit: str
    count: float
    hours: float
    hours_lost: float
    hours_to_finish: float | None
    price: float = 0.0
    currency: str = ""

    def amount(self, hours: float | None) -> float | None:
        """What so many hours cost; None without a price."""
        return hours * self.price if hours is not None and self.price else None


def cost_of(seen: Observation, told: Told, prices: Prices, eta_seconds: float | None) -> Cost | None:
    """The cost of a run; None where its time, or its size, is unknown. `eta_seconds`: None unless it runs."""
    if told.ledger is None:
        return None
    gpus = told.gpus or _asked(seen, prices.gpu_resource)
    count = gpus or told.cpus or _asked(seen, "cpu")
    if not count:
        return None
    return Cost(
        unit="GPU" if gpus else "CPU",
        count=count,
        hours=told.ledger.with_pods * count / HOUR,
        hours_lost=told.ledger.seconds.get(Category.LOST, 0.0) * count / HOUR,
        hours_to_finish=None if eta_seconds is None else eta_seconds * count / HOUR,
        price=prices.gpu_hour if gpus else prices.cpu_hour,
        currency=prices.currency,
    )


def _asked(seen: Observation, resource: str) -> float:
    """How much of a resource all workers ask for, by their pods or the template of them; 0 if unknown."""
    specs = [observation.container_spec(pod) for pod in seen.pods] or [_template(seen.top)]
    workers = tops.workers(seen.top) or len(seen.pods)
    asked = (specs[0].get("resources") or {}).get("requests") or {}
    try:
        return float(quantity.parse(str(asked.get(resource, "0")), resource) * Decimal(workers))
    except CliError:  # of another version of Kubernetes: its size is unknown
        return 0.0


def _template(top: Object | None) -> Object:
    """The trainer's container in the pod template of a Job or JobSet."""
    spec = (top or {}).get("spec") or {}
    if "replicatedJobs" in spec:
        spec = spec["replicatedJobs"][0]["template"]["spec"]
    return observation.container_spec(spec.get("template") or {})


def as_facts(cost: Cost | None) -> dict[str, Any] | None:
    """A cost as values for JSON: hours, and amounts, which are null without a price."""
    if cost is None:
        return None
    hours = {"so_far": cost.hours, "to_finish": cost.hours_to_finish, "lost": cost.hours_lost}
    return {
        "unit": cost.unit,
        "count": cost.count,
        "hours": {name: _rounded(value) for name, value in hours.items()},
        "amount": {name: _rounded(cost.amount(value)) for name, value in hours.items()},
        "currency": cost.currency,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def total_in_words(facts: Mapping[str, Any] | None) -> tuple[str, str]:
    """Hours and amount so far of `as_facts`, for columns: "4.80 GPU-h" and "12.00 USD"; empty where unknown."""
    if facts is None:
        return "", ""
    return f"{_short(facts['hours']['so_far'])} {facts['unit']}-h", _money(facts, "so_far")


def in_words(facts: Mapping[str, Any]) -> str:
    """ "4.80 GPU-hours, 12.00 USD so far; 1.20, 3.00 USD to finish; 0.30, 0.75 USD lost to failures"."""
    parts: list[str] = []
    words = {"so_far": "so far", "to_finish": "to finish", "lost": "lost to failures"}
    for name, said in words.items():
        hours = facts["hours"][name]
        if hours is None or (name == "lost" and not hours):
            continue
        unit = "" if parts else f" {facts['unit']}-hours"
        money = _money(facts, name)
        parts.append(f"{_short(hours)}{unit}{f' ({money})' if money else ''} {said}")
    return ", ".join(parts)


def _money(facts: Mapping[str, Any], name: str) -> str:
    amount = facts["amount"][name]
    return "" if amount is None else f"{amount:,.2f} {facts['currency']}".strip()


def _short(hours: float) -> str:
    return f"{hours:.2f}" if hours < 10 else f"{hours:,.1f}"
