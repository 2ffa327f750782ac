from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from jumok.errors import JumokError
from jumok.measures.faithfulness_meter import FaithfulnessMeter, plan_looks
from jumok.measures.faithfulness_report import score_key

UNITS = 16


def weights(seed):
    """What the units of one input count for: few much, most little."""
    return torch.from_numpy(np.random.default_rng(seed).dirichlet(np.full(UNITS, 0.3)))


def answers(weight, fillings=("mean",)):
    return {filling: lambda kept: kept.double() @ weight for filling in fillings}


def noise(seed):
    return torch.from_numpy(np.random.default_rng(10_000 + seed).random(UNITS))


def measured(maps, inputs=40, *, baselines=None, fillings=("mean",), **options):
    """A report on inputs whose true weights are known; maps are functions of the weights and the seed."""
    meter = FaithfulnessMeter(**options)
    for seed in range(inputs):
        weight = weights(seed)
        own, further = ({name: make(weight, seed) for name, make in (each or {}).items()} for each in (maps, baselines))
        meter.add(answers(weight, fillings), own, baselines=further)
    return meter.report()


TRUE = {"true": lambda weight, _: weight}
NOISE = {"noise": lambda _, seed: noise(seed)}
REVERSE = {"reverse": lambda weight, _: -weight}
NOISY = {"edges": lambda weight, seed: weight + 0.3 * noise(seed)}


def test_true_maps_rank_first_noise_is_not_shown_and_the_reverse_is_worse_than_chance():
    report = measured({**NOISE, **REVERSE, **TRUE})
    assert report.ranking() == ["true", "noise", "reverse"]
    assert report.best() == "true"
    assert report.is_faithful("true")
    verdicts = report.verdicts()
    assert verdicts[0].startswith("true: beats a random map by 0.")
    assert verdicts[1].startswith("noise: not shown to be better than a random map (difference ")
    assert verdicts[2].startswith("reverse: worse than a random map by 0.")
    gain = report.differences[0].scores[score_key("srg", "mean")]
    assert gain.low < 0 < gain.high


def test_no_method_is_best_where_none_beats_chance():
    assert measured({**NOISE, **REVERSE}).best() is None


def test_a_verdict_names_the_hardest_baseline():
    report = measured(TRUE, baselines={**NOISY, **REVERSE})
    assert report.verdict("true").startswith("true: beats an edge map by ")
    assert measured(NOISE, baselines=NOISY).verdict("noise").startswith("noise: worse than an edge map by ")


def test_what_is_certain_and_next_to_nothing_is_neither_better_nor_worse():
    meter = FaithfulnessMeter()
    for seed in range(40):
        weight = weights(seed)
        meter.add(answers(weight / 200, ["mean"]), {"true": weight, "reverse": -weight})
    report = meter.report()
    ours = {gap.method: gap.scores[score_key("srg", "mean")] for gap in report.differences}
    assert ours["reverse"].high < 0 < ours["true"].low
    for method in ("true", "reverse"):
        assert report.verdict(method).startswith(f"{method}: not shown to be better than a random map (difference ")


def test_a_verdict_says_with_which_fillings_it_holds():
    meter = FaithfulnessMeter()
    for seed in range(40):
        weight, other = weights(seed), noise(seed)
        meter.add({**answers(weight, ["mean"]), **answers(other, ["blur"])}, {"true": weight})
    said = meter.report().verdict("true")
    assert "beats a random map by" in said
    assert "with filling mean; not shown to be better than a random map" in said
    assert not meter.report().is_faithful("true")
    both = measured(TRUE, fillings=("mean", "blur")).verdict("true")
    assert both.endswith("on 40 images (filling mean; no less with blur)")
    neither = measured(NOISE, fillings=("mean", "blur")).verdict("noise")
    assert neither.startswith("noise: not shown to be better than a random map with any filling (mean ")
    assert neither.count("random map") == 1


def test_a_filling_that_changes_nothing_is_named_and_left_out_of_verdicts():
    meter = FaithfulnessMeter(most=64)
    for seed in range(32):
        weight = weights(seed)
        same = {"blur": lambda kept, w=weight: 0.9 + 0.001 * (kept.double() @ w)}
        meter.add({**answers(weight, ["mean"]), **same}, {"true": weight})
    report = meter.report()
    assert len(report.notes()) == 1
    assert report.notes()[0].startswith("filling blur hardly changes the answer, 0.90 on the whole input and 0.90 with")
    assert report.telling == ("mean",)
    assert report.is_faithful("true")
    assert report.verdicts()[0].endswith("on 32 images")
    assert meter.decided()


