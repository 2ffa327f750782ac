import base64
import io
import json
import re
import zlib

import numpy as np
import pytest
import torch
from page_text import block, data_of
from PIL import Image
from synthetic_maps import attention, photograph, rollout

from jumok.attention import AttentionMap, Glimpses, One, Patches, Pixels, Sampled, Scale, Tokens
from jumok.errors import JumokError
from jumok.views.pages import look_page as page_module
from jumok.views.pages.look_page import Entry, Page
from jumok.views.pages.packed_maps import LARGEST_GRID, LARGEST_MAP, coarsen, find_marks, lay_on_patches, pack

HOSTILE = "</script><script>alert(1)</script><!--"


def unpacked(packed):
    """(weights (heads, queries, keys), entropy), by the description at the head of packing.py."""
    about, raw = packed.about, zlib.decompress(base64.b64decode(packed.data), -15)
    heads, zero, specials = about["heads"], about["zero"], len(about["keys"]["special"])
    queries = len(about["queries"]["special"]) + about["queries"]["rows"] * about["queries"]["columns"]
    patches, rows = about["keys"]["rows"] * about["keys"]["columns"], heads * queries
    spreads = (rows + queries * (heads > 1)) * about["spread"]
    counts = (rows, rows * specials, spreads, rows * patches)
    parts, offset = [], 0
    for kind, count in zip(("<f4", "<f4", "<u2", "u1"), counts, strict=True):
        parts.append(np.frombuffer(raw, kind, count, offset))
        offset += parts[-1].nbytes
    assert offset == len(raw)
    peaks, special, spread, codes = parts
    weights = (codes.reshape(rows, patches).astype(float) - zero) / (255 - zero) * peaks[:, None]
    weights = np.concatenate([special.reshape(rows, specials), weights], 1).reshape(heads, queries, -1)
    return weights, spread.reshape(-1, queries) / 65535 * np.log(weights.shape[-1])


def vit_base(spread):
    """Softmax of random scores, as wide apart as `spread` says: 0.02 as at random initialisation, 6 very peaked."""
    scores = torch.randn(12, 12, 197, 197, generator=torch.Generator().manual_seed(0)) * spread
    axis = Patches(14, 14, ("cls",))
    return [AttentionMap(layer.softmax(-1), axis, axis, ("head",)) for layer in scores]


def small_entry(name="a.png", **changes):
    maps = attention(photograph(), (4, 6), layers=2, heads=3)
    given = {"image": photograph(), "prediction": [("scratch", 0.9)], "summary": rollout(maps), "layers": maps}
    return Entry(name, **{**given, **changes})


def text_of(tmp_path, *entries, title="T", budget=30_000_000):
    page = Page(title, budget=budget)
    for entry in entries:
        page.add(entry)
    page.write(tmp_path / "page.html")
    return (tmp_path / "page.html").read_text("utf-8")


def entries_of(text):
    """What the page's list knows of each entry, with what it reads when the entry is opened."""
    return [
        {**row, **json.loads(block(text, f"entry-{number}")), "thumbnail": block(text, f"thumb-{number}")}
        for number, row in enumerate(data_of(text)["entries"])
    ]


# -- packing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [0.02, 1.0, 6.0])
def test_unpacked_weights_are_within_the_stated_error_and_half_a_step(spread):
    layer = vit_base(spread)[0]
    weights, _ = unpacked(packed := pack(layer))
    difference = np.abs(weights - layer.weights.double().numpy())
    assert difference.max() == pytest.approx(packed.error)
    half_steps = layer.weights[..., 1:].amax(-1, keepdim=True).double().numpy() / 510
    assert (difference[..., 1:] <= half_steps * (1 + 1e-6)).all()
    assert difference[..., :1].max() == 0, "special tokens are exact"


def test_a_cls_that_takes_nearly_all_leaves_the_patches_their_levels():
    row = torch.full((1, 5), 1e-5)
    row[0, 0], row[0, 2] = 0.9999, 5e-5
    weights, _ = unpacked(pack(AttentionMap(row, One("cls"), Patches(2, 2, ("cls",)))))
    assert weights[0, 0] == pytest.approx(row[0].numpy(), rel=0.01)


def test_entropy_of_rows_and_of_the_mean_over_heads_is_kept():
    layer = vit_base(4.0)[0]
    _, entropy = unpacked(pack(layer))
    wanted = torch.cat([layer.entropy(), layer.mean("head").entropy()[None]])
    assert entropy == pytest.approx(wanted.numpy(), abs=1e-4)


