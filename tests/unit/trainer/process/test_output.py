"""Streams over real descriptors; tests/unit/test_output.py has the commands."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[4]
NAMES = ["caf\u00e9 \u732b \U0001f431", "x\udcff", "a\u202eb\x9bc", "\u06cc\u200c\u0627"]

BEGIN = "import json, os, sys\nfrom trainer.process import output\n"


def run(code: str, **given: object) -> "subprocess.CompletedProcess[bytes]":
    words = [sys.executable, "-c", BEGIN + code]
    return subprocess.run(words, cwd=REPOSITORY, timeout=60, **{"capture_output": True, **given})  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_beyond_the_encoding_become_escapes_and_json_stays_json(encoding: str) -> None:
    code = f"output.take_over(answers=True)\nprint(json.dumps({NAMES!r}, ensure_ascii=False))\noutput.require()\n"
    done = run(code, env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"})
    assert done.stderr == b""
    text = done.stdout.decode(encoding)
    assert json.loads(text) == NAMES
    assert not set("\udcff\u202e\x9b") & set(text)
    assert ("\u732b" in text) == (encoding == "utf-8")
    assert ("\u00e9" in text) == (encoding != "ascii")


def test_descriptors_that_are_closed_are_not_given_to_the_next_file(tmp_path: Path) -> None:
    code = (
        "for number in range(3): os.close(number)\n"
        "output.take_over(answers=True)\n"
        f"file = open({str(tmp_path / 'checkpoint')!r}, 'wb', buffering=0)\n"
        "os.write(1, b'progress'); os.write(2, b'a warning'); print('more'); file.write(b'tensors')\n"
        "output.require()\n"
    )
    assert run(code).returncode == 0
    assert (tmp_path / "checkpoint").read_bytes() == b"tensors"


def test_an_answer_that_is_lost_is_told_once_and_again_at_the_end() -> None:
    code = (
        "output.take_over(answers=True)\n"
        "told = []\n"
        "for text in ('one', 'two'):\n"
        "    try: print(text, flush=True)\n"
        "    except output.OutputLost as lost: told.append((int(lost.code), lost.message))\n"
        "try: output.require()\n"
        "except output.OutputLost as lost: told.append((int(lost.code), lost.message))\n"
        "print(told, file=sys.stderr)\n"
    )
    with open("/dev/full", "wb") as full:
        done = run(code, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    message = "standard output cannot be written: No space left on device"
    assert done.stderr.decode() == f"{[(74, message)] * 2}\n"
    assert done.returncode == 0


def test_remarks_go_on_when_the_reader_reads_again() -> None:
    code = (
        "output.PATIENCE_SECONDS = 0.2\n"
        "output.take_over(answers=False)\n"
        "for _ in range(100_000): print('a line of progress')\n"
        "print('full', file=sys.stderr)\n"
        "sys.stdin.read()\n"
        "print('the last line')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN + code], cwd=REPOSITORY, stdin=-1, stdout=-1, stderr=-1, text=True
    )
    assert process.stderr is not None
    began = time.monotonic()
    assert process.stderr.readline() == "full\n"  # although nobody has read a line yet
    assert time.monotonic() - began < 60
    assert process.stdout is not None
    os.read(process.stdout.fileno(), 60_000)
    out, _ = process.communicate("", timeout=60)
    assert out.endswith("the last line\n")
