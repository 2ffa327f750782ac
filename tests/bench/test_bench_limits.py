"""What the machine could do at best, where plain arithmetic tells."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # `bench` is no part of the installed package

from bench import gates, machine, non_local, translation_decoding, vit_training, watch_cost
from bench.measuring import Samples
from bench.sizes import Size


@pytest.fixture(autouse=True)
def rates(monkeypatch):
    monkeypatch.setattr(machine, "peak", lambda: 1e9)
    monkeypatch.setattr(machine, "exp_rate", lambda: 1e9)
    monkeypatch.setattr(machine, "copy_rate", lambda count: 1e9)


def test_products_of_a_non_local_block_by_hand():
    # 4 places with 1 key of 2 channels, 1 within: g and the way out 8 each, weights 4 x 1 x 2, their sum 4 x 1 x 1
    assert non_local.products(Size(1, 2, 2), "gaussian") == 2 * (8 + 8 + 8 + 4)
    assert non_local.products(Size(1, 2, 2), "concatenation") is None
    assert non_local.products(Size(3, 8, 4), "dot-product") <= non_local.products(Size(3, 8, 4), "embedded-gaussian")


def test_a_rollout_costs_a_product_an_exp_and_a_sum_of_all_weights_in_all_layers_but_the_last():
    weights = 100**2
    assert watch_cost.rollout_floor(100) == pytest.approx(11 * weights * (2 * 384 + 6 + 4 * 6) / 1e9)


def test_gates_pass_over_the_features():
    assert gates._least_seconds("SE", "inference", Size(1, 10, 10)) == pytest.approx(3 * 4000 / 1e9)
    assert gates._least_seconds("CBAM", "training", Size(1, 10, 10)) is None


@pytest.mark.parametrize("system", translation_decoding.SYSTEMS)
def test_a_beam_multiplies_what_is_written_and_reads_the_weights_as_often(system):
    greedy, beam = (translation_decoding.least_seconds(system, width) for width in (1, 5))
    assert greedy < beam < 5 * greedy


def test_this_machine_is_measured(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(machine, "SQUARE", 64)
    monkeypatch.setattr(machine, "WHOLE", 1 << 12)
    monkeypatch.setenv("JUMOK_BENCH_QUICK", "1")
    for each in (machine.peak, machine.copy_rate, machine.exp_rate, machine.measure):
        each.cache_clear()
    here = machine.measure(torch.get_num_threads())
    assert here.products["float32"] > 0 < here.bandwidth
    assert machine.Machine(**here.to_dict()) == here
    assert len(here.lines()) == 2
    for each in (machine.peak, machine.copy_rate, machine.exp_rate, machine.measure):
        each.cache_clear()


def test_a_step_of_the_vit_is_counted_thrice():
    assert vit_training.operations(finished=1) < vit_training.operations()


def test_a_share_of_the_peak_is_the_median_over_the_steps(monkeypatch):
    monkeypatch.setattr(machine, "peak", lambda: 100.0)
    found = vit_training.share_of_peak(Samples({"ours": [1.0, 2.0, 4.0]}), "ours", 100.0)
    assert (found.low, found.middle, found.high) == (0.375, 0.5, 0.75)
