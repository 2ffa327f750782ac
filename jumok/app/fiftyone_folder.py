"""Looks as a folder in FiftyOne's own format, which it imports with all fields. Nothing of FiftyOne is needed here."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from torch.nn.functional import adaptive_avg_pool2d

from jumok.app.fiftyone_fields import TEXT, describe_fields
from jumok.data.table_rows import BETWEEN
from jumok.files import replacing, write_atomically
from jumok.wording import readable, write_count

if TYPE_CHECKING:
    from types import TracebackType

    from jumok.attention import AttentionMap

__all__ = ["HEATMAP", "FiftyOneFolder", "Sample"]

HEATMAP, ERROR = "heatmap", "error"
"""Names of fields."""
VERSION = "1.0.0"
"""Of FiftyOne, whose form of a data set is written: older ones refuse it, newer ones bring it to their own."""
MOST_CELLS = 512
"""Rows or columns of a map: a document of the database holds 16 MiB."""
WHOLE = (0.0, 0.0, 1.0, 1.0)
"""The frame that is all of an image."""
OF_NO_GRID = 64
"""Rows and columns of a map whose places make no grid."""
FINER = 4
"""Times as many where the grid covers a part of the image, as its edges lie between those of the whole."""


@dataclass(frozen=True)
class Sample:
    """What is known of an image.

    Args:
        path: of its file; where `content` is given, its name.
        content: its bytes, where it has no file of its own; they get one.
        answer: the class, the labels with bars between, or the number; None: no model was asked.
        shares: probabilities of classes or labels, where they are known.
        truth: the class that it really has; empty where that is not known.
        heats: maps, by the name of their field.
        texts: further fields.
    """

    path: Path
    content: bytes | None = None
    answer: str | float | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    truth: str = ""
    heats: Mapping[str, AttentionMap] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


class FiftyOneFolder:
    """A folder that `fiftyone.Dataset.from_dir(..., dataset_type=fiftyone.types.FiftyOneDataset)` imports.

    Samples are written one by one while the block lasts, in which the folder is used, and the rest when it ends well.

    Args:
        folder: that is written.
        name: of the data set.
        answers: class, multi or number; see `jumok.tasks.classify.kinds`.
        classes: that can be answered; none of numbers.
    Attributes:
        written, left_out: how many samples.
    """

    def __init__(self, folder: Path, name: str, answers: str = "class", classes: Sequence[str] = ()) -> None:
        self.folder, self.written, self.left_out = folder, 0, 0
        self._name, self._answers, self._classes = name, answers, list(classes)
        self._now = {"$date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"}
        self._own = _make_id(name, "data set")
        self._fields: dict[str, str] = {}
        self._open = ExitStack()

    def __enter__(self) -> FiftyOneFolder:
        fresh = self._open.enter_context(replacing(self.folder / "samples.json"))
        self._samples: IO[str] = self._open.enter_context(fresh.open("w", encoding="utf-8"))
        self._samples.write('{"samples": [')
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._samples.write("\n]}\n")
        self._open.__exit__(kind, error, trace)
        if error is None:
            write_atomically(self.folder / "metadata.json", json.dumps(self._describe(), ensure_ascii=False) + "\n")

    def add(self, sample: Sample) -> None:
        """Write a sample; one whose name is no text is left out, as the database cannot hold it."""
        place = self._place(sample)
        try:
            place.encode()
        except UnicodeEncodeError:
            self.left_out += 1
            return
        key = f"{self.written} {place}"
        labels = {
            "prediction": self._to_label(sample, key),
            "ground_truth": _to_class(sample.truth, None, f"{key} truth") if sample.truth else None,
            **{name: _to_heatmap(heat, f"{key} {name}") for name, heat in sample.heats.items()},
        }
        self._fields |= {name: str(label["_cls"]) for name, label in labels.items() if label is not None}
        self._fields |= dict.fromkeys((name for name, text in sample.texts.items() if text), TEXT)
        document = {
            "_id": _make_id(key),
            "filepath": place,
            "tags": [],
            "_media_type": "image",
            "_rand": int(_make_id(key, "rand")["$oid"], 16) / 2**96,
            **{name: label for name, label in labels.items() if label is not None},
            **{name: text for name, text in sample.texts.items() if text},
            "_dataset_id": self._own,
            "created_at": self._now,
            "last_modified_at": self._now,
        }
        self._samples.write(("," if self.written else "") + "\n" + json.dumps(document, ensure_ascii=False))
        self.written += 1

    def add_failed(self, path: Path, why: str) -> None:
        """Write a sample of an image that could not be used."""
        self.add(Sample(path, texts={ERROR: readable(why)}))

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        if self.left_out:
            yield f"not exported, as they have no file or their names are not UTF-8: {self.left_out:,}"
        yield f"for FiftyOne: {self.folder} ({write_count(self.written, 'sample')})"

    def _place(self, sample: Sample) -> str:
        """Where the image's file is: in its own place, or below the folder."""
        if sample.content is None:
            return str(sample.path.absolute())
        (self.folder / "data").mkdir(exist_ok=True)
        (self.folder / "data" / sample.path.name).write_bytes(sample.content)
        return f"data/{sample.path.name}"

    def _to_label(self, sample: Sample, key: str) -> dict[str, Any] | None:
        """What was answered, as the kind of label that it is."""
        if sample.answer is None:
            return None
        if self._answers == "number":
            return {"_id": _make_id(key, "answer"), "_cls": "Regression", "tags": [], "value": float(sample.answer)}
        answer, shares = str(sample.answer), sample.shares
        if self._answers == "class":
            return _to_class(answer, shares.get(answer), f"{key} answer")
        names = [name for name in answer.split(BETWEEN) if name]
        each = [_to_class(name, shares.get(name), f"{key} {name} answer") for name in names]
        return {"_cls": "Classifications", "classifications": each}

    def _describe(self) -> dict[str, Any]:
        """The document of the data set."""
        return {
            "_id": self._own,
            "name": self._name,
            "slug": self._name,
            "version": VERSION,
            "created_at": self._now,
            "last_modified_at": self._now,
            "last_loaded_at": self._now,
            "sample_collection_name": f"samples.{self._own['$oid']}",
            "persistent": False,
            "media_type": "image",
            "group_media_types": {},
            "tags": [],
            "info": {},
            "app_config": {"grid_media_field": "filepath", "media_fields": ["filepath"], "plugins": {}},
            "classes": {},
            "default_classes": self._classes,
            "mask_targets": {},
            "default_mask_targets": {},
            "skeletons": {},
            "sample_fields": describe_fields(self._fields),
            "frame_fields": [],
            "saved_views": [],
            "workspaces": [],
            "annotation_runs": {},
            "brain_methods": {},
            "evaluations": {},
            "runs": {},
        }


