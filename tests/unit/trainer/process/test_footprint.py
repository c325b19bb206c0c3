"""How much memory this process was seen to hold while it did each thing."""

import subprocess
import sys
import time

import numpy as np

from trainer.process.activity import BEFORE, Activity, Doing
from trainer.process.container import age, peak_memory, resident_memory
from trainer.process.footprint import watched

MIB = 2**20


def test_what_a_stage_held_for_a_moment_is_its_peak_and_not_that_of_the_next() -> None:
    activity = Activity()
    with watched(activity, every=0.01):
        activity.enter(Doing.READING)
        time.sleep(0.05)
        before = resident_memory()
        # larger than whatever other tests held before, so that the kernel's peak rises
        block = np.ones(peak_memory() - before + 64 * MIB, np.uint8)
        held = resident_memory()
        time.sleep(0.05)
        del block
        activity.enter(Doing.BUILDING)
        time.sleep(0.05)
    peaks = {stage.doing: stage.peak_bytes or 0 for stage in activity.stages()}
    assert peaks[Doing.READING] >= held - MIB
    assert 0 < peaks[Doing.BUILDING] < held - 32 * MIB


def test_stages_begin_with_the_process_and_together_are_its_age() -> None:
    began = age()
    activity = Activity()
    activity.enter(Doing.TRAINING)
    time.sleep(0.02)
    stages = activity.stages()
    assert [stage.doing for stage in stages] == [BEFORE, Doing.STARTING, Doing.TRAINING]
    assert all(stage.peak_bytes is None for stage in stages)
    now = age()
    assert began is not None
    assert now is not None
    assert began + 0.02 <= sum(stage.seconds for stage in stages) <= now + 0.02


def test_what_is_free_amid_what_is_used_goes_back_to_the_system() -> None:
    program = (
        "from trainer.process.footprint import give_back, keep_small\n"
        "from trainer.process.container import resident_memory\n"
        "keep_small()\n"
        "blocks = [bytearray(100_000) for _ in range(1000)]\n"
        "kept, blocks = blocks[-1], None\n"
        "held = resident_memory()\n"
        "give_back()\n"
        "print(held - resident_memory())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 64 * MIB
