"""On another device than the CPU everything is computed there, and the same: maps, gradients, scores."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).with_name("other_device.py")
PARTS = {
    "watch_and_explain": 19,
    "explain_foreign_models": 15,
    "train_on_images": 8,
    "train_on_pairs": 1,
    "score": 1,
}
"""How many cases each has: one that is left out is a fault, too."""


@pytest.mark.parametrize(("part", "count"), PARTS.items())
def test_what_is_computed_elsewhere_stays_there_and_equals_the_cpu_s(part, count):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    found = subprocess.run([sys.executable, CASES, part], capture_output=True, text=True, env=environment, check=False)
    assert found.returncode == 0, found.stderr[-2000:]
    rows = [line.split() for line in found.stdout.splitlines()]
    assert len(rows) == count
    assert {device for _, device, _ in rows} == {"elsewhere:0"}
    far = {name: gap for name, _, gap in rows if float(gap) > 1e-4}
    assert not far
