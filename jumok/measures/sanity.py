"""Does a map depend on the class and on what the model has learnt? Sanity checks that need no truth.

The method that makes the maps is given as a function, see `Explain`, with what it makes them of, see `Explained`; it is
asked for maps of all inputs at once and may cut them into batches itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from jumok.errors import JumokError
from jumok.measures.ranks import correlate_ranks

__all__ = [
    "Explain",
    "Explained",
    "Randomise",
    "efficient_mprt",
    "list_layers",
    "max_sensitivity",
    "random_logit",
    "randomise_layer",
    "restoring",
    "smooth_mprt",
]

Explain: TypeAlias = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""From a model, inputs (inputs, ...) and classes (inputs,) to maps (inputs, ...)."""
Randomise: TypeAlias = Callable[[nn.Module, int], None]
"""Gives one layer random weights; told its number, counted from the output."""

Floats: TypeAlias = NDArray[np.float64]

SAMPLES, NOISE = 10, 0.1  # of a smoothed map: how many, and their standard deviation as a share of the input's range
BINS = 100  # of a map's histogram
RADIUS = 0.2  # of max-sensitivity, in the unit of the prepared inputs


@dataclass(frozen=True)
class Explained:
    """What a method makes maps of.

    Args:
        explain: the method.
        model: that it explains.
        inputs: (inputs, ...), prepared for the model.
        targets: (inputs,), the class that each map is to speak for.
    """

    explain: Explain
    model: nn.Module
    inputs: Tensor
    targets: Tensor

    def maps(self, *, inputs: Tensor | None = None, targets: Tensor | None = None) -> Floats:
        """(inputs, places), of the model as it is now.

        Args:
            inputs, targets: in the place of its own.
        Raises:
            JumokError: not one map for each input, or values that are not finite.
        """
        given = self.inputs if inputs is None else inputs
        maps = self.explain(self.model, given, self.targets if targets is None else targets)
        if len(maps) != len(given) or maps.dim() < 2:
            raise JumokError(f"wanted one map for each of {len(given)} inputs, got shape {tuple(maps.shape)}")
        found: Floats = maps.detach().cpu().double().flatten(1).numpy()
        if not np.isfinite(found).all():
            raise JumokError("maps hold NaN or infinity: check the model's values")
        return found


def random_logit(asked: Explained, classes: int, *, seed: int = 0) -> Floats:
    """Compare each map with that of another class, drawn by chance: a map that explains a class differs.

    Args:
        asked: the method, and what it makes maps of.
        classes: how many there are.
        seed: of the draw.
    Returns:
        (inputs,): rank correlation, 1 where the class makes no difference; NaN where a map is constant.
    Raises:
        JumokError: fewer than two classes, or maps that are not finite.
    Source: Sixt, Granz & Landgraf 2020, arXiv 1912.09818, section 4 (random logit). Differs: rank correlation.
    """
    if classes < 2:
        raise JumokError(f"another class needs two of them or more, got {classes}")
    step = torch.randint(1, classes, asked.targets.shape, generator=torch.Generator().manual_seed(seed))
    others = (asked.targets + step.to(asked.targets)) % classes
    return correlate_ranks(asked.maps(), asked.maps(targets=others))


def smooth_mprt(
    asked: Explained,
    *,
    samples: int = SAMPLES,
    noise: float = NOISE,
    stages: int | None = None,
    randomise: Randomise | None = None,
    seed: int = 0,
) -> dict[str, Floats]:
    """Compare maps of the model with those of ever more random ones: a map that shows what was learnt changes.

    Layers are made random one after the other, from the output to the input. Each map is the mean of those of the
    input and of noisy copies of it, so that what changes is not the map's own noise. The model is put back afterwards.

    Args:
        asked: the method, and what it makes maps of.
        samples: how many maps are averaged; 1 is the test without smoothing.
        noise: standard deviation, as a share of each input's range.
        stages: how often maps are compared, after even shares of the layers and after all; None: after each layer.
        randomise: a layer; None: `randomise_layer` with `seed`.
        seed: of weights and noise.
    Returns:
        By the layer that became random last: (inputs,) rank correlations with the model's own maps.
    Raises:
        JumokError: a model without parameters, or maps that are not finite.
    Source: Hedstroem, Weber, Lapuschkin & Hoehne 2023, arXiv 2401.06465, section 4.1 (sMPRT); Adebayo et al. 2018,
        arXiv 1810.03292, section 3.1 (cascading randomisation). Differs: absolute values are not taken.
    """
    own = _smooth(asked, samples, noise, seed)
    change = randomise or _seeded(seed)
    found = {}
    with restoring(asked.model):
        layers = list_layers(asked.model)
        compared = _space_evenly(len(layers), stages)
        for number, (name, layer) in enumerate(layers):
            change(layer, number)
            if number in compared:
                found[name] = correlate_ranks(own, _smooth(asked, samples, noise, seed))
    return found


