"""Attention over a region: a network says how a crop lies in the image, and a sampler reads it off.

Regression -> the transform's numbers -> a grid of places in the image -> bilinear sampling -> the crop. All of it has
gradients. Points are (y, x) in [-1, 1], as pixels' centres lie with aligned corners off: the identity transform reads
every pixel as it is where crop and image are of one size, and covers the whole image where they are not.

Source: Jaderberg, Simonyan, Zisserman & Kavukcuoglu 2015, arXiv 1506.02025, 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jumok.attention import One, Sampled
from jumok.errors import JumokError, suggest
from jumok.mechanisms.example import Example
from jumok.mechanisms.layers.linear import Linear
from jumok.watching.watchers import is_watched, report

__all__ = [
    "TRANSFORMS",
    "SpatialTransformer",
    "affine_grid",
    "attention_grid",
    "example",
    "projective_grid",
    "sample",
    "thin_plate_spline_grid",
]

CONTROL_POINTS_PER_SIDE = 4
"""A thin plate is bent at so many control points per side."""
NEAREST_HORIZON = 0.05
"""A projective transform divides by at least this: points beyond its horizon would come back from the other side."""
MOST_POINTS = 1 << 20
"""Of one grid."""

Outside = Literal["zeros", "border"]
"""What is read outside the image: 0, which is the mean of normalised pixels, or the nearest pixel of its border."""


def affine_grid(numbers: Tensor, height: int, width: int) -> Tensor:
    """Where a crop's pixels lie in the image, after an affine transform: (x, y) = A (x_t, y_t, 1).

    Args:
        numbers: (batch, 6) float, the rows of A one after the other.
        height, width: of the crop, in samples.
    Returns:
        (batch, height, width, 2), (y, x) each.
    Raises:
        JumokError: another shape.
    Source: Jaderberg et al. 2015, equation 1.

    >>> affine_grid(torch.tensor([[0.5, 0.0, 0.25, 0.0, 0.5, 0.0]]), 1, 2)[0, 0]
    tensor([[0.0000, 0.0000],
            [0.0000, 0.5000]])
    """
    _check_numbers(numbers, 6, height, width)
    points = F.affine_grid(numbers.reshape(-1, 2, 3), [numbers.shape[0], 1, height, width], align_corners=False)
    return torch.flip(points, (-1,))


def attention_grid(numbers: Tensor, height: int, width: int) -> Tensor:
    """Where a crop's pixels lie in the image, if it is only scaled, both sides alike, and moved.

    Args:
        numbers: (batch, 3) float: scale s, t_x and t_y.
        height, width: of the crop, in samples.
    Returns:
        (batch, height, width, 2), (y, x) each.
    Raises:
        JumokError: another shape.
    Source: Jaderberg et al. 2015, equation 2.

    >>> attention_grid(torch.tensor([[0.5, 0.25, 0.0]]), 1, 2)[0, 0]
    tensor([[0.0000, 0.0000],
            [0.0000, 0.5000]])
    """
    _check_numbers(numbers, 3, height, width)
    moved = numbers[:, None, None, [2, 1]]
    return numbers[:, None, None, :1] * _make_regular_grid(numbers, height, width) + moved


def projective_grid(numbers: Tensor, height: int, width: int) -> Tensor:
    """Where a crop's pixels lie in the image, seen in perspective: (x, y, 1) ~ H (x_t, y_t, 1).

    Args:
        numbers: (batch, 8) float, the rows of H one after the other; the ninth is 1.
        height, width: of the crop, in samples.
    Returns:
        (batch, height, width, 2), (y, x) each.
    Raises:
        JumokError: another shape.
    Source: Jaderberg et al. 2015, 3.2 (8 parameters). Here: what H divides by is kept at 0.05 or more, so that no
        sample lies beyond the horizon.

    >>> projective_grid(torch.tensor([[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.5, 0.0]]), 1, 2)[0, 0]
    tensor([[ 0.0000, -0.6667],
            [ 0.0000,  0.4000]])
    """
    _check_numbers(numbers, 8, height, width)
    matrix = torch.cat([numbers, torch.ones_like(numbers[:, :1])], 1).unflatten(1, (3, 3))
    target = _make_regular_grid(numbers, height, width).flip(-1).reshape(-1, 2)
    x, y, depth = (torch.cat([target, torch.ones_like(target[:, :1])], 1) @ matrix.mT).unbind(-1)
    points: Tensor = torch.stack([y, x], -1) / depth.clamp(min=NEAREST_HORIZON)[..., None]
    return points.reshape(-1, height, width, 2)


def thin_plate_spline_grid(numbers: Tensor, height: int, width: int) -> Tensor:
    """Where a crop's pixels lie in the image, if it is bent like a thin plate held at control points.

    Between the control points, which lie in the crop on a regular grid from border to border, the bending is the least
    that there can be.

    Args:
        numbers: (batch, 2 k^2) float: (y, x) in the image of each of the k x k control points, row by row.
        height, width: of the crop, in samples.
    Returns:
        (batch, height, width, 2), (y, x) each.
    Raises:
        JumokError: another shape.
    Source: Jaderberg et al. 2015, 3.2 (16 points); Bookstein 1989, IEEE TPAMI 11(6), equations 1 to 4.
    """
    control = round((numbers.shape[-1] / 2) ** 0.5) if numbers.dim() == 2 else CONTROL_POINTS_PER_SIDE
    _check_numbers(numbers, 2 * max(control, 2) ** 2, height, width)
    shares = spline_shares(control, height, width).to(numbers)
    return _bend(numbers, shares, height, width)


def spline_shares(control: int, height: int, width: int) -> Tensor:
    """How much each control point moves each sample of a thin-plate spline.

    Args:
        control: points per side.
        height, width: of the crop, in samples.
    Returns:
        (height * width, control^2) float64, each row sums to 1.
    """
    side = torch.linspace(-1, 1, control, dtype=torch.float64)
    known = torch.cartesian_prod(side, side)
    asked = _make_regular_grid(known, height, width).reshape(-1, 2)
    system = torch.zeros(len(known) + 3, len(known) + 3, dtype=torch.float64)
    system[: len(known)] = _make_terms(known, known)
    system[len(known) :, : len(known)] = system[: len(known), len(known) :].T
    held = torch.eye(len(known) + 3, len(known), dtype=torch.float64)
    solved: Tensor = torch.linalg.solve(system, held)
    return _make_terms(asked, known) @ solved


def _bend(numbers: Tensor, shares: Tensor, height: int, width: int) -> Tensor:
    """Each sample as its shares of the control points: (batch, height, width, 2)."""
    return (shares @ numbers.reshape(numbers.shape[0], -1, 2)).reshape(-1, height, width, 2)


def _make_terms(points: Tensor, known: Tensor) -> Tensor:
    """U(r) = r^2 ln r^2 to each known point, and 1, y, x: (points, known + 3)."""
    squared = (points[:, None] - known).square().sum(-1)
    return torch.cat([torch.special.xlogy(squared, squared), torch.ones_like(points[:, :1]), points], 1)


def _make_regular_grid(like: Tensor, height: int, width: int) -> Tensor:
    """The centres of a crop's samples: (height, width, 2), (y, x) each."""
    y, x = ((2 * torch.arange(size, device=like.device, dtype=like.dtype) + 1) / size - 1 for size in (height, width))
    return torch.stack(torch.meshgrid(y, x, indexing="ij"), -1)