def test_scores_of_any_sign_are_kept_with_their_sign():
    axis = Patches(3, 3)
    scores = AttentionMap(torch.randn(2, 9, 9) * 7, axis, axis, ("head",), Scale.SCORE)
    weights, entropy = unpacked(packed := pack(scores))
    assert packed.about["zero"] == 128
    assert entropy.size == 0
    assert np.abs(weights - scores.weights.numpy()).max() == pytest.approx(packed.error, abs=1e-6)
    assert packed.error <= float(scores.weights.abs().max()) / 254


def test_a_row_of_zeros_stays_zero():
    weights, _ = unpacked(pack(AttentionMap(torch.zeros(1, 4), One("x"), Patches(2, 2), (), Scale.GATE)))
    assert (weights == 0).all()


def test_pixels_become_patches_without_change_up_to_what_a_page_shows():
    pixels = AttentionMap(torch.rand(1, 48), One("image"), Pixels(6, 8), (), Scale.RELEVANCE)
    patches = lay_on_patches(pixels)
    assert patches.keys == Patches(6, 8)
    assert torch.equal(patches.weights, pixels.weights)
    assert patches.scale is Scale.RELEVANCE


def test_finer_pixels_are_averaged_and_no_longer_called_a_distribution():
    side = 2 * LARGEST_GRID
    weights = torch.rand(1, side * side)
    patches = lay_on_patches(AttentionMap(weights / weights.sum(), One("image"), Pixels(side, side)))
    assert patches.keys == Patches(LARGEST_GRID, LARGEST_GRID)
    wanted = (weights / weights.sum()).view(LARGEST_GRID, 2, LARGEST_GRID, 2).mean((1, 3)).flatten()
    assert torch.allclose(patches.weights[0], wanted, rtol=1e-4)
    assert patches.scale is Scale.RELEVANCE


def test_glimpses_are_laid_on_a_grid():
    glimpses = AttentionMap(torch.ones(1, 1), One("image"), Glimpses(((-0.5, -0.5),), ((0.5, 0.5),)))
    grid = lay_on_patches(glimpses).weights.view(LARGEST_GRID, LARGEST_GRID)
    half = LARGEST_GRID // 2
    assert grid[:half, :half].eq(1).all()
    assert grid.sum() == half * half


def test_large_maps_average_who_looks_and_keep_what_is_seen():
    queries, keys = Patches(50, 61, ("cls",)), Patches(20, 30)
    weights = torch.rand(2, len(queries), len(keys), generator=torch.Generator().manual_seed(0)).softmax(-1)
    found = coarsen(AttentionMap(weights, queries, keys, ("head",), source="a"))
    assert found.queries == Patches(25, 31, ("cls",))
    assert (found.keys, found.lead, found.source) == (keys, ("head",), "a")
    assert torch.equal(found.weights[:, 0], weights[:, 0])
    grid = weights[:, 1:].unflatten(1, (50, 61))
    assert torch.allclose(found.weights[:, 1], grid[:, :2, :2].mean((1, 2)), atol=1e-7)
    assert torch.allclose(found.weights.sum(-1), torch.ones(2, len(found.queries)), atol=1e-5)
    assert len(found.queries) * len(found.keys) <= LARGEST_MAP


def test_maps_that_fit_are_left_alone():
    axis = Patches(14, 14, ("cls",))
    small = AttentionMap(torch.rand(197, 197), axis, axis)
    assert coarsen(small) is small


def test_what_is_drawn_over_the_heat():
    glimpses = Glimpses(((-0.5, 0.5), (0.0, 0.0)), ((0.2, 0.1), (1.0, 1.5)))
    assert find_marks(glimpses) == {"boxes": [[0.15, 0.7, 0.35, 0.8], [0.0, -0.25, 1.0, 1.25]]}
    points = tuple((float(y), float(x)) for y in (-0.5, 0.0, 0.5) for x in (-1.0, 1.0))
    outline = [[0.25, 0.0], [0.25, 1.0], [0.5, 1.0], [0.75, 1.0], [0.75, 0.0], [0.5, 0.0]]
    assert find_marks(Sampled(3, 2, points)) == {"outline": outline}
    assert find_marks(Patches(2, 2)) == {}


