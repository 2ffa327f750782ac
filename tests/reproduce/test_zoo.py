"""A fixed sample of the zoo: architectures of each kind, with the status that each has."""

import argparse
import json

import pytest
import torch
from timm_library import import_timm
from torch.nn import functional as F

from jumok.errors import JumokError
from reproduce import torchvision_names, zoo
from reproduce.zoo_models import list_names
from reproduce.zoo_page import write_page
from reproduce.zoo_references import Direct, Sampled, are_rows_of, are_weights, dense_rollout, match

SAMPLE = {
    "vit": "exact",
    "vit_mae": "exact",
    "dinov2_with_registers": "exact",
    "swin": "exact",
    "clip": "exact",
    "siglip": "exact",
    "bert": "exact",
    "t5": "exact",
    "bart": "exact",
    "whisper": "exact",
    "llama": "exact",
    "mistral": "exact",
    "gemma": "exact",
    "gpt_oss": "exact",
    "llava": "exact",
    "detr": "exact",
    "longformer": "exact",
    "convbert": "exact",
    "mamba": "not attention",
    "jamba": "exact",
    "hiera": "exact",
    "pvt": "exact",
    "segformer": "exact",
    "perceiver": "exact",
}
"""Of `transformers`."""


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(("name", "status"), SAMPLE.items())
def test_an_architecture_of_transformers_is_shown_truly(name, status):
    pytest.importorskip("transformers")
    result = zoo.judge_one("transformers", name)
    assert result["status"] == status, result


def test_a_model_of_timm_is_shown_truly():
    import_timm()
    result = zoo.judge_one("timm", "xcit_nano_12_p8_224")
    assert result["status"] in ("exact", "partial"), result


@pytest.mark.parametrize("name", ["vit.ViT", "pit.PiT"])
def test_a_model_of_vit_pytorch_is_shown_truly(name):
    torchvision_names.ensure()
    pytest.importorskip("vit_pytorch", reason="it is installed beside the peers of the bench", exc_type=ImportError)
    assert name in list_names("vit-pytorch")
    found = zoo.judge_one("vit-pytorch", name)
    assert (found["status"], found["wrong"]) == ("exact", [])


def test_nested_items_are_weighed_one_by_one():
    items = [torch.randn(2, length, 4) for length in (3, 2)]
    nested = torch.nested.nested_tensor(items, layout=torch.strided)
    with Direct() as direct:
        F.scaled_dot_product_attention(nested, nested, nested)
    ((_, found),) = direct.given
    for number, item in enumerate(items):
        length = item.shape[1]
        wanted = (item @ item.mT / 2).softmax(-1)
        torch.testing.assert_close(found[number, :, :length, :length], wanted, rtol=1e-5, atol=1e-6)
        assert not found[number, :, :length, length:].any()


def test_weights_are_matched_each_once_and_differences_named():
    one = torch.rand(2, 3, 4, 4).softmax(-1)
    other = torch.rand(2, 3, 4, 4).softmax(-1)
    maps = {"first": one, "second": other}
    assert match([("a", other), ("a", one)], maps) == []
    assert match([("a", one), ("a", one)], maps)[0].startswith("a[1] (2, 3, 4, 4) differs by")
    assert match([("a", one[:1])], maps) == ["a[0] (1, 3, 4, 4) fits none of the maps (2, 3, 4, 4)"]


def test_weights_may_be_a_part_of_a_map():
    whole = torch.rand(2, 3, 4, 9).softmax(-1)
    own, other = whole[..., :4], whole[..., 4:]
    assert match([("self", own), ("cross", other)], {"both": whole}) == []
    average = whole.mean(1, keepdim=True).expand_as(whole)
    assert match([("average", average)], {"both": whole}) == []


def test_windows_may_stand_behind_the_heads():
    windows = torch.rand(2, 5, 3, 4, 4).softmax(-1)
    assert match([("a", windows.flatten(0, 1))], {"layer": windows.transpose(1, 2)}) == []


def test_the_kernel_is_computed_from_its_definition():
    query, key, value = (torch.randn(1, 2, 5, 4) for _ in range(3))
    with Direct() as direct:
        output = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    assert torch.allclose(direct.given[0][1] @ value, output, atol=1e-6)


