"""Non-local operation: each place of a feature map adds up what all places hold, by how well they fit it.

y_i = 1 / C(x) sum_j a(x_i, x_j) g(x_j),    z_i = W_z y_i + x_i

Four forms of a: Gaussian, embedded Gaussian, dot product and concatenation; in images and in videos.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jumok.attention import Axis, Patches, Tokens
from jumok.errors import JumokError, suggest
from jumok.mechanisms.example import Example
from jumok.mechanisms.kernels.door import Call, takes_fast, using
from jumok.mechanisms.layers.linear import Linear, linear
from jumok.mechanisms.pairwise import FORMS, Form, are_few_weights
from jumok.watching.watchers import is_watched, report, unseen

__all__ = ["KERNEL", "NonLocal", "example"]

KERNEL = "non-local"


class NonLocal(nn.Module):
    """A non-local block: z = W_z y + x, which can be put anywhere in a network; at the start it changes nothing.

    Watched, it gives who looks where in the weights that y was added up with: a distribution for the Gaussian forms,
    scores / N for the dot product, contributions of 0 or more (ReLU / N) for the concatenation.

    Args:
        channels: of the features.
        inner: of theta, phi and g; None: half as many. The Gaussian form has no theta and phi, only g.
        form: of a(x_i, x_j); see `Form`.
        dimensions: 2 for images, 3 for videos.
        sub_sample: max-pool phi and g by 2 in height and width, so that there are a quarter of the keys.
        norm: end in a batch norm that starts at 0; without it W_z starts at 0.
    Raises:
        JumokError: a size below 1, another form or other dimensions.
    Source: Wang et al. 2018, arXiv 1711.07971, 3.3 and 4.1. Differs: sides that 2 does not divide lose no places.

    >>> block = NonLocal(8)
    >>> features = torch.randn(2, 8, 5, 6)
    >>> torch.equal(block(features), features)
    True
    """

    def __init__(
        self,
        channels: int,
        *,
        inner: int | None = None,
        form: Form = "embedded-gaussian",
        dimensions: Literal[2, 3] = 2,
        sub_sample: bool = True,
        norm: bool = True,
    ) -> None:
        super().__init__()
        inner = max(channels // 2, 1) if inner is None else inner
        _check_options(channels, inner, form, dimensions)
        self.channels, self.inner, self.form, self.dimensions, self.sub_sample = (
            channels, inner, form, dimensions, sub_sample,
        )  # fmt: skip
        embedded = form != "gaussian"
        self.theta = Linear(channels, inner) if embedded else None
        # A softmax cancels what is added to all keys alike
        self.phi = Linear(channels, inner, bias=form != "embedded-gaussian") if embedded else None
        self.g = Linear(channels, inner)
        self.w = nn.Parameter(torch.empty(2, inner).normal_(std=inner**-0.5)) if form == "concatenation" else None
        self.out = Linear(inner, channels, bias=not norm)  # W_z; the norm has a bias of its own
        self.norm = nn.BatchNorm1d(channels) if norm else None
        for start in (self.norm.weight,) if self.norm is not None else (self.out.weight, self.out.bias):
            nn.init.zeros_(start)

    def forward(self, features: Tensor) -> Tensor:
        """Add to each place what it gathers from all places.

        Args:
            features: (batch, channels, [frames,] height, width), float.
        Returns:
            the same shape.
        Raises:
            JumokError: features of another shape.
        """
        self._check(features)
        if self._could_be_plain(features) and not takes_fast(self._call(features)):
            return self._convolve(features)
        places = features.flatten(2).transpose(1, 2).contiguous()  # (batch, places, channels)
        theta, phi, g = self._embed(places, features)
        kind = FORMS[self.form]
        if is_watched():
            report(kind.record(theta, phi), self._axes(features), kind.scale)
        with unseen():
            looked = kind.sum(theta, phi, g)
        return self._add(features, looked)

    def _could_be_plain(self, features: Tensor) -> bool:
        """Whether weights are so few that the plain form may be the faster one in training."""
        places, step = features.shape[2:].numel(), 4 if self.sub_sample else 1
        size = self.inner if self.theta is not None else self.channels
        few = are_few_weights(places, places // step, size)
        exact = features.dtype == torch.float32 and features.device.type == "cpu" and self.form != "concatenation"
        return few and exact and self.dimensions == 2 and torch.is_grad_enabled() and not torch.compiler.is_exporting()

    def _call(self, features: Tensor) -> Call:
        batch, _, height, width = features.shape
        form = list(FORMS).index(self.form)
        key = (form, self.channels, self.inner, height, width, int(self.sub_sample))
        return Call(KERNEL, key, (batch, *key))

    def _convolve(self, features: Tensor) -> Tensor:
        """The plain form, channels first: 1 x 1 convolutions, and the weights formed."""
        layers = (self.theta, self.phi, self.g)
        theta, phi, g = (
            features if layer is None else F.conv2d(features, layer.weight[:, :, None, None], layer.bias)
            for layer in layers
        )
        if self.sub_sample:
            phi, g = (F.max_pool2d(each, 2, ceil_mode=True) for each in (phi, g))
        theta, phi, g = (each.flatten(2).transpose(1, 2) for each in (theta, phi, g))  # (batch, places, size)
        if is_watched():
            kind = FORMS[self.form]
            report(kind.record(theta, phi), self._axes(features), kind.scale)
        with unseen():
            scores = theta @ phi.transpose(1, 2)
            weights = scores / phi.shape[1] if self.form == "dot-product" else scores.softmax(-1)
            looked = (weights @ g).transpose(1, 2).contiguous()
        change = F.conv1d(looked, self.out.weight[:, :, None], self.out.bias)
        if self.norm is not None:
            change = self.norm(change)
        return features + change.view_as(features)

    def plain(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The same by the textbook: slower, and it forms the weights, and the pairs of a concatenation.

        Returns:
            z: as `forward`.
            weights: (batch, queries, keys), each divided by C(x).
        """
        self._check(features)
        places = features.flatten(2).transpose(1, 2)
        theta, phi = (places if each is None else each(places) for each in (self.theta, self.phi))
        phi, g = self._pool(phi, features), self._pool(self.g(places), features)
        if self.w is not None:
            pairs = torch.broadcast_tensors(theta[:, :, None], phi[:, None])
            weights = (torch.cat(pairs, -1) @ self.w.flatten()).relu() / phi.shape[1]
        elif self.form == "dot-product":
            weights = theta @ phi.transpose(1, 2) / phi.shape[1]
        else:
            weights = (theta @ phi.transpose(1, 2)).softmax(-1)
        return self._add(features, weights @ g), weights

    def _embed(self, places: Tensor, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the form's sum takes: theta, phi (or their parts of w . [theta, phi]) and g, from one product."""
        layers = [each for each in (self.theta, self.phi, self.g) if each is not None]
        weights: list[Tensor] = [layer.weight for layer in layers]
        biases: list[Tensor] = [places.new_zeros(self.inner) if layer.bias is None else layer.bias for layer in layers]
        if self.w is not None:  # w . (W x + b) = (w W) . x + w . b: theta itself need not be formed
            weights[0], biases[0] = self.w[:1] @ weights[0], self.w[:1] @ biases[0]
        found = linear(places, torch.cat(weights), torch.cat(biases))
        if self.theta is None:
            return places, self._pool(places, features), self._pool(found, features)
        theta = found[..., : len(weights[0])]
        phi, g = self._pool(found[..., len(weights[0]) :], features).split(self.inner, -1)
        return (theta, phi, g) if self.w is None else (theta[..., 0], phi @ self.w[1], g)

    def _pool(self, places: Tensor, features: Tensor) -> Tensor:
        """Max-pool (batch, places, size) by 2 in height and width; an odd side keeps its last row or column."""
        if not self.sub_sample:
            return places
        height, width = features.shape[-2:]
        grid = places.transpose(1, 2).unflatten(2, (-1, height, width))  # (batch, size, frames, height, width)
        grid = grid.transpose(1, 2).flatten(0, 1)  # as images whose channels lie last in memory
        pooled = F.max_pool2d(grid, 2, ceil_mode=True)
        return pooled.flatten(2).transpose(1, 2).reshape(places.shape[0], -1, places.shape[2])

    def _add(self, features: Tensor, looked: Tensor) -> Tensor:
        change: Tensor = self.out(looked)
        if self.norm is not None:
            change = self.norm(change.flatten(0, 1)).view_as(change)
        return features + change.transpose(1, 2).reshape(features.shape)

    def _check(self, features: Tensor) -> None:
        sides = ("frames, height, width", "height, width")[self.dimensions == 2]
        if features.dim() != self.dimensions + 2 or features.shape[1] != self.channels or 0 in features.shape:
            raise JumokError(
                f"features have shape {tuple(features.shape)}, wanted (batch, {self.channels}, {sides}), none of them 0"
            )

    def _axes(self, features: Tensor) -> tuple[Axis, Axis]:
        """Who looks and what is seen: places of the image; in a video all places of all frames, by name."""
        *frames, height, width = features.shape[2:]
        step = 2 if self.sub_sample else 1
        keys = (-(-height // step), -(-width // step))
        if not frames:
            return Patches(height, width), Patches(*keys)
        return _name_video_places(frames[0], height, width), _name_video_places(frames[0], *keys)


def _check_options(channels: int, inner: int, form: str, dimensions: int) -> None:
    if min(channels, inner) < 1:
        raise JumokError(f"sizes are 1 or more, got channels {channels} and inner {inner}")
    if form not in FORMS:
        raise JumokError(f"no form {form!r}: {suggest(form, get_args(Form))}")
    if dimensions not in (2, 3):
        raise JumokError(f"dimensions are 2 for images or 3 for videos, got {dimensions}")


def _name_video_places(frames: int, height: int, width: int) -> Tokens:
    return Tokens(
        tuple(f"{t}:{row},{column}" for t in range(frames) for row in range(height) for column in range(width))
    )


def make_trial(shape: tuple[int, ...]) -> tuple[Callable[[], object], Callable[[], object]]:
    """A forward and backward pass of a block called so, channels first and as `forward` has it else."""
    batch, form, channels, inner, height, width, sub_sample = shape
    name: Form = get_args(Form)[form]
    block = NonLocal(channels, inner=inner, form=name, sub_sample=bool(sub_sample))
    features = torch.randn(batch, channels, height, width).requires_grad_()
    wanted = [features, *block.parameters()]

    def once(fast: bool) -> None:
        with using({block._call(features).choice} if fast else frozenset()):
            output = block(features)
        torch.autograd.grad(output, wanted, torch.ones_like(output))

    return partial(once, False), partial(once, True)


def example(form: Form = "embedded-gaussian", *, dimensions: Literal[2, 3] = 2, sub_sample: bool = True) -> Example:
    """Two feature maps, by a block whose last norm has left its start."""
    draw = torch.Generator().manual_seed(0)
    block = NonLocal(6, form=form, dimensions=dimensions, sub_sample=sub_sample).eval()
    assert block.norm is not None
    with torch.no_grad():
        block.norm.weight.fill_(1.0)
    shape = (2, 6, 3, 5, 4)[:2] + (3, 5, 4)[3 - dimensions :]
    return Example(
        output=block,
        weights=lambda **given: block.plain(**given)[1],
        inputs={"features": torch.randn(shape, generator=draw)},
        wrong={"features": torch.zeros(2, 5, *shape[2:])},
        scale=FORMS[form].scale,
        module=block,
    )
