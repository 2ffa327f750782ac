"""Every image classifier of `transformers`, tiny and with random weights: whether it is opened as it is meant to be.

python -m reproduce opened                     about 2 minutes on one core
python -m reproduce opened --only "vit,swin*"  some of them

Each is saved with its own image processor and opened again by jumok; its input is held against what the processor
gives, its probabilities against `transformers.pipeline`. The page goes to docs/opened.md, and the
figures to the table of `python -m reproduce zoo`, too.
"""

from __future__ import annotations

import argparse
import fnmatch
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from jumok.errors import JumokError, first_line
from jumok.files import write_atomically
from reproduce.rows import Row

TITLE = "Image classifiers of transformers, opened with their own image processors"
ABOUT = (
    "Each architecture is built tiny with random weights, saved with its own image processor at the model's size, and "
    "opened from the folder. input: the largest difference to what the processor gives. probabilities: the largest "
    "difference to transformers.pipeline. part: what the model sees of an image of 60 x 90 pixels, as shares of it."
)
QUICK = {"only": "vit,resnet,mobilevit", "page": None}
PAGE = Path(__file__).parents[1] / "docs" / "opened.md"
CLASSES, SIDE, MARGIN = 4, 64, 4
SAME_INPUT, SAME_SHARES = 1e-6, 1e-5


class Opened(NamedTuple):
    """What became of one architecture; `why` says why there are no figures."""

    name: str
    processor: str = ""
    inputs: float | None = None
    shares: float | None = None
    part: str = ""
    why: str = ""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", default="*", metavar="GLOBS", help="names of architectures, by commas")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page made of them")


def run(options: argparse.Namespace) -> Iterator[Row]:
    results = []
    for name, kind in list_classifiers(options.only):
        results.append(judge(name, kind))
        print(" ".join(map(str, results[-1])), flush=True)
        if results[-1].inputs is not None and results[-1].shares is not None:
            yield Row(kind, name, "input", results[-1].inputs, f"<= {SAME_INPUT}")
            yield Row(kind, name, "probabilities", results[-1].shares, f"<= {SAME_SHARES}")
    if options.page:
        write_page(options.page, results)


def list_classifiers(only: str) -> Iterator[tuple[str, str]]:
    """Architectures, and the classes of their image classifiers."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as KNOWN

    for name, kinds in KNOWN.items():
        if any(fnmatch.fnmatchcase(name, part.strip()) for part in only.split(",")):
            yield from ((name, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def judge(name: str, kind: str) -> Opened:
    """Build, save, open and compare one architecture."""
    why = ""
    with tempfile.TemporaryDirectory() as place:
        for tiny in (True, False):  # some do not fit together when they are made narrow
            try:
                processor = save(name, kind, Path(place), tiny=tiny)
                return compare(name, processor, Path(place))
            except JumokError as error:
                why = str(error).replace(place, "FOLDER")
            except Exception as error:
                why = f"not built here: {first_line(error)}"
    return Opened(name, why=why)


def save(name: str, kind: str, folder: Path, *, tiny: bool) -> str:
    """Save a model with its processor. Returns the kind of processor."""
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    from reproduce.zoo_configs import OVERRIDES, merge, shrink
    from reproduce.zoo_models import make_peaked

    make = CONFIG_MAPPING[name]
    values = merge(shrink(make().to_dict()), OVERRIDES.get(name, {})) if tiny else {}
    config = make(**{**values, "id2label": {number: f"class {number}" for number in range(CLASSES)}})
    make_peaked(getattr(transformers, kind)(config).float()).save_pretrained(folder)
    processor = make_processor(name, getattr(config, "image_size", None) or SIDE)
    processor.save_pretrained(folder)
    return type(processor).__name__.removesuffix("Pil")


def make_processor(name: str, side: int | list[int]) -> Any:
    """The image processor of an architecture as it is, for images of this size."""
    from transformers.models.auto.image_processing_auto import (
        IMAGE_PROCESSOR_MAPPING_NAMES,
        get_image_processor_class_from_name,
    )

    kinds = IMAGE_PROCESSOR_MAPPING_NAMES.get(name, {"pil": "ViTImageProcessorPil"})
    make = get_image_processor_class_from_name(kinds.get("pil") or kinds["torchvision"])
    usual, side = make(), side if isinstance(side, int) else side[0]
    square, sizes = {"height": side, "width": side}, {}
    if usual.size:
        cropped = side + MARGIN if usual.do_center_crop else side
        sizes["size"] = {"shortest_edge": cropped} if usual.size.get("shortest_edge") else square
    return make(**sizes, **({"crop_size": square} if usual.crop_size else {}))


@torch.inference_mode()
def compare(name: str, processor: str, folder: Path) -> Opened:
    """Hold what jumok gives a model, and what it says, against the library."""
    from transformers import AutoImageProcessor, pipeline

    from jumok.tasks.classify.any_classifier import open_model

    values = np.random.default_rng(0).integers(0, 256, (15, 23, 3), dtype=np.uint8)
    picture = Image.fromarray(values).resize((90, 60))
    image = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    opened = open_model(f"hf:{folder}")
    theirs = AutoImageProcessor.from_pretrained(folder)(picture, return_tensors="pt").pixel_values
    said = pipeline("image-classification", model=str(folder), top_k=CLASSES)(picture)
    shares = dict(zip(opened.classes, opened.predict([image])[0].tolist(), strict=True))
    frame = opened.frame(image)
    return Opened(
        name,
        processor,
        float((opened.prepare([image]) - theirs).abs().max()),
        max(abs(shares[each["label"]] - each["score"]) for each in said),
        "all" if frame is None else ", ".join(f"{edge:.3f}" for edge in frame),
    )


def write_page(path: Path, results: list[Opened]) -> None:
    """Write the page of all architectures."""
    done = [result for result in results if not result.why]
    lines = ["# Image classifiers of transformers, opened", "", ABOUT, "", f"`python -m reproduce opened`: {len(done)}"
             f" of {len(results)} could be built and opened.", ""]  # fmt: skip
    lines += ["| architecture | image processor | input | probabilities | part (top, left, bottom, right) |",
              "|---|---|---:|---:|---|"]  # fmt: skip
    lines += list(map(_write_row, done))
    lines += ["", "| not opened | why |", "|---|---|"]
    lines += [f"| {each.name} | {each.why[:200].replace('|', '/')} |" for each in results if each.why]
    write_atomically(path, "\n".join(lines) + "\n")


def _write_row(each: Opened) -> str:
    assert each.inputs is not None  # of what was opened
    assert each.shares is not None
    figures = f"{write_difference(each.inputs)} | {write_difference(each.shares)}"
    return f"| {each.name} | {each.processor} | {figures} | {each.part} |"


def write_difference(value: float) -> str:
    """A difference, by its size alone.

    >>> write_difference(0.0), write_difference(2.98e-8)
    ('0', '3e-08')
    """
    return f"{value:.0e}" if value else "0"
