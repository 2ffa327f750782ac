"""What the axes of an input are: told by what reads it first, for numbers alone tell nothing."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from jumok.watching.provenance import functions
from jumok.watching.provenance.identities import Identities
from jumok.watching.provenance.origins import FOREIGN, IMAGE, PLAIN, SERIES
from jumok.watching.provenance.pictures import TracedPixels

IMAGE_CHANNELS = (1, 3, 4)
SOUND_CHANNELS = (1, 2)
SHORTEST_SOUND = 64
"""Samples of a sound, at least, where no convolution tells that it is one."""
LEAST_SIDES = 3
"""Sides of a patch: channels, rows and columns."""
SMALLEST_IMAGE = 8
"""Pixels of an image's side, at least, where no convolution tells that it is an image."""
_READ_ROWS = frozenset(
    ["linear", "layer_norm", "rms_norm", "matmul", "scaled_dot_product_attention", "attended_module"]
)
_READ_ROWS |= {"multi_head_attention_forward", "einsum", "mm", "addmm", "transpose", "dropout", "chunk", "T"}
"""What reads rows of features, of an input of two axes."""
_READ_IMAGES = functions.names(
    "view reshape permute flatten unflatten unfold unfold_images pad __getitem__ sub add mul div "
    "interpolate roll flip pixel_unshuffle chunk split unsqueeze movedim contiguous to float half "
    "bfloat16 clone stack cat normalize __sub__ __mul__ batch_norm mean amax max_pool2d avg_pool2d "
    "grid_sample rearrange reshape_as view_as"
)
"""What reads an image, where no convolution does: attention and products read tokens."""


class Reading(NamedTuple):
    """What reads an input first.

    Args:
        name: of the function.
        made: the shape of what it makes; empty where that is not known.
        traced: where the input's numbers lie in images, where that is known.
        convolved: the axis of channels, where a convolution reads it later.
    """

    name: str
    made: tuple[int, ...] = ()
    traced: TracedPixels | None = None
    convolved: int | None = None

    def cuts_rows(self, shape: tuple[int, ...]) -> bool:
        """Whether the rows of a table of numbers are each cut into the sides of a patch, as of images cut before."""
        laid_out = self.name in ("view", "reshape") and len(self.made) > LEAST_SIDES and self.made[0] == shape[0]
        return self.traced is not None or laid_out

    def find_channels(self, shape: tuple[int, ...]) -> int | None:
        """The axis of channels, where it is told by the images or by how tiles of images are put into one axis."""
        if self.traced is not None:
            return self.traced.find_channels()
        tiles = len(shape) == 5 and shape[2] in IMAGE_CHANNELS and len(self.made) == 4
        return 2 if tiles and self.made[1:] == shape[2:] and min(shape[3:]) >= SMALLEST_IMAGE else None


def add_input(known: Identities, shape: tuple[int, ...], reading: Reading, why: str) -> Tensor:
    """Identities of an input's elements.

    Args:
        known: the table, which the input is added to.
        shape: of the input.
        reading: what reads it first.
        why: for what was neither given to the model nor made by anything seen, what is known of it; else "".
    """
    reader = reading.name
    channels = reading.find_channels(shape)
    if channels is None and reading.traced is None:
        channels = _find_channels(shape, reader)
        unbatched = reader in functions.CONVOLUTIONS and reading.convolved == 0
        channels = reading.convolved if channels is None or unbatched else channels
    if channels is not None:
        return _add_places(known, shape, channels, why)
    known_rows = reading.cuts_rows(shape)
    if reader == "unsqueeze" and not known_rows and len(shape) == 3 and min(shape[1:]) >= SMALLEST_IMAGE:  # spectrogram
        return known.add_source(FOREIGN if why else SERIES, (shape[0], 1, *shape[1:]), why).view(shape)
    if len(shape) == 2 and reader not in _READ_ROWS and not known_rows:  # sound as it is sampled
        return known.add_source(FOREIGN if why else SERIES, (*shape, 1, 1), why).view(shape)
    return _add_tokens(known, shape, why)


def _find_channels(shape: tuple[int, ...], reader: str) -> int | None:
    """The axis of an image's, a video's or a sound's channels; None for other inputs."""
    rank = len(shape)
    if reader in functions.CONVOLUTIONS | functions.POOLINGS:
        return 1 if rank in (3, 4, 5) else None
    if rank == 3 and reader in _READ_IMAGES and shape[1] in SOUND_CHANNELS and shape[2] >= SHORTEST_SOUND:
        return 1
    if reader not in _READ_IMAGES or rank not in (4, 5):
        return None
    for axis in (1, 2) if rank == 5 else (1, 3):
        places = [size for place, size in enumerate(shape) if place not in (0, axis)]
        if shape[axis] in IMAGE_CHANNELS and min(places[-2:]) >= SMALLEST_IMAGE:
            return axis
    return None


def _add_places(known: Identities, shape: tuple[int, ...], channels: int, why: str) -> Tensor:
    """The same identity in all channels of a place."""
    if channels == 0:  # one image, with no axis of the batch
        return _add_places(known, (1, *shape), 1, why)[0]
    places = [size for axis, size in enumerate(shape) if axis not in (0, channels)]
    kind = FOREIGN if why else SERIES if len(places) == 1 else IMAGE
    time, rows, columns = (places[0], 1, 1) if len(places) == 1 else (1,) * (3 - len(places)) + tuple(places)
    ids = known.add_source(kind, (shape[0], time, rows, columns), why)
    return ids.view(shape[0], *places).unsqueeze(channels).expand(shape)


def _add_tokens(known: Identities, shape: tuple[int, ...], why: str) -> Tensor:
    """The same identity in all features of a token."""
    rows = (1, *shape[:-1]) if len(shape) == 2 else shape[:-1]
    places = [*rows[1:], 1, 1, 1][:3] if len(rows) <= 4 else [math.prod(rows[1:]), 1, 1]
    ids = known.add_source(FOREIGN if why else PLAIN, (rows[0], places[0], places[1], places[2]), why)
    return ids.view(*shape[:-1], 1).expand(shape)