def _check_numbers(numbers: Tensor, wanted: int, height: int, width: int) -> None:
    if numbers.dim() != 2 or numbers.shape[1] != wanted or not numbers.is_floating_point():
        raise JumokError(f"numbers are {numbers.dtype} of shape {tuple(numbers.shape)}, wanted float (batch, {wanted})")
    if height < 1 or width < 1 or height * width > MOST_POINTS:
        raise JumokError(
            f"a crop of {height} x {width} samples, wanted sides from 1 and at most {MOST_POINTS:,} in all"
        )


class Transform(NamedTuple):
    """A family of transforms.

    Args:
        identity: the numbers that leave the image as it is.
        grid: (batch, numbers), height, width to (batch, height, width, 2).
    """

    identity: tuple[float, ...]
    grid: Callable[[Tensor, int, int], Tensor]


_SIDE = tuple(torch.linspace(-1, 1, CONTROL_POINTS_PER_SIDE).tolist())
TRANSFORMS: Mapping[str, Transform] = {
    "affine": Transform((1.0, 0.0, 0.0, 0.0, 1.0, 0.0), affine_grid),
    "attention": Transform((1.0, 0.0, 0.0), attention_grid),
    "projective": Transform((1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0), projective_grid),
    "thin-plate-spline": Transform(
        tuple(place for y in _SIDE for x in _SIDE for place in (y, x)), thin_plate_spline_grid
    ),
}


