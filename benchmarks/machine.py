"""The machine that a figure was measured on."""

import os
import platform
from pathlib import Path
from typing import Any

from trainer.process.versions import revision, versions


def describe() -> dict[str, Any]:
    """Processor, cores, memory and versions."""
    cpu = next((line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "processor": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**20, 1),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "versions": versions(),
        "revision": revision(),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