def test_the_page_says_how_fine_a_layer_was(tmp_path):
    queries, keys = Patches(56, 56), Patches(28, 28)
    layer = AttentionMap(torch.rand(len(queries), len(keys)).softmax(-1), queries, keys, source="stages.0.2")
    summary = AttentionMap(layer.weights.mean(0, keepdim=True), One("mean"), keys)
    about = entries_of(text_of(tmp_path, small_entry(summary=summary, layers=[layer])))[0]
    assert about["queried"] == [[56, 56]]
    assert about["layers"][0]["queries"]["rows"] == 28


# -- the file -------------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [0.02, 0.3, 2.0])
def test_a_page_of_vit_base_stays_under_8_mb(tmp_path, spread):
    layers = vit_base(spread)
    entry = Entry("a.jpg", photograph("china.jpg"), [("palace", 0.9)], rollout(layers), layers)
    text = text_of(tmp_path, entry)
    assert len(text.encode()) < 8_000_000
    described = entries_of(text)[0]
    assert [layer["heads"] for layer in described["layers"]] == [12] * 12
    assert described["lost"] == ""


def test_the_page_names_no_address_and_forbids_the_network(tmp_path):
    text = text_of(tmp_path, small_entry())
    assert "http:" not in text
    assert "https:" not in text
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy


def test_hostile_and_korean_text_is_data_only(tmp_path):
    given = {"prediction": [(HOSTILE, 0.5), ("긁힘", 0.25)], "note": HOSTILE, "truth": HOSTILE, "group": HOSTILE}
    entry = small_entry(HOSTILE, **given)
    text = text_of(tmp_path, entry, title=HOSTILE)
    assert "<script>alert" not in text
    assert "<!--" not in text
    assert data_of(text)["title"] == HOSTILE
    about = entries_of(text)[0]
    assert {about[name] for name in ("name", "note", "truth", "group")} == {HOSTILE}
    assert about["prediction"] == [[HOSTILE, 0.5], ["긁힘", 0.25]]
    assert "긁힘" in text


def test_a_name_with_bytes_that_are_no_text_can_be_written(tmp_path):
    name = b"\xb1\xdc\xc8\xfb.png".decode("utf-8", "surrogateescape")
    assert entries_of(text_of(tmp_path, small_entry(name)))[0]["name"].endswith(".png")


def test_template_signs_in_titles_are_left_alone(tmp_path):
    assert "<title>$script &amp; ${title}</title>" in text_of(tmp_path, small_entry(), title="$script & ${title}")


def test_large_images_are_scaled_and_small_ones_kept_without_loss(tmp_path):
    large = Image.new("RGB", (4000, 3000), "red")
    small = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
    text = text_of(tmp_path, small_entry(image=large), small_entry(image=small))
    found = [re.search(r'id="image-0">data:image/(\w+);base64,([^<]*)<', text).groups()]
    found += re.findall(r"data:image/(\w+);base64,(.*)", entries_of(text)[1]["thumbnail"])
    assert [form for form, _ in found] == ["jpeg", "png"]
    images = [Image.open(io.BytesIO(base64.b64decode(content))) for _, content in found]
    assert [image.size for image in images] == [(640, 480), (32, 32)]
    assert (np.asarray(images[1]) == small.permute(1, 2, 0).numpy()).all()
    assert entries_of(text)[0]["width"] == 4000


def test_a_page_is_written_whole_or_not_at_all(tmp_path):
    (tmp_path / "page.html").write_text("old")
    page = Page("T")
    with pytest.raises(JumokError, match="at least one entry"):
        page.write(tmp_path / "page.html")
    page.add(small_entry())
    with pytest.raises(JumokError, match="cannot make the folder"):
        page.write(tmp_path / "page.html" / "inner.html")
    assert (tmp_path / "page.html").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


# -- the budget -----------------------------------------------------------------------------------


def test_entries_lose_heads_then_layers_in_order_and_the_page_says_so(tmp_path):
    maps = attention(photograph(), (14, 14), layers=4, heads=4)
    entries = [small_entry(f"{i}.png", summary=rollout(maps), layers=maps) for i in range(4)]
    alone = len(text_of(tmp_path, entries[0]))
    budget = round(alone * 2.4)
    text = text_of(tmp_path, *entries, budget=budget)
    assert len(text.encode()) <= budget
    about = entries_of(text)
    heads = [[layer["heads"] for layer in entry["layers"]] for entry in about]
    assert heads == [[4] * 4, [1] * 4, [1] * 4, [1] * 4]
    assert about[0]["lost"] == ""
    assert all("mean over heads" in entry["lost"] for entry in about[1:])


