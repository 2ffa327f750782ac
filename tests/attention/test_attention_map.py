"""The value: choosing, reading, saving."""

import math
import os
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from jumok.attention import AttentionMap, Features, One, Patches, Scale, Tokens
from jumok.errors import JumokError


def a_map(*lead, queries=3, grid=(2, 4), special=("cls",)):
    keys = Patches(*grid, special=special)
    torch.manual_seed(0)
    weights = torch.randn(*lead, queries, len(keys)).softmax(-1)
    axis = keys if queries == len(keys) else Tokens.numbered(queries)
    return AttentionMap(weights, axis, keys, ("batch", "layer", "head")[: len(lead)], source="test")


def test_parts_are_chosen_by_name():
    maps = a_map(2, 3, 4)
    assert torch.equal(maps.at(layer=1, head=-1, batch=0).weights, maps.weights[0, 1, 3])
    assert torch.equal(maps.mean("head").weights, maps.weights.mean(2))
    assert maps.mean("head").lead == ("batch", "layer")
    assert maps.mean("head", "layer").at(batch=1).row("2").weights.shape == (1, 9)
    assert a_map(queries=9).row((1, 3)).queries == One("1,3")
    assert a_map(queries=9).row("cls").queries == One("cls")


def test_image_leaves_out_special_tokens():
    heat = a_map(2).image(8, 16)
    assert heat.shape == (2, 3, 8, 16)
    assert torch.equal(heat[0, 1, 0, 0], a_map(2).weights[0, 1, 1])
    torch.testing.assert_close(heat.sum((-1, -2)) / 16, a_map(2).weights[..., 1:].sum(-1))


def test_top_and_entropy():
    weights = torch.tensor([[0.5, 0.25, 0.25, 0.0]])
    attention = AttentionMap(weights, One("q"), Tokens(("a", "b", "c", "d")))
    assert attention.top(2)[0] == ("a", 0.5)
    assert float(attention.entropy()) == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(4))
    uniform = AttentionMap(torch.full((1, 8), 1 / 8), One("q"), Tokens.numbered(8))
    assert float(uniform.entropy()) == pytest.approx(math.log(8))


@given(st.lists(st.integers(1, 3), max_size=3), st.integers(1, 4), st.sampled_from(list(Scale)), st.text(max_size=9))
def test_saved_and_loaded_is_the_same(tmp_path_factory, lead, queries, scale, source):
    path = tmp_path_factory.mktemp("maps") / "지도.safetensors"
    before = a_map(*lead, queries=queries)
    before = AttentionMap(before.weights, before.queries, before.keys, before.lead, scale, source)
    before.save(path)
    after = AttentionMap.load(path)
    assert torch.equal(after.weights, before.weights)
    assert (after.queries, after.keys, after.lead) == (before.queries, before.keys, before.lead)
    assert (after.scale, after.source) == (scale, source)


def test_a_part_of_a_map_can_be_saved(tmp_path):
    part = a_map(2, 3).at(layer=1).row(0)
    part.save(tmp_path / "part.safetensors")
    assert torch.equal(AttentionMap.load(tmp_path / "part.safetensors").weights, part.weights)


