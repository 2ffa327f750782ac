"""The one value of the program: who looks at what, and how much."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, overload

import torch
from safetensors import safe_open
from torch import Tensor

from jumok.attention.axes_in_images import Patches, Pixels
from jumok.attention.axis import Axis, Place
from jumok.attention.frames import Frame
from jumok.attention.interleaved import Interleaved as Interleaved
from jumok.attention.interleaved import choose_image
from jumok.attention.named_axes import One
from jumok.attention.notebook import MOST_CELLS, build_picture
from jumok.errors import JumokError, foreign, suggest
from jumok.files import regular_file, replacing, write_header

__all__ = ["AttentionMap", "Scale"]

FORMAT = "jumok-attention-map/1"
MAP_FILE, PICTURES = ".safetensors", (".png", ".svg", ".pdf")


class Scale(StrEnum):
    """What the numbers of a map mean."""

    DISTRIBUTION = "distribution"
    """0 or more, and each query's weights sum to 1."""
    GATE = "gate"
    """Independent weights in [0, 1]."""
    MASK = "mask"
    """0 or 1."""
    SCORE = "score"
    """Any sign, before normalising."""
    RELEVANCE = "relevance"
    """Contribution to one output, 0 or more, no fixed sum."""


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """How much each query looks at each key. Values are kept raw: nothing is clipped or rescaled.

    Args:
        weights: (*lead, queries, keys), float32, finite.
        queries: who looks.
        keys: what is seen.
        lead: names of the axes in front, such as ("batch", "layer", "head").
        scale: what the numbers mean.
        source: where the map comes from, such as "blocks.3.attn" or "rollout(cls)".
        unit: of the weights, such as "nats"; empty where they have none.
    Raises:
        JumokError: the shape does not fit the axes, or a weight is not a finite float32.

    >>> from jumok.attention import Tokens
    >>> weights = torch.tensor([[0.1, 0.9], [0.5, 0.5]])
    >>> AttentionMap(weights, Tokens(("le", "chat")), Tokens(("the", "cat"))).row("le").top(1)
    [('cat', 0.8999999761581421)]
    """

    weights: Tensor
    queries: Axis
    keys: Axis
    lead: tuple[str, ...] = ()
    scale: Scale = Scale.DISTRIBUTION
    source: str = ""
    unit: str = ""

    def __post_init__(self) -> None:
        wanted = (
            f"({', '.join([*self.lead, 'queries', 'keys'])}) with {len(self.queries)} x {len(self.keys)} at the end"
        )
        shape = tuple(self.weights.shape)
        if len(shape) != len(self.lead) + 2 or shape[-2:] != (len(self.queries), len(self.keys)):
            raise JumokError(f"weights of shape {shape} do not fit the axes: wanted {wanted}")
        if len(set(self.lead)) != len(self.lead):
            raise JumokError(f"each leading axis needs a name of its own, got {self.lead}")
        if self.weights.dtype != torch.float32:
            raise JumokError(f"weights are float32, got {self.weights.dtype}: convert with .float()")
        if not _is_finite(self.weights):
            raise JumokError(f"weights of {self.source or 'this map'} hold NaN or infinity: check the model's values")

    def __repr__(self) -> str:
        lead = "".join(f"{name} {size} x " for name, size in zip(self.lead, self.weights.shape, strict=False))
        return (
            f"AttentionMap({lead}queries {len(self.queries)} x keys {len(self.keys)}, "
            f"{type(self.queries).__name__} -> {type(self.keys).__name__}, {self.scale}, {self.source!r})"
        )

    # -- choosing a part ------------------------------------------------------------------------

    def at(self, **places: int) -> AttentionMap:
        """Pick one entry of each leading axis named; those axes are gone from the result.

        Raises:
            JumokError: no leading axis of that name, or an index outside it.

        >>> maps = AttentionMap(torch.full((2, 3, 1, 4), 0.25), One("cls"), Patches(2, 2), ("layer", "head"))
        >>> maps.at(layer=1, head=-1).weights.shape
        torch.Size([1, 4])
        """
        weights, lead = self.weights, list(self.lead)
        for name, place in places.items():
            dim = self._lead_dim(name, lead)
            size = weights.shape[dim]
            if not -size <= place < size:
                raise JumokError(f"{name}={place} is outside the {size} of this map")
            weights = weights.select(dim, place)
            del lead[dim]
        return dataclasses.replace(self, weights=weights, lead=tuple(lead))

    def mean(self, *names: str) -> AttentionMap:
        """Average over the leading axes named; those axes are gone from the result."""
        weights, lead = self.weights, list(self.lead)
        for name in names:
            dim = self._lead_dim(name, lead)
            weights = weights.mean(dim)
            del lead[dim]
        scale = Scale.GATE if self.scale is Scale.MASK and names else self.scale
        return dataclasses.replace(self, weights=weights, lead=tuple(lead), scale=scale)

    def row(self, place: Place) -> AttentionMap:
        """Keep one query, picked by index, name or (row, column)."""
        index = self.queries.index(place)
        return dataclasses.replace(
            self, weights=self.weights[..., index : index + 1, :], queries=One(self.queries.label(index))
        )

    def within(self, frame: Frame | None) -> AttentionMap:
        """The same map over a larger image, of which the one that it is of is a part.

        Args:
            frame: (top, left, bottom, right) of that part, in shares of the larger image; None: it is the whole.
        """
        if frame is None:
            return self
        return dataclasses.replace(self, queries=self.queries.within(frame), keys=self.keys.within(frame))

    def on(self, what: str, number: int | None = None) -> AttentionMap:
        """The same weights with the keys laid over one image, of a model that reads images inside a text.

        Args:
            what: "image".
            number: of the image, from 0; None: the only one.
        Returns:
            Keys are the image's `Patches` or `Regions`, behind all other tokens, which cover no pixels of it.
        Raises:
            JumokError: no places of an image are known, with the reason; or several images, of which none was chosen.

        >>> from jumok.attention import Interleaved
        >>> axis = Interleaved(("look", "0,0", "0,1"), images=(Patches(1, 2),), entries=((1, 2),))
        >>> AttentionMap(torch.tensor([[0.5, 0.1, 0.4]]), One("blue"), axis).on("image").keys
        Patches(rows=1, columns=2, special=('look',), frame=None)
        """
        if what != "image":
            raise JumokError(f"on() lays keys over an image, got {what!r}: wanted .on('image') or .on('image', 1)")
        keys, weights = choose_image(self.keys, self.weights, number)
        return dataclasses.replace(self, keys=keys, weights=weights)

    @staticmethod
    def _lead_dim(name: str, lead: list[str]) -> int:
        if name not in lead:
            raise JumokError(f"no leading axis {name!r} in this map: {suggest(name, lead) if lead else 'it has none'}")
        return lead.index(name)

    # -- reading --------------------------------------------------------------------------------

    def image(self, height: int, width: int, *, smooth: bool = False) -> Tensor:
        """Lay the weights over an image's pixels; keys that cover no pixels (cls, registers) are left out.

        Returns:
            (*lead, queries, height, width), raw values.
        Raises:
            JumokError: the keys do not lie in an image.
        """
        return self.keys.spread(self.weights, height, width, smooth=smooth)

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The k keys with the largest weights, largest first, for a map of one row.

        Raises:
            JumokError: the map holds several rows, or k is not in 1..keys.
        """
        if self.weights.numel() != len(self.keys):
            raise JumokError(f"top needs one row of weights, got {tuple(self.weights.shape)}: choose with .at and .row")
        if not 1 <= k <= len(self.keys):
            raise JumokError(f"top needs k from 1 to the {len(self.keys)} keys, got {k}")
        values, indices = self.weights.flatten().topk(k)
        return [(self.keys.label(i), v) for i, v in zip(indices.tolist(), values.tolist(), strict=True)]

    def entropy(self) -> Tensor:
        """How widely each query looks: -sum w ln w, in nats; 0 for one key, ln(keys) for all alike.

        Returns:
            (*lead, queries).
        Raises:
            JumokError: the weights are not a distribution.
        """
        if self.scale is not Scale.DISTRIBUTION:
            raise JumokError(f"entropy needs a distribution, but these weights are a {self.scale}")
        entropy: Tensor = torch.special.entr(self.weights).sum(-1)
        return entropy

    # -- on disk --------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the map with its axes to a .safetensors file, whole or not at all.

        A name that ends as a picture's does gets a picture, as by `draw`.

        Raises:
            JumokError: another ending, a picture of keys that lie in an image, which `draw` is given, or a file that
                cannot be written.
        """
        ending = Path(path).suffix.lower()
        if ending in PICTURES and self.keys.in_image:
            raise JumokError(
                f"{path} is named as a picture, and these keys lie in an image: draw it with "
                f"map.draw(image, {str(path)!r}), or name the file .safetensors"
            )
        if ending in PICTURES:
            return self.draw(path)
        if ending != MAP_FILE:
            raise JumokError(f"a map is saved as {MAP_FILE} or drawn as {', '.join(PICTURES)}: got {path}")
        about = {
            "queries": self.queries.to_dict(),
            "keys": self.keys.to_dict(),
            "lead": list(self.lead),
            "scale": str(self.scale),
            "source": self.source,
            **({"unit": self.unit} if self.unit else {}),
        }
        metadata = {"axes": json.dumps(about, ensure_ascii=False), "format": FORMAT}
        weights = self.weights.detach().cpu().contiguous()
        with replacing(Path(path)) as fresh, fresh.open("wb") as file:
            file.write(write_header("weights", "F32", weights.shape, weights.nbytes, metadata))
            file.write(weights.numpy().data)
        return None

    @staticmethod
    def load(path: str | os.PathLike[str]) -> AttentionMap:
        """Read a map that `save` wrote.

        Raises:
            JumokError: no such file, or one that is damaged or holds something else.
        """
        if not Path(path).exists():
            raise JumokError(f"no attention map at {path}")
        with foreign(f"{path} is damaged or not an attention map", "save it again"):
            with safe_open(regular_file(path), framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise JumokError(f"{path} is not an attention map of format {FORMAT}: save one with .save")
                weights = file.get_tensor("weights")
            return _restore_axes(weights, json.loads(metadata["axes"]))
        raise AssertionError  # the block above returns or raises

    # -- as a picture ---------------------------------------------------------------------------

    @overload
    def draw(self, image: Any, path: str | os.PathLike[str], **look: Any) -> None: ...
    @overload
    def draw(self, image: str | os.PathLike[str], **look: Any) -> None: ...
    def draw(self, image: Any, path: str | os.PathLike[str] | None = None, **look: Any) -> None:
        """Draw the map to a file: over its image, as text, as a matrix, as bars or as a path, by what its keys are.

        Args:
            image: that the keys lie in: a path, a Pillow image, an array or a tensor. Maps whose keys lie in no image
                take the path alone: `map.draw("words.png")`.
            path: of a .png, .svg or .pdf file.
            look: title, vmin, vmax and cmap, as for `jumok.draw`.
        Raises:
            JumokError: as `jumok.draw`.
        """
        from jumok import draw

        draw(self, image, path, **look)

    def show(self, image: Any = None, **look: Any) -> None:
        """Show what `draw` writes: in the notebook, or in a window of the system's viewer.

        Args:
            image: that the keys lie in, as for `draw`; None where they lie in none.
            look: title, vmin, vmax and cmap, as for `jumok.draw`.
        Raises:
            JumokError: as `jumok.draw`, or there is nothing to show pictures with.
        """
        from jumok import show

        show(self, image, **look)

    def _repr_html_(self) -> str:
        """The mean over the leading axes as a small picture."""
        grid = self.weights.detach().cpu().flatten(0, -3).mean(0) if self.lead else self.weights.detach().cpu()
        signed = self.scale is Scale.SCORE or bool((grid < 0).any())
        if len(self.queries) == 1 and isinstance(self.keys, Patches | Pixels):
            rows, columns = _grid_size(self.keys)
            return build_picture(self.keys.spread(grid[0], rows, columns), self._describe(), signed=signed)
        return build_picture(grid, self._describe(), self.queries.labels(), self.keys.labels(), signed=signed)

    def _describe(self) -> str:
        """What the map is, in words."""
        unit = f" in {self.unit}" if self.unit else ""
        over = f", mean over {' and '.join(self.lead)}" if self.lead else ""
        source = f" {self.source}." if self.source else ""
        who = f"{self.queries.describe()} \N{RIGHTWARDS ARROW} {self.keys.describe()}"
        return f"{who}: {MEANINGS[self.scale]}{unit}{over}.{source}"


MEANINGS = {
    Scale.DISTRIBUTION: "weights, the sum over each row is 1",
    Scale.GATE: "gates from 0 to 1",
    Scale.MASK: "mask of 0 and 1",
    Scale.SCORE: "scores of any sign",
    Scale.RELEVANCE: "relevance",
}


def _is_finite(weights: Tensor) -> bool:
    """Whether there is no NaN and no infinity, with no copy of what may be large."""
    return not weights.numel() or all(bool(torch.isfinite(end)) for end in weights.detach().aminmax())


def _restore_axes(weights: Tensor, about: Mapping[str, Any]) -> AttentionMap:
    queries, keys = Axis.from_dict(about["queries"]), Axis.from_dict(about["keys"])
    if about["scale"] not in set(Scale):
        raise JumokError(f"unknown scale {about['scale']!r}: {suggest(str(about['scale']), Scale)}")
    return AttentionMap(
        weights,
        queries,
        keys,
        tuple(about["lead"]),
        Scale(about["scale"]),
        str(about["source"]),
        str(about.get("unit", "")),
    )


def _grid_size(keys: Patches | Pixels) -> tuple[int, int]:
    rows, columns = (keys.rows, keys.columns) if isinstance(keys, Patches) else (keys.height, keys.width)
    return min(rows, MOST_CELLS), min(columns, MOST_CELLS)
