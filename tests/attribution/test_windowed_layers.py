"""Single layers of windows, such as Swin's: their weights as one map of the image."""

import pytest
import torch
import transformers
from attributed_models import pixels
from watched_models import peaked

from jumok.attention import Patches, Scale
from jumok.errors import JumokError
from jumok.watching.watch import watch

WINDOW = 4
OPTIONS = {"patch_size": 2, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": WINDOW}


def swin(**options):
    torch.manual_seed(0)
    config = transformers.SwinConfig(**{"image_size": 32, **OPTIONS, **options}, num_labels=3)
    return peaked(transformers.SwinForImageClassification(config))


def look(model, given):
    with watch(model) as seen:
        target = model(given).logits[:, 1]
    return seen, target


def spread(seen, layer, image, chosen=lambda weights: weights.mean(0)):
    """(pixels) The mean over all queries of an image, from its windows one by one."""
    windows = seen[layer].weights.shape[1]
    total = torch.zeros(32, 32)
    for window in range(windows):
        found = seen.of_window(layer, image, window)
        row = chosen(found.weights).mean(0) / windows
        total += found.keys.spread(row[None], 32, 32)[0]
    return total


@pytest.mark.parametrize("layer", [0, 1, 2, 3], ids=["plain", "shifted", "merged", "merged and whole"])
def test_the_mean_over_all_queries_is_that_of_the_windows_laid_beside_one_another(layer):
    seen, target = look(swin(), pixels())
    if not seen.has_windows(layer):
        pytest.skip("its windows hold the whole image")
    found = seen.relevance(target, "mean", method="raw", layer=layer)
    assert isinstance(found.keys, Patches)
    assert (found.lead, found.scale, found.source) == (("batch",), Scale.DISTRIBUTION, seen.names[layer])
    torch.testing.assert_close(found.weights.sum(-1), torch.ones(2, 1))
    laid = found.image(32, 32)[:, 0]
    for image in range(2):
        torch.testing.assert_close(laid[image], spread(seen, layer, image), atol=1e-6, rtol=1e-4)


def test_one_head():
    seen, target = look(swin(), pixels())
    found = seen.relevance(target, "mean", method="raw", layer=1, head=-1).image(32, 32)[0, 0]
    torch.testing.assert_close(found, spread(seen, 1, 0, lambda weights: weights[-1]), atol=1e-6, rtol=1e-4)
    with pytest.raises(JumokError, match="head=2 is outside the 2 of this map"):
        seen.relevance(target, "mean", method="raw", layer=1, head=2)


def test_a_patch_looks_at_its_own_window():
    seen, target = look(swin(), pixels())
    found = seen.relevance(target, (0, 5), method="raw", layer=0)
    inside = torch.zeros(16, 16, dtype=torch.bool)
    inside[:4, 4:8] = True
    assert found.weights[0, 0].nonzero()[:, 0].tolist() == inside.flatten().nonzero()[:, 0].tolist()
    assert found.queries.labels() == ["0,5"]
    with pytest.raises(JumokError, match="cls"):
        seen.relevance(target, "cls", method="raw", layer=0)


def test_without_a_query_all_windows_look():
    seen, target = look(swin(), pixels())
    for method in ("raw", "value-weighted"):
        found = seen.relevance(target, method=method, layer=1)
        torch.testing.assert_close(found.weights, seen.relevance(target, "mean", method=method, layer=1).weights)


def test_weights_times_the_length_of_values():
    seen, target = look(swin(), pixels())
    found = seen.relevance(target, "mean", method="value-weighted", layer=1).image(32, 32)[1, 0]
    lengths = seen.attended(1).value_norms().unflatten(0, (2, -1))[1]
    windows = iter(lengths)
    wanted = spread(seen, 1, 1, lambda weights: (weights * next(windows)[:, None]).mean(0))
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-4)


def test_padding_to_whole_windows_is_no_place():
    """30 pixels are 15 patches, padded to 16: what looks from there or is looked at there is not in the image."""
    seen, target = look(swin(image_size=30), torch.nn.functional.pad(pixels(), (0, -2, 0, -2)))
    found = seen.relevance(target, "mean", method="raw", layer=0)
    assert (found.keys.rows, found.keys.columns) == (15, 15)


def test_images_do_not_touch():
    both = pixels()
    seen, target = look(swin(), both)
    alone, its = look(swin(), both[1:])
    given = (each.relevance(its, "mean", method="raw").weights[-1] for each, its in ((seen, target), (alone, its)))
    torch.testing.assert_close(*given)
