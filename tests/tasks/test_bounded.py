"""A configuration that asks for more than its weights hold is refused before memory or time is spent."""

import json
import shutil

import pytest
import torch
from detectors import save_detector
from pretrained_models import save_hf
from safetensors.torch import save_file
from text_encoders import save_encoder
from torch import nn

from jumok.errors import JumokError
from jumok.tasks.bounded import bound_of, building_within
from jumok.tasks.classify.foreign import load_hf
from jumok.tasks.detect.opening import open_detector
from jumok.tasks.label.foreign import load_encoder


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    save_hf(folder / "image")
    save_encoder(folder / "text")
    save_detector(folder / "boxes", "Detr")
    return folder


HUGE = [
    ("image", {"hidden_size": 120_000}, "values"),
    ("image", {"num_hidden_layers": 10**7}, "modules"),
    ("image", {"num_labels": 10**400, "id2label": None, "label2id": None}, "outputs"),
    ("image", {"image_size": 40_000}, "values"),
    ("image", {"num_labels": 10**10, "id2label": None, "label2id": None}, "outputs"),
    ("text", {"num_hidden_layers": 10**7}, "modules"),
    ("text", {"vocab_size": 10**10}, "values"),
    ("text", {"max_position_embeddings": 10**10}, "values"),
    ("boxes", {"num_queries": 10**6}, "values"),
]
OPENERS = {"image": load_hf, "text": load_encoder, "boxes": lambda folder: open_detector(f"hf:{folder}")}


@pytest.mark.parametrize(("kind", "change", "said"), HUGE)
def test_huge_settings_beside_small_weights(kind, change, said, saved, tmp_path):
    folder = shutil.copytree(saved / kind, tmp_path / "model")
    settings = json.loads((folder / "config.json").read_text())
    kept = {key: value for key, value in (settings | change).items() if value is not None}
    (folder / "config.json").write_text(json.dumps(kept))
    with pytest.raises(JumokError, match=f"asks for a model of .*{said}") as error:
        OPENERS[kind](str(folder))
    assert "\n" not in str(error.value)
    assert "56 tensors" in str(error.value) or kind != "image"


def test_what_is_counted_is_what_is_there(tmp_path):
    save_file({"a": torch.ones(3, 4), "b": torch.ones(5)}, tmp_path / "x.safetensors")
    save_file({"c": torch.ones(())}, tmp_path / "y.safetensors")
    (tmp_path / "z.safetensors").write_bytes(b"nothing")
    bound = bound_of(tmp_path)
    assert (bound.tensors, bound.values) == (3, 18)
    with pytest.raises(JumokError, match=r"3 tensors with 18 values"), building_within(bound), torch.device("meta"):
        nn.Sequential(*(nn.Linear(1, 1) for _ in range(bound.most_modules + 1)))


def test_it_ends_with_its_block(tmp_path):
    bound = bound_of(tmp_path / "none.safetensors")
    with torch.device("meta"):
        with building_within(bound):
            nn.Linear(4096, 4096, bias=False)  # as many values as are allowed beside no weights
            with pytest.raises(JumokError, match="at least 16777217 values"):
                nn.Linear(1, 1)
        nn.Linear(4096, 4097)
