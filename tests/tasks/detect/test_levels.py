"""Queries that sample several feature maps: each weight lies where it was sampled, and none is lost."""

import inspect
import math

import numpy as np
import pytest
import torch
from detectors import LEVELS, save_detector
from PIL import Image

from jumok.attention import AttentionMap, One, Patches, Tokens
from jumok.tasks.detect.detecting import detect
from jumok.tasks.detect.levels import add_levels
from jumok.tasks.detect.opening import open_detector

pytest.importorskip("transformers")


def spread_by_hand(given, query, rows, columns):
    """Each sampled place by its bilinear weights on its own level, then evenly on the cells of the finest one."""
    places, weights = given["sampling_locations"][0, query], given["attention_weights"][0, query]
    total = torch.zeros(rows, columns, dtype=torch.float64)
    for level, (tall, wide) in enumerate(given["value_spatial_shapes_list"]):
        one = torch.zeros(tall, wide, dtype=torch.float64)
        for place, weight in zip(places[:, level].flatten(0, 1), weights[:, level].flatten(), strict=True):
            x, y = (share * side - 0.5 for share, side in zip(place.tolist(), (wide, tall), strict=True))
            for row in (math.floor(y), math.floor(y) + 1):
                for column in (math.floor(x), math.floor(x) + 1):
                    if 0 <= row < tall and 0 <= column < wide:
                        one[row, column] += weight.item() * (1 - abs(x - column)) * (1 - abs(y - row)) / len(places)
        finer = rows // tall, columns // wide
        total += one.repeat_interleave(finer[0], 0).repeat_interleave(finer[1], 1) / math.prod(finer)
    return total


@pytest.mark.parametrize("kind", LEVELS)
def test_each_map_is_where_its_query_sampled(tmp_path, kind):
    detector = open_detector(f"hf:{save_detector(tmp_path, kind)}")
    sampled = {}
    module = detector.network.model.decoder.layers[-1].encoder_attn.attn
    plain, names = module.forward, ("value", "value_spatial_shapes", "value_spatial_shapes_list", "level_start_index")

    def note(*given, **named):
        sampled.update(zip((*names, "sampling_locations", "attention_weights", "step"), given, strict=False), **named)
        return plain(*given, **named)

    note.__signature__ = inspect.signature(plain)
    module.forward = note
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 96), np.uint8)
    found = detect(detector, torch.from_numpy(pixels))
    for one in found:
        keys = one.heat.keys
        assert keys == Patches(8, 12)
        wanted = spread_by_hand(sampled, one.query, keys.rows, keys.columns)
        torch.testing.assert_close(one.heat.weights.view(8, 12).double(), wanted, atol=1e-5, rtol=0)
    assert (found[0].heat.weights - found[-1].heat.weights).abs().max() > 1e-3


@pytest.mark.parametrize("kind", LEVELS)
def test_boxes_are_those_of_the_processor(tmp_path, kind):
    detector = open_detector(f"hf:{save_detector(tmp_path, kind)}")
    pixels = np.random.default_rng(1).integers(0, 256, (90, 144, 3), np.uint8)
    given = detector.processor(images=Image.fromarray(pixels), return_tensors="pt")
    with torch.no_grad():
        outputs = detector.network(**given)
    (wanted,) = detector.processor.post_process_object_detection(outputs, -1.0, target_sizes=[(90, 144)])
    for one in detect(detector, torch.from_numpy(pixels).permute(2, 0, 1)):
        top, left, bottom, right = one.box
        near = (wanted["boxes"] - torch.tensor([left, top, right, bottom])).abs().amax(1) < 0.6
        same = near & (wanted["labels"] == one.label) & ((wanted["scores"] - one.score).abs() < 2e-4)
        assert same.any()


def test_no_weight_is_lost_where_sizes_are_no_multiples():
    levels = [(5, 7), (3, 4), (2, 2)]
    weights = torch.rand(2, sum(rows * columns for rows, columns in levels))
    row = AttentionMap(weights, Tokens(("a", "b")), Tokens(tuple(map(str, range(weights.shape[1])))))
    added = add_levels(row, levels)
    assert added.keys == Patches(5, 7)
    torch.testing.assert_close(added.weights.sum(-1), weights.sum(-1))
    alone = add_levels(AttentionMap(torch.eye(51)[35:36], One("a"), row.keys), levels)
    covered = alone.weights.view(5, 7)
    corner = torch.zeros(5, 7, dtype=torch.bool)
    corner[:2, :2] = True
    assert torch.equal(covered > 0, corner)
    assert covered[0, 0] == pytest.approx((3 / 5) * (4 / 7))
