from __future__ import annotations

import json

import pytest
import torch

from jumok.attention import AttentionMap, One, Patches, Scale
from jumok.errors import JumokError
from jumok.measures.health import Health
from jumok.measures.sinks import find_outliers, find_sinks, without_sinks

TOKENS = 50


def random_weights(seed, inputs=4, heads=3, sinks=(), strength=4.0, spread=1.5):
    """Random attention; each sink's score is raised for all queries, more or less by chance."""
    draw = torch.Generator().manual_seed(seed)
    scores = spread * torch.randn(inputs, heads, TOKENS, TOKENS, generator=draw)
    for sink in sinks:
        scores[..., sink] = strength + 0.5 * torch.randn(inputs, heads, TOKENS, generator=draw)
    return scores.softmax(-1)


def test_planted_sinks_are_found_and_hardly_any_other():
    hits = planted = false = others = 0
    for seed in range(150):
        sinks = torch.randperm(TOKENS, generator=torch.Generator().manual_seed(seed))[: 1 + seed % 3].tolist()
        found = find_sinks(random_weights(seed, sinks=sinks))
        truth = torch.zeros(TOKENS, dtype=torch.bool)
        truth[sinks] = True
        hits, planted = hits + int(found[:, truth].sum()), planted + found[:, truth].numel()
        false, others = false + int(found[:, ~truth].sum()), others + found[:, ~truth].numel()
    assert hits / planted >= 0.95
    assert false / others <= 0.01


@pytest.mark.parametrize("spread", [0.0, 0.5, 3.0, 6.0])
def test_attention_without_sinks_has_none(spread):
    found = torch.cat([find_sinks(random_weights(seed, spread=spread)) for seed in range(30)])
    assert found.float().mean() <= 0.01


def test_planted_outliers_are_found_and_hardly_any_other():
    draw = torch.Generator().manual_seed(0)
    norms = 40 + 6 * torch.randn(200, 197, generator=draw)
    assert find_outliers(norms).float().mean() <= 0.001
    norms[:, 17] = 150 + 20 * torch.randn(200, generator=draw)
    found = find_outliers(norms)
    assert found[:, 17].float().mean() >= 0.95
    assert int(found.sum()) <= 200


def test_a_map_without_sinks_sums_to_1_again():
    weights = torch.rand(3, 1, 5).softmax(-1)
    attention = AttentionMap(weights, One("cls"), Patches(2, 2, ("cls",)), ("batch",), source="rollout")
    found = without_sinks(attention, [0, 3])
    assert torch.allclose(found.weights.sum(-1), torch.ones(3, 1))
    assert not found.weights[..., [0, 3]].any()
    assert torch.allclose(found.weights[..., 1] / found.weights[..., 2], weights[..., 1] / weights[..., 2])
    assert found.source == "rollout without sinks"
    relevance = AttentionMap(weights, attention.queries, attention.keys, ("batch",), Scale.RELEVANCE)
    assert torch.equal(without_sinks(relevance, [1]).weights[..., 2:], weights[..., 2:])


def test_a_map_of_sinks_only_is_refused():
    attention = AttentionMap(torch.tensor([[1.0, 0.0]]), One("cls"), Patches(1, 2))
    with pytest.raises(JumokError, match="the sinks only"):
        without_sinks(attention, [0])


def test_the_card_tells_sinks_and_the_weight_on_them():
    health = Health(special=(0,), cls=0)
    for seed in range(4):
        health.add("blocks.0", random_weights(seed))
        health.add("blocks.1", random_weights(seed, sinks=[0, 7, 20]))
    card = health.report()
    clean, sunk = card.layers
    assert clean.sinks == clean.cls_on_sinks == 0
    assert sunk.inputs == 16
    assert sunk.sinks == pytest.approx(2, abs=0.1)
    assert set(sunk.places[:2]) == {7, 20}
    assert sunk.special_sinks == (0,)
    weights = torch.cat([random_weights(seed, sinks=[0, 7, 20]) for seed in range(4)])
    assert sunk.cls_on_sinks == pytest.approx(float(weights.mean(1)[:, 0, [7, 20]].sum(-1).mean()), abs=0.02)
    assert "attention sinks in 1 of 2 layers" in card.warnings()[0]
    assert len(card.rows()[0]) == len(card.header())
    json.dumps(card.to_dict(), allow_nan=False)


def test_heads_that_look_at_positions_only_are_told_from_those_that_look_at_the_input():
    fixed = (4 * torch.randn(1, 1, TOKENS, TOKENS, generator=torch.Generator().manual_seed(5))).softmax(-1)
    health = Health()
    for seed in range(6):
        moving = random_weights(seed, heads=1, spread=3)
        health.add("a", torch.cat([fixed.expand(4, -1, -1, -1), moving], 1))
    same = health.report().layers[0].same
    assert same[0] == pytest.approx(1, abs=1e-4)
    assert same[1] < 0.3
    assert any("1 of 2 heads looks at positions" in line for line in health.report().warnings())


def test_heads_that_look_at_everything_alike():
    health = Health()
    health.add("a", torch.full((2, 3, TOKENS, TOKENS), 1 / TOKENS))
    layer = health.report().layers[0]
    assert layer.entropy == pytest.approx((1, 1, 1))
    assert layer.alike == pytest.approx((1, 1, 1), abs=1e-4)
    assert health.report().warnings()[0].startswith("3 of 3 heads look at everything alike")


def test_layers_agree_with_themselves_and_not_with_noise():
    health = Health(special=(0,), cls=0)
    for seed in range(4):
        health.add("a", random_weights(seed))
        health.add("b", random_weights(seed))
        health.add("c", random_weights(seed + 100))
    agreement = health.report().agreement
    assert agreement[0][1] == pytest.approx(1)
    assert abs(agreement[1][2]) < 0.15
    assert "neighbouring layers look elsewhere" in health.report().warnings()[-1]


def test_norms_are_counted_where_they_are_given():
    health = Health()
    norms = torch.ones(4, TOKENS) + 0.01 * torch.rand(4, TOKENS)
    norms[:, 3] = 9
    health.add("a", random_weights(0), norms=norms)
    assert health.report().layers[0].outliers == 1
    assert "outlying norm" in " ".join(health.report().warnings())


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (torch.ones(2, 3, 4), "batch, heads, queries, keys"),
        (-torch.ones(1, 1, 2, 2), "0 or more"),
        (torch.full((1, 1, 2, 2), torch.nan), "finite"),
        (torch.ones(1, 1, 2, 2), "special token 5"),
    ],
)
def test_wrong_weights_are_refused(weights, said):
    with pytest.raises(JumokError, match=said):
        Health(special=(5,)).add("a", weights)


def test_weights_that_are_no_shares_are_refused():
    with pytest.raises(JumokError, match=r"sum to 1\.6, and the health of attention is that of shares"):
        Health().add("a", torch.full((1, 1, 2, 2), 0.8))


def test_nothing_to_look_at_is_said():
    with pytest.raises(JumokError, match="no attention"):
        Health().report()