def test_a_budget_for_nothing_leaves_the_summaries(tmp_path):
    text = text_of(tmp_path, small_entry("a"), small_entry("b"), budget=60_000)
    about = entries_of(text)
    assert [entry["layers"] for entry in about] == [[], []]
    assert all(entry["lost"] == "only the summary and a smaller copy of this image" for entry in about)
    assert about[0]["summary"]["source"] == "rollout(cls)"


def test_kept_means_are_the_means_of_the_heads(tmp_path):
    maps = attention(photograph(), (14, 14), layers=3, heads=4)
    page = Page("T", budget=350_000)
    page.add(small_entry(layers=maps, summary=rollout(maps)))
    item = page._items[0]
    assert item.heads is None
    weights, _ = unpacked(item.means[2])
    assert np.abs(weights[0] - maps[2].weights.mean(0).numpy()).max() <= item.means[2].error + 1e-7


def test_what_cannot_fit_is_not_packed(monkeypatch):
    packs = []
    monkeypatch.setattr(page_module, "pack", lambda layer: packs.append(len(layer.lead)) or pack(layer))
    maps = attention(photograph(), (14, 14), layers=5, heads=4)
    page = Page("T", budget=400_000)
    page.add(small_entry(layers=maps, summary=rollout(maps)))
    assert packs == [0] + [0] * 5 + [1], "the summary, the means, and one layer to see how much its heads take"
    assert len(page._items[0].layers()) == 5


def test_a_page_of_many_images_keeps_to_its_budget(tmp_path):
    entries = [small_entry(f"한글 {i}.png") for i in range(60)]
    for budget in (600_000, 1_500_000):
        text = text_of(tmp_path, *entries, budget=budget)
        assert 0.8 * budget < len(text.encode()) <= budget
    assert any("smaller copy" in entry["lost"] for entry in entries_of(text_of(tmp_path, *entries, budget=600_000)))


def test_fine_maps_of_the_last_images_become_coarser_to_keep_the_budget(tmp_path):
    weights = torch.rand(1, 128 * 128, generator=torch.Generator().manual_seed(0))
    fine = AttentionMap(weights, One("image"), Pixels(128, 128), (), Scale.RELEVANCE, "saliency/x")
    entries = [small_entry(f"{number}.png", summary=fine, layers=None) for number in range(4)]
    text = text_of(tmp_path, *entries, budget=170_000)
    assert len(text.encode()) <= 170_000
    about = entries_of(text)
    grids = [entry["summary"]["keys"]["rows"] for entry in about]
    assert grids == sorted(grids, reverse=True)
    assert {grids[0], grids[-1]} == {128, page_module.COARSE_GRID}
    assert ["a coarser map" in entry["lost"] for entry in about] == [rows < 128 for rows in grids]


# -- what a user can get wrong --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": torch.zeros(3, 4, 4)}, "uint8"),
        ({"image": "a.png"}, "Pillow image"),
        ({"prediction": [("scratch", 1.2)]}, "probability of 'scratch'"),
        ({"prediction": [("scratch", float("nan"))]}, "probability of 'scratch'"),
        ({"summary": AttentionMap(torch.ones(1, 2), One("x"), Tokens(("a", "b")))}, "do not lie in an image"),
        ({"summary": AttentionMap(torch.ones(2, 4), Tokens(("a", "b")), Patches(2, 2))}, "summary of one row"),
        ({"layers": [AttentionMap(torch.ones(1, 4), One("x"), Patches(2, 2))]}, "from patches to patches"),
        ({"layers": [AttentionMap(torch.ones(1, 4, 4), Patches(2, 2), Patches(2, 2), ("batch",))]}, "leading axis"),
    ],
)
def test_a_bad_entry_is_refused_by_name_and_leaves_the_page_as_it_was(changes, message):
    page = Page("T")
    with pytest.raises(JumokError, match=f"a.png: .*{message}"):
        page.add(small_entry(**changes))
    assert len(page) == 0


def test_a_budget_is_positive():
    with pytest.raises(JumokError, match="budget"):
        Page("T", budget=0)
