"""Saliency maps beside OpenCV's: `python -m bench saliency`.

Speed is on a photograph of 640 x 480, bytes in and a float map out, one image at a time unless the row says otherwise.
OpenCV has spectral residual and fine-grained saliency itself; for frequency-tuned saliency and boolean maps the peer is
the method written in OpenCV's own operations, and for the model of Itti, Koch and Niebur there is none. Agreement is
the rank correlation with OpenCV's maps over all pixels: the worst of all photographs that scikit-learn and, where it
is installed, scikit-image bring along.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.measuring import LeftOut, interleaved, ratio
from bench.table import Part, Row
from jumok.machine import keep_freed
from jumok.mechanisms.saliency import saliency

WIDTH, HEIGHT, BATCH = 640, 480, 16
ROUNDS = {"spectral-residual": 301, "fine-grained": 31, "frequency-tuned": 31, "boolean-maps": 11}
GOALS = {"spectral-residual": ">= 1", "fine-grained": ">= 5"}
AGREES = ">= 0.95"
PHOTOGRAPHS = ("astronaut", "camera", "cat", "coffee", "coins", "hubble_deep_field", "moon", "retina", "rocket")

Bytes = NDArray[np.uint8]


def run(threads: int = 2) -> Iterator[Part]:
    """All rows of this bench."""
    torch.set_num_threads(threads)
    image = np.ascontiguousarray(next(photographs())[1][:HEIGHT, :WIDTH])
    image = np.pad(image, ((0, HEIGHT - image.shape[0]), (0, WIDTH - image.shape[1]), (0, 0)), mode="edge")
    for method in ROUNDS:
        yield f"{method}, one at a time", partial(_beside_opencv, method, threads, image)
    yield "itti-koch-niebur", lambda: [_alone("itti-koch-niebur", image)]
    for method in GOALS:
        yield f"{method}, {BATCH} at a time", partial(_beside_opencv, method, threads, image, BATCH)
        yield f"{method}, agreement", partial(_agreement_with, method, threads)


def _beside_opencv(method: str, threads: int, image: Bytes, batch: int = 1) -> list[Row]:
    if batch > 1:
        keep_freed()
    how = f"{batch} at a time" if batch > 1 else "one at a time"
    return [_speed(method, _peers(_opencv(threads))[method], image, how, batch)]


def _agreement_with(method: str, threads: int) -> list[Row]:
    return [_agreement(method, _peers(_opencv(threads))[method])]


def _opencv(threads: int) -> Any:
    try:
        cv2 = importlib.import_module("cv2")
    except ImportError as error:
        raise LeftOut("OpenCV is not installed: make bench-peers brings it") from error
    cv2.setNumThreads(threads)
    return cv2


def photographs() -> Iterator[tuple[str, Bytes]]:
    """Names and (height, width, 3) pixels."""
    from sklearn.datasets import load_sample_image

    for name in ("china.jpg", "flower.jpg"):
        yield name, np.ascontiguousarray(load_sample_image(name))
    try:
        from skimage import data
    except ImportError:
        return
    for name in PHOTOGRAPHS:
        image = getattr(data, name)()
        yield name, np.ascontiguousarray(image if image.ndim == 3 else np.repeat(image[..., None], 3, 2))


def _tensor(image: Bytes) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def _speed(method: str, peer: Callable[[Bytes], Any], image: Bytes, how: str, batch: int = 1) -> Row:
    images, turned = _tensor(image)[None].repeat(batch, 1, 1, 1), np.ascontiguousarray(image[..., ::-1])
    times = interleaved(
        {"ours": lambda: saliency(images, method), "peer": lambda: [peer(turned) for _ in range(batch)]},
        max(3, ROUNDS[method] // batch),
    )
    goal, rate = GOALS.get(method, "") if batch == 1 else "", {name: batch / each for name, each in times.items()}
    return Row(
        f"{method}, jumok / OpenCV, {how}", ratio(times, "peer", "ours"), goal, rate["ours"], rate["peer"], "images/s"
    )


def _alone(method: str, image: Bytes) -> Row:
    images = _tensor(image)
    rate = 1 / interleaved({"ours": lambda: saliency(images, method)}, 11)["ours"]
    return Row(f"{method}, images/s", rate, "", rate, None, "images/s", "no peer: stated alone")


def _agreement(method: str, peer: Callable[[Bytes], Any]) -> Row:
    from scipy.stats import spearmanr

    found = {}
    for name, image in photographs():
        theirs = peer(np.ascontiguousarray(image[..., ::-1]))[1]
        found[name] = float(spearmanr(theirs.ravel(), saliency(_tensor(image), method).flatten().numpy())[0])
    worst = min(found, key=lambda name: found[name])
    middle = float(np.median(list(found.values())))
    note = f"worst of {len(found)} photographs, {worst}; median {middle:.4f}"
    return Row(f"{method}, rank correlation with OpenCV's", found[worst], AGREES, found[worst], 1, "", note)


# -- the peers ------------------------------------------------------------------------------------


def _peers(cv2: Any) -> dict[str, Callable[[Bytes], Any]]:
    """By method, what makes a map of (height, width, 3) in OpenCV's order of colours."""
    spectral = cv2.saliency.StaticSaliencySpectralResidual_create()
    fine = cv2.saliency.StaticSaliencyFineGrained_create()
    return {
        "spectral-residual": spectral.computeSaliency,
        "fine-grained": fine.computeSaliency,
        "frequency-tuned": lambda image: _frequency_tuned(cv2, image),
        "boolean-maps": lambda image: _boolean_maps(cv2, image),
    }


def _frequency_tuned(cv2: Any, image: Bytes) -> Any:
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_BGR2Lab)
    blurred = cv2.sepFilter2D(lab, -1, *[np.array([1, 4, 6, 4, 1], np.float32) / 16] * 2)
    return np.sqrt(np.square(blurred - lab.mean((0, 1))).sum(-1))


def _boolean_maps(cv2: Any, image: Bytes) -> Any:
    """At 400 pixels on the longer side, each threshold flooded from the border, as ours."""
    scale = 400 / max(image.shape[:2])
    lab = cv2.cvtColor(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2Lab)
    total = np.zeros(lab.shape[:2], np.float32)
    for plane in cv2.split(lab):
        for threshold in range(int(plane.min()), int(plane.max()), 8):
            above = np.where(plane > threshold, np.uint8(255), np.uint8(1))
            for y, x in _border(above):
                if above[y, x]:
                    cv2.floodFill(above, None, (x, y), 0)
            for side in (255, 1):
                kept = cv2.morphologyEx((above == side).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
                size = cv2.norm(kept := cv2.dilate(kept, np.ones((5, 5), np.uint8)))
                total += kept / np.float32(size) if size else 0
    smooth = cv2.GaussianBlur(cv2.dilate(total, np.ones((7, 7), np.uint8)), (25, 25), 4)
    return cv2.resize(smooth, image.shape[1::-1])


def _border(plane: Bytes) -> Iterator[tuple[int, int]]:
    rows, columns = plane.shape
    yield from ((y, x) for y in (0, rows - 1) for x in range(columns))
    yield from ((y, x) for x in (0, columns - 1) for y in range(rows))