def test_a_gain_that_is_next_to_nothing_is_none():
    meter = FaithfulnessMeter(most=64)
    for seed in range(32):
        weight = weights(seed)
        meter.add({"blur": lambda kept, w=weight: 0.9 + 0.001 * (kept.double() @ w)}, {"true": weight})
    report = meter.report()
    assert report.telling == ("blur",)
    assert "not shown to be better than a random map (difference 0.00, 0.00 to 0.00)" in report.verdict("true")
    assert report.best() is None
    assert meter.decided()


def test_differences_are_paired_by_input():
    report = measured({**TRUE, **NOISE}, baselines=REVERSE)
    gap = {(each.method, each.baseline): each for each in report.differences}
    scores = {each.method: each.scores[score_key("srg", "mean")] for each in (*report.methods, *report.baselines)}
    assert set(gap) == {(a, b) for a in ("true", "noise") for b in ("random", "reverse")}
    found = gap["true", "reverse"].scores[score_key("srg", "mean")]
    assert found.value == pytest.approx(scores["true"].value - scores["reverse"].value)
    assert scores["random"].value == scores["random"].low == scores["random"].high == 0


def test_insertion_less_deletion_is_srg():
    scores = measured(TRUE, saco=True).methods[0].scores
    insertion, deletion, srg = (scores[score_key(name, "mean")].value for name in ("insertion", "deletion", "srg"))
    assert srg == pytest.approx(insertion - deletion)
    assert scores[score_key("saco", "mean")].value == pytest.approx(1)


def test_plain_values_and_tables_fit_each_other():
    report = measured(TRUE, baselines=NOISY, fillings=("mean", "blur"), saco=True)
    values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert set(values["titles"]) == set(values["methods"]["true"]) == set(values["baselines"]["edges"])
    assert list(values["curves"]["blur"]) == ["true", "random", "edges"]
    assert values["best"] == "true"
    for row in (*report.rows(), *report.difference_rows()):
        assert len(row) == len(report.header())
    assert "40 images" in report.summary()


def test_curves_begin_at_the_whole_input_and_end_at_none():
    curves = measured(TRUE, steps=8).curves["mean"]["true"]
    assert curves.shares == tuple(np.linspace(0, 1, 9))
    for side in (curves.most_first, curves.least_first):
        assert side[0].value == pytest.approx(1)
        assert side[-1].value == pytest.approx(0)
    assert all(most.value <= least.value for most, least in zip(curves.most_first, curves.least_first, strict=True))


def test_the_same_seed_gives_the_same_report():
    assert measured(NOISE).to_dict() == measured(NOISE).to_dict()


def test_constant_maps_are_counted_by_name_and_count_as_chance():
    report = measured({**TRUE, "flat": lambda weight, seed: torch.zeros(UNITS)})
    assert report.constant == {"flat": 40}
    assert "flat: 40 maps have the same value everywhere and count as chance" in report.summary()
    flat = next(each for each in report.methods if each.method == "flat")
    assert flat.scores[score_key("srg", "mean")].value == 0
    with pytest.raises(JumokError, match="all maps are constant"):
        measured({"flat": lambda weight, seed: torch.zeros(UNITS)})


# -- stopping early -------------------------------------------------------------------------------


def test_looks_double():
    assert plan_looks(None) == ()
    assert plan_looks(20) == (20,)
    assert plan_looks(64) == (32, 64)
    assert plan_looks(100) == (32, 64, 100)


def stopped_at(make, most=128, seed=0):
    meter = FaithfulnessMeter(most=most, steps=4, seed=seed)
    for number in range(most):
        weight = weights(1000 * seed + number)
        meter.add(answers(weight), {"map": make(weight, 1000 * seed + number)})
        if meter.decided():
            break
    return len(meter), meter.report()


def test_a_clear_case_is_decided_at_the_first_look():
    inputs, report = stopped_at(lambda weight, _: weight)
    assert inputs == 32
    assert report.level == pytest.approx(1 - 0.05 / 3)
    assert "98.3% bootstrap intervals, widened for a look at the verdicts after 32 images" in report.summary()


def test_looking_often_does_not_make_chance_look_better():
    false = [stopped_at(lambda _, seed: noise(seed), seed=seed)[0] < 128 for seed in range(12)]
    assert sum(false) <= 2  # expected: at most 0.6; 3 or more come by chance in 2 % of such runs