# -- documents ----------------------------------------------------------------------------------


def _make_id(*key: str) -> dict[str, str]:
    """An id of 96 bits, the same for the same thing."""
    return {"$oid": hashlib.sha256("\0".join(key).encode()).hexdigest()[:24]}


def _to_class(name: str, share: float | None, key: str) -> dict[str, Any]:
    known = {} if share is None else {"confidence": share}
    return {"_id": _make_id(key), "_cls": "Classification", "tags": [], "label": name, **known}


def _to_heatmap(heat: AttentionMap, key: str) -> dict[str, Any]:
    """The map's own values over the whole image, and the range from no colour to the strongest."""
    from jumok.views.raster import find_whole_cells, is_signed

    cells = find_whole_cells(heat.keys) or (OF_NO_GRID, OF_NO_GRID)
    finer = 1 if getattr(heat.keys, "frame", None) in (None, WHOLE) else FINER
    height, width = (side * finer for side in cells)
    grid = heat.image(height, width).reshape(1, height, width).float()
    shrink = max(height, width, MOST_CELLS) / MOST_CELLS
    if shrink > 1:
        grid = adaptive_avg_pool2d(grid, (max(round(height / shrink), 1), max(round(width / shrink), 1)))
    peak = float(grid.abs().max()) or 1.0
    return {
        "_id": _make_id(key),
        "_cls": "Heatmap",
        "tags": [],
        "map": _to_binary(grid[0].cpu().numpy()),
        "range": [-peak if is_signed(heat) else 0.0, peak],
    }


def _to_binary(values: np.ndarray[Any, Any]) -> dict[str, Any]:
    """An array as the database keeps it: numpy's own file format, compressed by zlib."""
    file = io.BytesIO()
    np.save(file, values, allow_pickle=False)
    return {"$binary": {"base64": base64.b64encode(zlib.compress(file.getvalue())).decode(), "subType": "00"}}