def sample(image: Tensor, points: Tensor, outside: Outside = "zeros") -> Tensor:
    """Read an image at places between its pixels, bilinearly.

    Args:
        image: (batch, channels, image height, image width) float.
        points: (batch, height, width, 2) of the same type, (y, x) in [-1, 1].
        outside: what is read outside the image: "zeros", or the nearest pixel of its "border".
    Returns:
        (batch, channels, height, width).
    Raises:
        JumokError: shapes do not fit.
    Source: Jaderberg et al. 2015, equation 5.

    >>> sample(torch.tensor([[[[0.0, 4.0]]]]), torch.tensor([[[[0.0, -0.5], [0.0, 0.0]]]]))
    tensor([[[[0., 2.]]]])
    """
    if image.dim() != 4 or 0 in image.shape:
        raise JumokError(f"image has shape {tuple(image.shape)}, wanted (batch, channels, height, width)")
    if points.dim() != 4 or points.shape[0] != image.shape[0] or points.shape[3] != 2:
        raise JumokError(f"points have shape {tuple(points.shape)}, wanted ({image.shape[0]}, height, width, 2)")
    return F.grid_sample(image, points.flip(-1), mode="bilinear", padding_mode=outside, align_corners=False)


class SpatialTransformer(nn.Module):
    """Look at a region of an image: a linear layer says from features how the crop lies, and it is sampled there.

    It starts at the identity, whatever the features. To whoever watches it tells the places where it sampled.

    Args:
        features: how many numbers there are to tell from, per image.
        size: (height, width) of the crop.
        transform: a name of `TRANSFORMS`.
        outside: what is read outside the image: "zeros", or the nearest pixel of its "border".
        oversampling: sample so many times as densely along each side and average, against aliasing where a crop has
            far fewer pixels than what it covers.
    Raises:
        JumokError: no transform of that name, or a size that makes too many samples or no grid.
    Source: Jaderberg et al. 2015, 3; the start and the averaging: its appendix on distorted MNIST.

    >>> look = SpatialTransformer(features=5, size=(2, 2))
    >>> image = torch.arange(4.0).reshape(1, 1, 2, 2)
    >>> torch.equal(look(image, torch.randn(1, 5)), image)
    True
    """

    spline: Tensor | None

    def __init__(
        self,
        features: int,
        size: tuple[int, int],
        transform: str = "affine",
        *,
        outside: Outside = "zeros",
        oversampling: int = 1,
    ) -> None:
        super().__init__()
        if transform not in TRANSFORMS:
            raise JumokError(f"no transform {transform!r}: {suggest(transform, TRANSFORMS)}")
        self.transform, self.outside, self.oversampling = transform, outside, oversampling
        self.grid_size = (size[0] * oversampling, size[1] * oversampling)
        if min(self.grid_size) < 2 or self.grid_size[0] * self.grid_size[1] > MOST_POINTS:
            raise JumokError(f"a crop of {size} with oversampling {oversampling}: wanted 2 to {MOST_POINTS:,} samples")
        identity = torch.tensor(TRANSFORMS[transform].identity)
        self.regression = Linear(features, len(identity))
        # The spline's shares are the same at every step: made once here, not by `thin_plate_spline_grid` each time.
        shares = (
            spline_shares(CONTROL_POINTS_PER_SIDE, *self.grid_size).float()
            if transform == "thin-plate-spline"
            else None
        )
        self.register_buffer("spline", shares, persistent=False)
        self.start()

    def start(self) -> None:
        """Go back to the identity; to be called after a model gave all its layers weights of another kind."""
        nn.init.zeros_(self.regression.weight)
        with torch.no_grad():
            self.regression.bias.copy_(torch.tensor(TRANSFORMS[self.transform].identity))

    def forward(self, image: Tensor, features: Tensor) -> Tensor:
        """Cut each image's crop out.

        Args:
            image: (batch, channels, image height, image width) float.
            features: (batch, features) float.
        Returns:
            (batch, channels, height, width).
        Raises:
            JumokError: shapes do not fit.
        """
        wanted = self.regression.in_features
        if features.dim() != 2 or features.shape[0] != image.shape[0] or features.shape[1] != wanted:
            raise JumokError(f"features have shape {tuple(features.shape)}, wanted ({image.shape[0]}, {wanted})")
        points = self.points(features)
        crop = sample(image, points.to(image.dtype), self.outside)
        if is_watched():
            report(_spread_evenly(points), (One("image"), _make_axes(points)))
        return F.avg_pool2d(crop, self.oversampling) if self.oversampling > 1 else crop

    def points(self, features: Tensor) -> Tensor:
        """Where each image is sampled: (batch, height, width, 2), (y, x) each."""
        with torch.autocast(features.device.type, enabled=False):  # in 16 bits a place would be off by whole pixels
            return self._points(features.to(self.regression.weight.dtype))

    def _points(self, features: Tensor) -> Tensor:
        numbers = self.regression(features)
        if self.spline is not None:
            return _bend(numbers, self.spline.to(numbers.dtype), *self.grid_size)
        return TRANSFORMS[self.transform].grid(numbers, *self.grid_size)

    def axes(self, features: Tensor) -> tuple[Sampled, ...]:
        """The region of each image, as an axis that tells its outline, its scale and how much lies outside."""
        return _make_axes(self.points(features))


