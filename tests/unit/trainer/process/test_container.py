import os
from collections.abc import Callable, Mapping

import pytest

from trainer.process.container import (
    cpu_limit,
    disk_limit,
    free_memory,
    local_workers,
    memory_limit,
    memory_used,
    processors,
)

GIB = 2**30


def files(contents: Mapping[str, str]) -> Callable[[str], str | None]:
    return contents.get


@pytest.mark.parametrize(
    ("contents", "limit"),
    [
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu.max": "50000 200000"}, 0.25),
        ({"cpu.max": "200000"}, 2.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "350000", "cpu/cpu.cfs_period_us": "100000"}, 3.5),
        ({"cpu/cpu.cfs_quota_us": "350000"}, None),
        ({}, None),
    ],
)
def test_processors_by_quota(contents: Mapping[str, str], limit: float | None) -> None:
    assert cpu_limit(files(contents)) == limit


@pytest.mark.parametrize(
    ("contents", "limit"),
    [
        ({"memory.max": "max"}, None),
        ({"memory.max": str(3 * GIB)}, 3 * GIB),
        ({"memory/memory.limit_in_bytes": "9223372036854771712"}, None),
        ({"memory/memory.limit_in_bytes": str(GIB)}, GIB),
        ({}, None),
    ],
)
def test_memory_by_limit(contents: Mapping[str, str], limit: int | None) -> None:
    assert memory_limit(files(contents)) == limit


@pytest.mark.parametrize(
    ("contents", "used"),
    [({"memory.current": "123"}, 123), ({"memory/memory.usage_in_bytes": "456"}, 456), ({}, 0)],
)
def test_memory_in_use(contents: Mapping[str, str], used: int) -> None:
    assert memory_used(files(contents)) == used


def test_there_is_at_least_one_processor_and_no_more_than_allowed() -> None:
    assert 1 <= processors() <= len(os.sched_getaffinity(0))


def test_a_narrower_affinity_counts() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert processors() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_free_memory_is_some_of_the_machines() -> None:
    assert 0 < free_memory() < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_local_workers_are_one_unless_told() -> None:
    assert local_workers({}) == 1
    assert local_workers({"CATDOG_LOCAL_WORKERS": "3"}) == 3


def test_the_disk_is_without_limit_unless_told() -> None:
    assert disk_limit({}) is disk_limit({"CATDOG_DISK_LIMIT": ""}) is None
    assert disk_limit({"CATDOG_DISK_LIMIT": "2147483648"}) == 2 << 30