def _smooth(asked: Explained, samples: int, noise: float, seed: int) -> Floats:
    """The mean of the maps of the inputs and of noisy copies, the same at every call."""
    draw = torch.Generator().manual_seed(seed)
    total = asked.maps()
    for _ in range(samples - 1):
        total = total + asked.maps(inputs=asked.inputs + _draw_noise(asked.inputs, noise, draw))
    return total / samples


def efficient_mprt(
    asked: Explained,
    *,
    bins: int = BINS,
    randomise: Randomise | None = None,
    seed: int = 0,
) -> Floats:
    """Take how much more complex maps become when all weights are random: what was learnt is more ordered than noise.

    Complexity is the entropy of a histogram of the map's values. The model is put back afterwards.

    Args:
        asked: the method, and what it makes maps of.
        bins: of the histogram.
        randomise, seed: as for `smooth_mprt`.
    Returns:
        (inputs,): the relative rise; above 0 where the map depends on what was learnt. NaN where a map is constant.
    Raises:
        JumokError: as `smooth_mprt`.
    Source: Hedstroem et al. 2023, arXiv 2401.06465, section 4.2 (eMPRT, equation 6).
    """
    before = _measure_complexity(asked.maps(), bins)
    change = randomise or _seeded(seed)
    with restoring(asked.model):
        for number, (_, layer) in enumerate(list_layers(asked.model)):
            change(layer, number)
        after = _measure_complexity(asked.maps(), bins)
    with np.errstate(invalid="ignore", divide="ignore"):
        rise: Floats = np.where(before > 0, (after - before) / before, np.nan)
    return rise


def max_sensitivity(
    asked: Explained,
    *,
    radius: float = RADIUS,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Floats:
    """Take the greatest relative change of a map among inputs that hardly differ: a stable map changes little.

    Args:
        asked: the method, and what it makes maps of.
        radius: each value of an input is changed by at most so much, uniformly.
        samples: how many changed copies are tried.
        seed: of the changes.
    Returns:
        (inputs,), 0 or more; NaN where a map is all 0.
    Source: Yeh et al. 2019, arXiv 1901.09392, section 4 (SENS_MAX), relative to the map's norm.
    """
    own, inputs = asked.maps(), asked.inputs
    draw = torch.Generator().manual_seed(seed)
    worst = np.zeros(len(inputs))
    for _ in range(samples):
        change = (torch.rand(inputs.shape, generator=draw).to(inputs) * 2 - 1) * radius
        found = asked.maps(inputs=inputs + change)
        worst = np.maximum(worst, np.linalg.norm(found - own, axis=1))
    norms = np.linalg.norm(own, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        relative: Floats = np.where(norms > 0, worst / norms, np.nan)
    return relative


# -- random weights -------------------------------------------------------------------------------


def list_layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The parts that hold parameters of their own, from the output to the input.

    Raises:
        JumokError: there is none.
    """
    layers = [(name, part) for name, part in model.named_modules() if any(True for _ in part.parameters(recurse=False))]
    if not layers:
        raise JumokError("the model has no parameters, so there is nothing to make random")
    return layers[::-1]


def _space_evenly(layers: int, stages: int | None) -> set[int]:
    """After which of the layers to compare, counted from 0; the last is always among them."""
    wanted = min(layers, stages or layers)
    return {layers * (stage + 1) // wanted - 1 for stage in range(wanted)}


def randomise_layer(layer: nn.Module, seed: int) -> None:
    """Give a layer new weights: as it was made first, where it knows how; else its values are shuffled.

    Args:
        layer: with parameters of its own.
        seed: of the weights.
    """
    torch.manual_seed(seed)
    if callable(reset := getattr(layer, "reset_parameters", None)):
        reset()
        return
    with torch.no_grad():
        for parameter in layer.parameters(recurse=False):
            order = torch.randperm(parameter.numel()).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))


def _seeded(seed: int) -> Randomise:
    return lambda layer, number: randomise_layer(layer, seed + 1 + number)


@contextmanager
def restoring(model: nn.Module) -> Iterator[None]:
    """Put all weights and buffers back at the end, bit for bit and also after an error, and the random state."""
    held = [(tensor, tensor.detach().clone()) for tensor in (*model.parameters(), *model.buffers())]
    try:
        with torch.random.fork_rng():
            yield
    finally:
        with torch.no_grad():
            for tensor, value in held:
                tensor.copy_(value)


def _draw_noise(inputs: Tensor, share: float, draw: torch.Generator) -> Tensor:
    sides = tuple(range(1, inputs.dim()))
    spread = inputs.amax(sides, keepdim=True) - inputs.amin(sides, keepdim=True)
    return torch.randn(inputs.shape, generator=draw).to(inputs) * spread * share


# -- comparing maps -------------------------------------------------------------------------------


def _measure_complexity(maps: Floats, bins: int) -> Floats:
    """Entropy of the histogram of each map's values, in nats."""
    shares = np.stack([np.histogram(values, bins=bins)[0] for values in maps]) / maps.shape[1]
    entropy: Floats = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(1)
    return entropy