def test_stopping_early_has_to_be_planned():
    with pytest.raises(JumokError, match="most="):
        FaithfulnessMeter().decided()


# -- wrong use ------------------------------------------------------------------------------------


def test_methods_may_not_change():
    meter = FaithfulnessMeter()
    meter.add(answers(weights(0)), {"one": noise(0)})
    with pytest.raises(JumokError, match=r"b.png: the methods changed from \('one',\) to \('two',\)"):
        meter.add(answers(weights(0)), {"two": noise(0)}, name="b.png")
    assert len(meter) == 1


def test_names_may_not_be_both():
    with pytest.raises(JumokError, match="is a method and a baseline"):
        FaithfulnessMeter().add(answers(weights(0)), {"one": noise(0)}, baselines={"one": noise(0)})


def test_nothing_to_measure_is_said():
    with pytest.raises(JumokError, match="no input"):
        FaithfulnessMeter().report()
    with pytest.raises(JumokError, match="nothing to measure"):
        FaithfulnessMeter().add({}, {"one": noise(0)})


def test_what_hangs_together_counts_once():
    meter, once = FaithfulnessMeter(steps=4), FaithfulnessMeter(steps=4)
    for seed in range(10):
        weight = weights(seed)
        once.add(answers(weight), {"true": weight})
        for _ in range(1 + 4 * (seed == 0)):
            meter.add(answers(weight), {"true": weight}, group=f"image {seed}")
    found, wanted = (each.report().methods[0] for each in (meter, once))
    both = [each.scores[score_key("srg", "mean")].to_dict() for each in (found, wanted)]
    assert both[0] == pytest.approx(both[1])
    assert (found.count, len(meter)) == (10, 14)


# -- going on later -------------------------------------------------------------------------------


def add_one(meter, seed):
    weight = weights(seed)
    maps = {"true": weight, "flat": torch.ones(UNITS)}
    meter.add(answers(weight, ["mean", "blur"]), maps, baselines={"edges": noise(seed)}, group=f"group {seed // 2}")


def test_a_meter_that_goes_on_reports_the_same_bit_for_bit():
    whole, first, second = (FaithfulnessMeter(steps=4, saco=True, most=20) for _ in range(3))
    for seed in range(10):
        add_one(whole, seed)
    for seed in range(6):
        add_one(first, seed)
    with pytest.raises(JumokError):
        first.add({"mean": lambda kept: kept}, {"true": weights(0)})
    second.load_state(first.state())
    assert len(second) == 6
    for seed in range(6, 10):
        add_one(second, seed)
    assert second.report() == whole.report()
    assert second.report().constant == {"flat": 10}


def test_a_state_of_other_options_or_of_arrays_that_do_not_fit_is_refused():
    meter = FaithfulnessMeter(steps=4)
    add_one(meter, 0)
    with pytest.raises(JumokError, match="other options"):
        FaithfulnessMeter(steps=5).load_state(meter.state())
    state = meter.state()
    state["scores"] = state["scores"][:, :1]
    with pytest.raises(JumokError, match="do not fit each other"):
        FaithfulnessMeter(steps=4).load_state(state)
    empty = FaithfulnessMeter(steps=4)
    meter.load_state(empty.state())
    assert len(meter) == 0


def test_looks_are_counted_by_groups():
    """Three words of each sentence: the first look is at 32 whole ones, so when the next has begun."""
    weight = torch.tensor([0.4, 0.3, 0.2, 0.1])
    meter = FaithfulnessMeter(most=64, steps=4)
    for sentence in range(1, 65):
        for _ in range(3):
            answers = {"zeros": lambda kept: kept.float() @ weight}
            meter.add(answers, {"true": weight}, baselines={"reverse": -weight}, group=f"sentence {sentence}")
            if meter.decided():
                assert (sentence, len(meter), meter.decided()) == (33, 97, True)
                return
    pytest.fail("never decided")


def test_the_last_group_is_measured_to_its_end():
    weight = torch.tensor([0.4, 0.3, 0.2, 0.1])
    meter = FaithfulnessMeter(most=2, steps=4)
    for image in ("first", "second"):
        for _ in range(3):
            answers = {"zeros": lambda kept: kept.float() @ weight}
            meter.add(answers, {"true": weight}, baselines={"reverse": -weight}, group=image)
            assert not meter.decided()
