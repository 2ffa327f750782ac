"""RAM, the recurrent model of visual attention: an image is seen through a few glimpses, each chosen after the last.

Pixels at a location -> glimpse code -> recurrent state -> the next location, and after the last glimpse the class.
The classifier, the state and the glimpse code learn from the class (cross-entropy); the location network learns by
REINFORCE, since the choice of a place has no gradient; a learned baseline takes the variance out of that.

Source: Mnih, Heess, Graves & Kavukcuoglu 2014, NIPS 27 and arXiv 1406.6247. Differs: the first location is the image's
middle, not random; locations come of a Gaussian through tanh (see `jumok.mechanisms.glimpse.log_probability`); the
location network has a hidden layer, and adds what it says to a learned habit of each step; the class is asked for after
the early glimpses too; the reward is the probability given to the true class, which is what the paper's reward (1 if
the class drawn is right) is on average over the draw.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from jumok.errors import JumokError
from jumok.mechanisms.glimpse import Retina, draw_seeded_noise, log_probability, report_scanpath
from jumok.mechanisms.recurrent.glimpse_steps import Walk, Weights, fast_walk, squash_aims
from jumok.watching.watchers import unseen

__all__ = ["RAM", "Places", "RAMConfig", "Scan"]

Side = Annotated[int, Field(ge=1, le=8192)]
Size = Annotated[int, Field(ge=1, le=4096)]
Places = Literal["best", "sampled", "random", "middle"]
"""How locations are chosen: the likeliest; drawn, as in training; anywhere, whatever was seen; all in the middle."""
LARGEST_FOVEA = 16  # by default: a glimpse's code is one linear map of its pixels, which a larger one would not suit
MOST_SCALES = 8
CLASSIFIER_START_STD = 0.1  # the classifier begins with nearly even odds
LOCATION_START_STD = 0.05  # the location network begins with little to say beside the habit
HABIT_START_REACH = 0.6  # the habit reaches so far from the middle, at the start


class RAMConfig(BaseModel):
    """Everything needed to build a `RAM`.

    Args:
        classes: how many to tell apart.
        image_size: pixels, one side of a square or (height, width); other sizes can be shown to the model later.
        channels: of the images.
        glimpses: how many places of an image are looked at.
        size: pixels of a glimpse's side, even where there are several scales. None: a fifth of the image's shorter
            side, up to 16.
        scales: windows of a glimpse, each twice as wide as the one before. None: until one covers half of the shorter
            side.
        hidden: size of the state.
        code: how a glimpse's pixels are taken in: by one linear map, as in the paper, or by a few convolutions, which
            photographs and textures need (as in Ba et al. 2015, arXiv 1412.7755, 3.1).
        what, where: sizes of the two layers that take in a glimpse's pixels and its location.
        plan: size of the hidden layer of the location network.
        std: of the noise on locations, before tanh; 1 is half an image.
        samples: Monte-Carlo samples: scanpaths drawn for each image in a step of training.
        averaged: in eval, the mean probability over so many drawn scanpaths; 0: one scanpath, the likeliest.
        policy_rate: how fast the location network learns, beside the rest. As long as the class is not learned, the
            reward says nothing of the places, and REINFORCE's gradient is all noise; but Adam makes full steps of it,
            each of which moves all weights of a layer alike. At 1 the places wander into a corner of the image within
            an epoch, where nothing is to be seen and nothing to be learned any more.
        policy_weight: of the REINFORCE loss beside the cross-entropy.
        early_weight: of the mean cross-entropy after the glimpses before the last one; 0: as in the paper, which asks
            for the class once. It teaches the state to gather, and so saves most of the training.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: int = Field(ge=1, le=1_000_000)
    image_size: Side | tuple[Side, Side] = 64
    channels: int = Field(default=3, ge=1, le=64)
    glimpses: int = Field(default=6, ge=1, le=256)
    size: int | None = Field(default=None, ge=1, le=512)
    scales: int | None = Field(default=None, ge=1, le=MOST_SCALES)
    hidden: Size = 256
    code: Literal["linear", "convolutions"] = "linear"
    what: Size = 128
    where: Size = 128
    plan: Size = 128
    std: float = Field(default=0.1, gt=0, le=2)
    samples: int = Field(default=1, ge=1, le=256)
    averaged: int = Field(default=0, ge=0, le=256)
    policy_rate: float = Field(default=2**-6, gt=0, le=1)
    policy_weight: float = Field(default=0.01, ge=0, le=100)
    early_weight: float = Field(default=0.5, ge=0, le=100)

    @property
    def shorter(self) -> int:
        """The shorter side of the images, in pixels."""
        return self.image_size if isinstance(self.image_size, int) else min(self.image_size)

    @property
    def fovea(self) -> int:
        """Pixels of a glimpse's side."""
        return self.size or min(2 * math.ceil(self.shorter / 10), LARGEST_FOVEA)

    @property
    def windows(self) -> int:
        """How many scales there are."""
        if self.scales:
            return self.scales
        if self.fovea % 2:
            return 1
        return min(1 + max(0, math.ceil(math.log2(self.shorter / 2 / self.fovea))), MOST_SCALES)

    @model_validator(mode="after")
    def _fits(self) -> RAMConfig:
        if self.windows > 1 and self.fovea % 2:
            raise JumokError(f"size {self.fovea} is odd: several scales have one centre only if size is even")
        if self.fovea << (self.windows - 1) > 4 * self.shorter:
            raise JumokError(
                f"{self.windows} scales of size {self.fovea} reach {self.fovea << (self.windows - 1)} pixels, far out "
                f"of an image of {self.image_size}: choose fewer scales or a smaller size"
            )
        return self