def test_weights_that_no_softmax_gives_are_among_what_the_model_multiplies():
    weights, value = torch.rand(1, 2, 3, 3).square(), torch.rand(1, 2, 3, 4)
    with Direct() as direct:
        _ = weights @ value
    assert any(torch.equal(own, weights) for _, own in direct.multiplied)
    assert are_rows_of(weights, direct.multiplied[0][1])
    assert not are_rows_of(weights + 0.1, direct.multiplied[0][1])


def test_weights_over_sampled_places_are_told_as_those_over_cells():
    grid = torch.tensor([[[[-0.5, -0.5], [0.0, 0.0]]]])  # one query, two places: a cell's centre, and between all four
    with Sampled() as sampled:
        torch.nn.functional.grid_sample(torch.randn(1, 3, 2, 2), grid, align_corners=False)
    own = torch.tensor([0.6, 0.4]).view(1, 1, 1, 2)  # (batch, queries, heads, places)
    found = sampled.spread(own)
    assert found.shape == (1, 1, 1, 4)
    assert torch.allclose(found[0, 0, 0], torch.tensor([0.7, 0.1, 0.1, 0.1]))
    assert sampled.spread(own) is own  # each grid once


def test_what_is_no_row_of_weights_is_left_aside():
    assert are_weights(torch.rand(2, 3, 4, 4).softmax(-1))
    assert not are_weights(torch.randn(2, 3, 4, 4))
    assert not are_weights(torch.rand(2, 4, 3, 4, 4).flatten(-2).softmax(-1).unflatten(-1, (4, 4)))


def test_dense_rollout_of_one_layer_is_half_of_it():
    layer = torch.rand(1, 2, 3, 3).softmax(-1)
    assert torch.allclose(dense_rollout([layer])[0], 0.5 * torch.eye(3) + 0.5 * layer[0].mean(0))


def test_a_run_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "prepare", lambda library: None)
    monkeypatch.setattr(zoo, "judge_apart", lambda library, name, timeout: {"status": "exact", "made": [name]})
    rows, page = tmp_path / "zoo.jsonl", tmp_path / "models.md"
    parser = argparse.ArgumentParser()
    zoo.add_options(parser)
    told = ["--library", "transformers", "--only", "vit,bert,bart", "--rows", str(rows), "--page", str(page)]
    list(zoo.run(parser.parse_args([*told, "--limit", "2"])))
    assert len(rows.read_text().splitlines()) == 2
    counted = list(zoo.run(parser.parse_args(told)))
    assert [json.loads(line)["name"] for line in rows.read_text().splitlines()] == ["bart", "bert", "vit"]
    assert [row.ours for row in counted if row.measure == "exact"] == [3]
    assert "**exact**: bart, bert, vit" in page.read_text()
    assert "| right | 100.0% |" in page.read_text()


def test_a_process_that_dies_ends_one_architecture_only(monkeypatch):
    monkeypatch.setattr(zoo, "_work", lambda *_: (_ for _ in ()).throw(SystemExit(3)))
    assert zoo.judge_apart("transformers", "vit", 20)["status"] == "not judged"


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "other.jsonl").write_text("{}\n")
    with pytest.raises(JumokError, match="holds no results"):
        zoo.read_results(tmp_path / "other.jsonl")


def test_reasons_on_the_page_are_without_module_names(tmp_path):
    result = {"library": "timm", "name": "a", "status": "partial", "wrong": [], "refused": []}
    write_page(tmp_path / "page.md", [{**result, "partial": ["x.1.attn: numbered: lost", "x.2.attn: numbered: lost"]}])
    assert "| a | numbered: lost |" in (tmp_path / "page.md").read_text()


def test_image_classifiers_have_the_checks_of_their_processor_and_probabilities(tmp_path):
    rows = [
        {"model": "a", "measure": "input", "ours": 0.0},
        {"model": "a", "measure": "probabilities", "ours": 3e-8},
        {"model": "a", "measure": "input", "ours": 2e-7},  # of another class of the same architecture
        {"model": "a", "measure": "probabilities", "ours": 0.0},
    ]
    (tmp_path / "opened.json").write_text(json.dumps({"rows": rows}))
    results = [{"library": "transformers", "name": name, "status": "exact"} for name in "ab"]
    write_page(tmp_path / "page.md", results, tmp_path / "opened.json")
    page = (tmp_path / "page.md").read_text()
    assert "| image classifier | attention | input | probabilities |" in page
    assert "| a | exact | 2e-07 | 3e-08 |" in page
    assert "| b |" not in page
    write_page(tmp_path / "page.md", results, tmp_path / "none.json")
    assert "image classifier" not in (tmp_path / "page.md").read_text()
