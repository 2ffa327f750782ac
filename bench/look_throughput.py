"""What maps cost for many images: ViT-S/16 by `jumok.Looker`, with relevance, beside prediction alone.

Both read the same JPEG files, in the same batches; the model is `transformers`' own, with random weights.
"""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bench import torchvision_names
from bench.measuring import interleaved, ratio
from bench.table import Part, Row
from jumok.app.engine.looker import Looker

IMAGES, SIDE, BATCH, ROUNDS = 16, 256, 8, 5
METHODS = ("chefer", "rollout")


def run(threads: int = 2) -> Iterator[Part]:
    """All rows of this bench."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        model, paths = _save_model(Path(folder) / "vit"), _write_images(Path(folder) / "photos")
        for method in METHODS:
            yield f"prediction with {method}", functools.partial(_costs, method, model, paths)


def _costs(method: str, model: str, paths: list[str]) -> list[Row]:
    return [_cost(method, model, paths)]


def _cost(method: str, model: str, paths: list[str]) -> Row:
    lookers = {
        "maps": Looker(model, method=method, batch_size=BATCH, device="cpu"),
        "plain": Looker(model, maps=False, batch_size=BATCH, device="cpu"),
    }
    times = interleaved({name: functools.partial(looker, {"path": paths}) for name, looker in lookers.items()}, ROUNDS)
    rates = {name: len(paths) / seconds for name, seconds in times.items()}
    claim = f"prediction with {method} / prediction alone, seconds, ViT-S/16, JPEG {SIDE} x {SIDE}"
    return Row(claim, ratio(times, "maps", "plain"), "", rates["maps"], rates["plain"], "images/s", f"batch {BATCH}")


def _save_model(folder: Path) -> str:
    torchvision_names.define()
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    config = ViTConfig(hidden_size=384, num_hidden_layers=12, num_attention_heads=6, intermediate_size=1536)
    ViTForImageClassification(config).save_pretrained(folder)
    size = {"height": 224, "width": 224}
    settings = {"do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": size}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return f"hf:{folder}"


def _write_images(folder: Path) -> list[str]:
    folder.mkdir()
    chance = np.random.default_rng(0)
    paths = [folder / f"{number:03}.jpg" for number in range(IMAGES)]
    for path in paths:
        coarse = Image.fromarray(chance.integers(0, 256, (16, 16, 3)).astype(np.uint8))
        coarse.resize((SIDE, SIDE)).save(path, quality=90)
    return [str(path) for path in paths]