class RAM(nn.Module):
    """A recurrent attention model that classifies images.

    >>> model = RAM(RAMConfig(classes=4, image_size=(32, 48), glimpses=3)).eval()
    >>> model(torch.zeros(5, 3, 32, 48)).shape
    torch.Size([5, 4])
    """

    def __init__(self, config: RAMConfig) -> None:
        super().__init__()
        self.config = config
        self.std = config.std
        features = config.windows * config.channels * config.fovea**2  # of a glimpse
        self.what = CODES[config.code](config, features)
        self.where = nn.Linear(2, config.where)
        self.join = nn.Linear(config.what + config.where, config.hidden)
        self.read = nn.Linear(config.hidden, config.hidden)
        self.remember = nn.Linear(config.hidden, config.hidden, bias=False)
        self.plan, self.aim = nn.Linear(config.hidden, config.plan), nn.Linear(config.plan, 2)
        self.habit = nn.Parameter(sunflower(config.glimpses - 1) / config.policy_rate)  # whatever was seen
        self.classify = nn.Linear(config.hidden, config.classes)
        self.baseline = nn.Linear(config.hidden, 1)
        self._start()

    def forward(self, pixels: Tensor) -> Tensor:
        """Classify images.

        In training the locations are drawn; in eval they are the likeliest ones, or the mean is taken over drawn
        scanpaths where `averaged` says so, whose noise the image's own pixels decide: what comes out depends on
        neither the batch nor the time.

        Args:
            pixels: (batch, channels, height, width) float, normalised.
        Returns:
            logits: (batch, classes).
        Raises:
            JumokError: pixels of another kind, number of axes or channels.
        """
        if self.training:
            self._check(pixels)
            logits: Tensor = self.classify(self.walk(pixels, self._draw(pixels, len(pixels))).states[-1])
            return logits
        if self.config.averaged:
            return self.scan(pixels, "sampled", self.config.averaged)
        return self.scan(pixels)

    def loss(self, pixels: Tensor, targets: Tensor) -> Tensor:
        """What is minimised: cross-entropy, REINFORCE for the locations, and the baseline's squared error.

        Args:
            pixels: (batch, channels, height, width) float, normalised.
            targets: (batch, classes) float, each row summing to 1.
        Returns:
            a scalar; the mean over the images and their Monte-Carlo samples.
        Raises:
            JumokError: shapes that do not fit.
        Source: Mnih et al. 2014, 3.2, equations 2 and 3.
        """
        self._check(pixels)
        if targets.shape != (len(pixels), self.config.classes):
            raise JumokError(
                f"targets have shape {tuple(targets.shape)}, wanted {(len(pixels), self.config.classes)}: "
                "one share for each class"
            )
        samples = self.config.samples
        rows = torch.arange(len(pixels), device=pixels.device).repeat_interleave(samples) if samples > 1 else None
        targets = targets if rows is None else targets[rows]
        noise = self._draw(pixels, len(targets))
        walk = self._training_walk(pixels, noise, rows)
        log_odds = F.log_softmax(self.classify(walk.states).float(), -1)  # after each glimpse
        surprise = -(targets * log_odds).sum(-1).mean(1)  # (steps,)
        supervised: Tensor = surprise[-1]
        if not len(noise):
            return supervised
        if self.config.early_weight:
            supervised = supervised + self.config.early_weight * surprise[:-1].mean()
        reward = (log_odds[-1].detach().exp() * targets).sum(-1)  # R
        expected = self.baseline(walk.states[:-1].detach())[..., 0].float()  # b_t
        gained = reward - expected  # (steps - 1, rows)
        means = squash_aims(walk.aims.float() + self._habit()[:, None])
        chosen = log_probability(means, noise, self.std)  # log pi(l_t | s_{1:t})
        reinforce = -(chosen * gained.detach()).sum(0).mean()
        together: Tensor = supervised + self.config.policy_weight * reinforce + gained.square().mean()
        return together

    def scan(self, pixels: Tensor, places: Places = "best", samples: int = 1) -> Tensor:
        """Classify images, looking where one says; the noise is decided by each image's own pixels.

        Args:
            pixels: (batch, channels, height, width) float, normalised.
            places: how the locations after the first are chosen.
            samples: scanpaths per image, whose probabilities are averaged; of "best" and "middle" there is one only.
        Returns:
            logits: (batch, classes); of several samples, the log of the mean probability.
        """
        self._check(pixels)
        paths = [self._scan(pixels, places, seed) for seed in range(samples if places in DRAWN else 1)]
        report_scanpath(paths[0][1], self._sides(pixels), self.config.fovea, self.config.windows)
        if len(paths) == 1:
            return paths[0][0]
        return torch.stack([logits.log_softmax(-1) for logits, _ in paths]).logsumexp(0) - math.log(len(paths))

    def controls(self) -> dict[str, nn.Module]:
        """The same weights, looking elsewhere: what an accuracy must be held against.

        A poor choice of places hides behind the average over many scanpaths, and behind a task that needs no choice.
        """
        found: dict[str, nn.Module] = {
            "random places": Scan(self, "random"),
            "all in the middle": Scan(self, "middle"),
            "one drawn scanpath": Scan(self, "sampled"),
        }
        if self.config.averaged:
            found["likeliest scanpath"] = Scan(self, "best")
        return found

    def _slowly(self, layer: nn.Linear, rows: Tensor) -> Tensor:
        """A layer of the location network, whose weights are kept large, so that a step of Adam changes it little."""
        return F.linear(rows, self.config.policy_rate * layer.weight, self.config.policy_rate * layer.bias)

    def _start(self) -> None:
        """Layers begin so that ReLUs keep the spread of what they are given (He et al. 2015), a step after the other.

        With PyTorch's usual start, a third of that spread is left after each layer and learning takes epochs to begin.
        """
        for layer in (*self.what.modules(), self.where, self.join, self.read):
            if isinstance(layer, nn.Linear | nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        nn.init.uniform_(self.where.bias, -1, 1)  # else all its bends would go through the middle of the image
        nn.init.orthogonal_(self.remember.weight)
        for layer, spread in ((self.plan, math.sqrt(2)), (self.aim, LOCATION_START_STD)):
            nn.init.normal_(layer.weight, std=spread * layer.in_features**-0.5 / self.config.policy_rate)
            nn.init.zeros_(layer.bias)
        for layer in (self.classify, self.baseline):
            nn.init.normal_(layer.weight, std=CLASSIFIER_START_STD * layer.in_features**-0.5)
            nn.init.zeros_(layer.bias)

    # -- step by step ---------------------------------------------------------------------------

    def walk(self, pixels: Tensor, noise: Tensor | None = None, fixed: Tensor | None = None) -> Walk:
        """Look at each image step by step, in plain torch.

        Args:
            pixels: (batch, channels, height, width) float.
            noise: (glimpses - 1, batch, 2), added to the means; None: none.
            fixed: (glimpses, batch, 2), locations to be looked at instead of those chosen.
        """
        retina = Retina(pixels, self.config.fovea, self.config.windows)
        place = pixels.new_zeros(pixels.shape[0], 2)
        state: Tensor | None = None
        places, states, aims = [], [], []
        for step in range(self.config.glimpses):
            if fixed is not None:
                place = fixed[step]
            state = self._step(retina.see(place[:, None])[:, 0], place, state)
            places.append(place)
            states.append(state)
            if step + 1 < self.config.glimpses:
                aims.append(self._slowly(self.aim, F.relu(self._slowly(self.plan, state.detach()))))
                mean = squash_aims(aims[-1].detach() + self._habit()[step].detach())
                place = torch.tanh(mean if noise is None else mean + self.std * noise[step])
        aimed = torch.stack(aims) if aims else place.new_empty(0, *place.shape)
        return Walk(torch.stack(states), aimed, torch.stack(places))

    def _step(self, seen: Tensor, place: Tensor, before: Tensor | None) -> Tensor:
        """h_t = Rect(Linear(h_{t-1}) + Linear(g_t)), with g_t = Rect(Linear(Rect(Linear(seen))) + the same of l)."""
        apart = torch.cat([F.relu(self.what(seen)), F.relu(self.where(place))], -1)
        read = self.read(F.relu(self.join(apart)))
        return F.relu(read if before is None else read + self.remember(before))

    def _training_walk(self, pixels: Tensor, noise: Tensor, rows: Tensor | None) -> Walk:
        """As `walk`, several rows per image; by the fast way where it serves."""
        mixed = torch.is_autocast_enabled(pixels.device.type) or pixels.dtype != self.where.weight.dtype
        if pixels.requires_grad or mixed or not isinstance(self.what, nn.Linear):
            return self.walk(pixels if rows is None else pixels[rows], noise)
        retina = Retina(pixels, self.config.fovea, self.config.windows)
        return fast_walk(
            retina, rows, pixels.new_zeros(noise.shape[1], 2), noise, self.std, self._habit().detach(), self._weights()
        )

    def _habit(self) -> Tensor:
        return self.config.policy_rate * self.habit

    def _weights(self) -> Weights:
        layers = (self.what, self.where, self.join, self.read, self.remember)
        given = [part for layer in layers for part in (layer.weight, layer.bias) if part is not None]
        slow = self.config.policy_rate
        chooses = [slow * part for layer in (self.plan, self.aim) for part in (layer.weight, layer.bias)]
        return Weights._make([*given, *chooses])

    def _draw(self, pixels: Tensor, count: int) -> Tensor:
        return torch.randn(self.config.glimpses - 1, count, 2, device=pixels.device)

    def _scan(self, pixels: Tensor, places: Places, seed: int) -> tuple[Tensor, Tensor]:
        """Logits, and the places as (batch, glimpses, 2)."""
        drawn = self._draw_seeded(pixels, seed) if places in DRAWN else None
        noise = math.sqrt(2) * torch.erfinv(2 * drawn - 1) if drawn is not None and places == "sampled" else None
        with unseen():
            walk = self.walk(pixels, noise, self._fix_places(pixels, places, drawn))
            return self.classify(walk.states[-1]), walk.places.transpose(0, 1)

    def _fix_places(self, pixels: Tensor, places: Places, drawn: Tensor | None) -> Tensor | None:
        """(glimpses, batch, 2) where the places do not depend on what is seen; the first is the middle as always."""
        middle = pixels.new_zeros(1, pixels.shape[0], 2)
        if places == "random" and drawn is not None:
            return torch.cat([middle, 2 * drawn - 1])
        return middle.expand(self.config.glimpses, -1, -1) if places == "middle" else None

    def _draw_seeded(self, pixels: Tensor, seed: int) -> Tensor:
        """(glimpses - 1, batch, 2) in (0, 1), which the pixels decide."""
        later = self.config.glimpses - 1
        drawn = draw_seeded_noise(pixels, 2 * later, seed=seed)
        return drawn.view(pixels.shape[0], later, 2).transpose(0, 1).to(pixels.dtype)

    def _check(self, pixels: Tensor) -> None:
        if pixels.dim() != 4 or pixels.shape[1] != self.config.channels or not pixels.numel():
            raise JumokError(
                f"pixels have shape {tuple(pixels.shape)}, wanted (batch, {self.config.channels}, height, width)"
            )
        if not pixels.is_floating_point():
            raise JumokError(f"pixels are {pixels.dtype}, wanted float, normalised as in training")

    @staticmethod
    def _sides(pixels: Tensor) -> tuple[int, int]:
        return pixels.shape[2], pixels.shape[3]


class Scan(nn.Module):
    """A `RAM` that looks at places chosen in another way, with the same weights.

    Args:
        model: whose weights are used.
        places, samples: as in `RAM.scan`.
    """

    def __init__(self, model: RAM, places: Places, samples: int = 1) -> None:
        super().__init__()
        self.model, self.places, self.samples = model, places, samples

    def forward(self, pixels: Tensor) -> Tensor:
        return self.model.scan(pixels, self.places, self.samples)


def sunflower(count: int) -> Tensor:
    """Places spread evenly over a disc, from the middle outwards, before tanh: (count, 2).

    With this the scanpath begins, so that it sees most of the image before anything is learned, and each glimpse
    something else; if all began in the middle, they would long go the same way, as the reward names none of them.
    """
    order = torch.arange(count, device="cpu")  # for `tasks.bounded.sizes_alone`
    turn = order * (math.pi * (3 - math.sqrt(5)))
    radius = HABIT_START_REACH * ((order + 0.5) / max(count, 1)).sqrt()
    return torch.atanh(torch.stack([radius * turn.sin(), radius * turn.cos()], -1))


def linear(config: RAMConfig, features: int) -> nn.Module:
    """One linear map of a glimpse's pixels."""
    return nn.Linear(features, config.what)


def convolutions(config: RAMConfig, features: int) -> nn.Module:
    """A few convolutions over a glimpse, whose scales are channels; light and contrast are taken out of each."""
    sizes, side = [config.windows * config.channels, 32, 64, 64], config.fovea
    layers: list[nn.Module] = [nn.Unflatten(1, (sizes[0], side, side))]
    for number, (size_in, size_out) in enumerate(itertools.pairwise(sizes)):
        stride = 2 if number and side > 2 else 1
        side = -(-side // stride)
        convolution = nn.Conv2d(size_in, size_out, 3, stride=stride, padding=1, bias=False)
        layers += [convolution, nn.GroupNorm(8, size_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(sizes[-1] * side * side, config.what))


CODES: Mapping[str, Callable[[RAMConfig, int], nn.Module]] = {"linear": linear, "convolutions": convolutions}
DRAWN = frozenset({"sampled", "random"})