def test_a_map_saved_under_a_pictures_name_is_drawn(tmp_path):
    AttentionMap(torch.full((1, 4), 0.25), One("q"), Tokens(tuple("abcd"))).save(tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    placed = AttentionMap(torch.full((1, 4), 0.25), One("q"), Patches(2, 2))
    with pytest.raises(JumokError, match=r"these keys lie in an image: draw it with map\.draw\(image, "):
        placed.save(tmp_path / "heat.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["map.png"]


@pytest.mark.parametrize("name", ["map", "map.pt", "map.jpg"])
def test_a_map_is_saved_under_no_other_name(tmp_path, name):
    with pytest.raises(JumokError, match=r"a map is saved as \.safetensors or drawn as \.png, \.svg, \.pdf: got "):
        a_map(2).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_damaged_and_foreign_files_are_refused(tmp_path):
    path = tmp_path / "map.safetensors"
    a_map(2).save(path)
    whole = path.read_bytes()
    for content in (b"", whole[:20], whole[: len(whole) // 2], b"hello " * 50, whole[:-1]):
        path.write_bytes(content)
        with pytest.raises(JumokError, match="damaged or not an attention map"):
            AttentionMap.load(path)
    save_file({"weights": torch.ones(2, 2)}, path)
    with pytest.raises(JumokError, match="is not an attention map of format"):
        AttentionMap.load(path)
    save_file({"weights": torch.ones(2, 2)}, path, {"format": "jumok-attention-map/1", "axes": "{}"})
    with pytest.raises(JumokError, match="damaged"):
        AttentionMap.load(path)
    with pytest.raises(JumokError, match="no attention map at"):
        AttentionMap.load(tmp_path / "none")


@pytest.mark.parametrize(
    "axes",
    [
        '{"kind": "Patches", "rows": 18446744073709551616, "columns": 1}',
        '{"kind": "Patches", "rows": true, "columns": 4}',
        '{"kind": "Pixels", "height": 2, "width": 2, "depth": 1}',
        '{"kind": "Glimpses", "centres": [[null, null]], "sizes": [[null, null]]}',
        '{"kind": "Glimpses", "centres": [[NaN, 0.0]], "sizes": [[1.0, 1.0]]}',
        '{"kind": "Glimpses", "centres": [[1e308, 0.0]], "sizes": [[1e308, 1.0]]}',
        '{"kind": "Sampled", "rows": 2, "columns": 2, "points": [[1, 2, 3], [1, 2, 3], [1, 2, 3], [1, 2, 3]]}',
        '{"kind": "Regions", "boxes": [[0, 0, 1]], "names": ["a"], "height": 1, "width": 1}',
        '{"kind": "Tokens", "names": [1, 2, 3, 4]}',
        '{"kind": "_Named", "names": ["a", "b", "c", "d"]}',
        '{"kind": ["Tokens"]}',
        '"Tokens"',
        "[" * 100_000,
        "1" * 5000,
    ],
)
def test_axes_that_are_none_are_refused(axes, tmp_path):
    path = tmp_path / "map.safetensors"
    about = f'{{"queries": {{"kind": "One", "name": "x"}}, "keys": {axes}, "lead": [], "scale": "gate", "source": ""}}'
    save_file({"weights": torch.ones(1, 4)}, path, {"format": "jumok-attention-map/1", "axes": about})
    with pytest.raises(JumokError):
        AttentionMap.load(path)


def test_a_pipe_is_no_map(tmp_path):
    os.mkfifo(tmp_path / "map")
    with pytest.raises(JumokError, match="a pipe or a device"):
        AttentionMap.load(tmp_path / "map")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AttentionMap(torch.ones(2, 3), One("q"), Tokens.numbered(3)), r"shape \(2, 3\) do not fit"),
        (lambda: AttentionMap(torch.ones(1, 1, 3), One("q"), Tokens.numbered(3)), r"wanted \(queries, keys\)"),
        (lambda: AttentionMap(torch.ones(1, 3).double(), One("q"), Tokens.numbered(3)), r"convert with .float\(\)"),
        (lambda: AttentionMap(torch.full((1, 3), torch.nan), One("q"), Tokens.numbered(3)), "NaN or infinity"),
        (lambda: AttentionMap(torch.ones(1, 1, 1, 3), One("q"), Tokens.numbered(3), ("a", "a")), "name of its own"),
        (lambda: a_map(2).at(layers=0), "no leading axis 'layers'.*known: batch"),
        (lambda: a_map().mean("head"), "it has none"),
        (lambda: a_map(2).at(batch=2), "batch=2 is outside the 2"),
        (lambda: a_map().top(1), r"choose with .at and .row"),
        (lambda: a_map().row(0).top(0), "k from 1 to the 9 keys"),
        (lambda: AttentionMap(torch.ones(1, 3), One("q"), Tokens.numbered(3), (), Scale.GATE).entropy(), "a gate"),
    ],
)
def test_what_a_map_refuses(make, message):
    with pytest.raises(JumokError, match=message):
        make()


def test_a_notebook_shows_every_shape_without_scripts():
    for attention in (a_map(), a_map(2, 3), a_map(queries=1), a_map(grid=(90, 90), queries=1)):
        shown = attention._repr_html_()
        assert "<svg" in shown
        assert 0 < shown.count("<rect") <= 48 * 48
        assert "<rect " in shown
        assert set(re.findall(r'width="14" height="(\d+)"', shown)) == {"14"}, "cells are squares"
    named = AttentionMap(torch.ones(1, 1), One("<script>"), Tokens(("x",)), source="<script>")
    assert "<script>" not in named._repr_html_()


def test_a_notebook_says_in_words_what_it_shows():
    even = AttentionMap(torch.full((1, 17), 1 / 17), One("cls"), Patches(4, 4, ("cls",)), source="rollout(cls)")
    shown = even._repr_html_()
    assert "cls → 4 x 4 patches and cls: weights, the sum over each row is 1. rollout(cls)." in shown
    assert "white 0, brown 0.118" in shown, "twice the mean: nothing stands out"
    scores = AttentionMap(torch.tensor([[-1.0, 2.0]]), One("y"), Features(("a", " ")), (), Scale.SCORE, "mi", "nats")
    assert "2 features: scores of any sign in nats" in scores._repr_html_()
    assert "blue −2, white 0, brown 2" in scores._repr_html_()
    assert ">␣<" in scores._repr_html_()


def test_a_unit_is_kept_on_disk(tmp_path):
    scores = AttentionMap(torch.ones(1, 2), One("y"), Features(("a", "b")), (), Scale.SCORE, "mi", "nats")
    scores.save(tmp_path / "a.safetensors")
    assert AttentionMap.load(tmp_path / "a.safetensors").unit == "nats"
    assert scores.row(0).unit == "nats"
