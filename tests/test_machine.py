"""Freed memory stays with the process: no page is mapped twice for the same work."""

import os
import subprocess
import sys

import pytest

from jumok import machine

SCRIPT = """
import resource, sys
from jumok.machine import keep_freed
import torch

kept = sys.argv[1] == "keep" and keep_freed()

def step():
    arrays = [torch.ones(12 * 2**20) for _ in range(4)]  # 48 MiB each: glibc maps and unmaps such arrays by default
    return sum(float(a[0]) for a in arrays)

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for _ in range(8):  # until the process has grown as large as it will
    step()
before = faults()
for _ in range(3):
    step()
print(int(kept), faults() - before)
"""


def run(how):
    done = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True)
    kept, faults = done.stdout.split()
    return bool(int(kept)), int(faults)


def test_later_steps_map_no_pages_anew():
    kept, faults = run("keep")
    if not kept:
        pytest.skip("the C library is not glibc")
    _, usual = run("usual")
    assert faults < usual / 50


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(machine, "_glibc", lambda: None)
    assert machine.keep_freed() is False


def test_no_library_is_opened_off_linux(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert machine.keep_freed() is False


PEAK = """
import torch
from jumok.machine import PeakMemory, keep_freed

keep_freed()
kept = torch.ones(30 * 2**20)  # 120 MiB that are held all the time
torch.ones(60 * 2**20)         # and 240 MiB that are kept, though they are free
before = PeakMemory()
nothing = before.mebibytes()
torch.ones(15 * 2**20)
print(nothing, before.mebibytes())
"""


def test_peak_memory_counts_what_was_added_alone():
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    nothing, some = done.stdout.split()
    if nothing == "None":
        pytest.skip("this system does not tell")
    assert float(nothing) < 10
    assert 55 < float(some) < 90


def test_peak_memory_is_not_told_where_the_system_does_not(monkeypatch):
    monkeypatch.setattr(machine, "_status", lambda _name: None)
    assert machine.PeakMemory().mebibytes() is None


@pytest.mark.parametrize(
    "chosen", [{}, {"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "7"}, {"JUMOK_KERNELS": "plain"}]
)
def test_threads_wait_briefly_unless_the_user_chose(monkeypatch, chosen):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "JUMOK_KERNELS"):
        monkeypatch.setenv(name, "")  # so that what was there comes back
        monkeypatch.delenv(name)
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    assert machine.wait_briefly() == (not chosen)
    assert os.environ.get("GOMP_SPINCOUNT") == (chosen.get("GOMP_SPINCOUNT") if chosen else str(machine.SPINS))


def test_a_command_asks_for_it_before_torch_is_there():
    script = (
        "import sys; from jumok import machine; from jumok.app import cli\n"
        "cli.wait_briefly = lambda: print('torch' in sys.modules)\n"
        "cli.main(['--version'])"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[0] == "False"