def _spread_evenly(points: Tensor) -> Tensor:
    """The same weight for every sample: (batch, 1, samples)."""
    count = points.shape[1] * points.shape[2]
    return points.new_full((len(points), 1, count), 1 / count, dtype=torch.float32)


def _make_axes(points: Tensor) -> tuple[Sampled, ...]:
    """The axis of each image's samples, to a millionth of the image."""
    _, rows, columns, _ = points.shape
    rounded = points.detach().double().flatten(1, 2).cpu().numpy().round(6).tolist()
    return tuple(Sampled(rows, columns, tuple(map(tuple, each))) for each in rounded)


def example() -> Example:
    """Two images of which a region is seen, differently moved, turned and scaled for each."""
    draw = torch.Generator().manual_seed(0)
    look = SpatialTransformer(features=3, size=(4, 5)).eval()
    nn.init.normal_(look.regression.weight, std=0.2, generator=draw)
    inputs = {
        "image": torch.randn(2, 3, 8, 9, generator=draw),
        "features": torch.randn(2, 3, generator=draw),
    }
    return Example(
        output=look,
        weights=lambda image, features: _spread_evenly(look.points(features)),
        inputs=inputs,
        wrong={"image": torch.zeros(2, 8, 9), "features": torch.zeros(2, 4)},
        module=look,
    )
