"""Where a run's first weights come from, if not from chance: another run, or a model from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from jumok.errors import JumokError, suggest
from jumok.tasks.classify.foreign import Foreign, load_hf
from jumok.tasks.classify.preparation import Fitted, Processed, Stretched
from jumok.tasks.classify.processors import reopen
from jumok.tasks.classify.run import ImageRun
from jumok.tasks.classify.settings import ImageData, Settings
from jumok.tasks.classify.timm_models import load_timm
from jumok.tasks.running.beginning import check_system
from jumok.tasks.running.layers import find_head

__all__ = ["Start", "find_start"]

FROM_DATA = frozenset({"classes", "image_size"})
LOADERS = {"hf:": load_hf, "timm:": load_timm}


@dataclass(frozen=True)
class Start:
    """What a run begins with.

    Args:
        origin: where it comes from, as the person named it.
        system: the name of the network.
        options: of the network, without those that follow from the data.
        weights: to begin with, by the names that the network has for them.
        classes: that the weights were trained for.
        preparation: what is done to its images.
        head: the name of the layer that its logits come out of.
    """

    origin: str
    system: str
    options: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    classes: tuple[str, ...]
    preparation: Processed | Stretched
    head: str | None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of its images."""
        return self.preparation.size

    @property
    def processed(self) -> Processed | None:
        """What came with it to bring images to that size; None: they are stretched."""
        given = self.preparation
        return given.processed if isinstance(given, Fitted) else given if isinstance(given, Processed) else None

    @property
    def why(self) -> str:
        """Where the size of images comes from, and how they are brought to it."""
        return f"that of {self.origin}" + (f": {self.processed.described}" if self.processed else "")

    @property
    def why_asked(self) -> str:
        """The same where a size was asked for."""
        return "as asked" + (f"; stretched, and not as {self.origin} has them" if self.processed else "")

    def kept(self, data: ImageData) -> Processed | None:
        """What brings images to their size; None: they are stretched, as they are to a size that was asked for."""
        return self.processed if data.image_size is None else None

    def options_with(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """The options, with those that were chosen; of a network from elsewhere, values of its architecture.

        Raises:
            JumokError: it has no such option.
        """
        own = self.options.get("architecture")
        if not isinstance(own, Mapping):
            return {**self.options, **chosen}
        for name in chosen:
            if name not in own:
                raise JumokError(f"{self.origin} has no option {name!r}: {suggest(name, own)}")
        return {**self.options, "architecture": {**own, **chosen}}

    def weights_for(self, classes: tuple[str, ...]) -> dict[str, Tensor]:
        """The weights that suit a network for these classes: all but the head's where they are others."""
        if classes == self.classes or self.head is None:
            return dict(self.weights)
        return {name: value for name, value in self.weights.items() if name.rpartition(".")[0] != self.head}


def find_start(settings: Settings) -> Start | None:
    """What the settings say that a run begins with; None: with random weights.

    Raises:
        JumokError: there is no such run or model, or the settings name two.
    """
    foreign = next((load for prefix, load in LOADERS.items() if settings.system.startswith(prefix)), None)
    if settings.training.init is not None:
        return _start_from_run(Path(settings.training.init), settings.system)
    if foreign is None:
        return None
    found = foreign(settings.system.partition(":")[2])
    return _start_from_elsewhere(settings.system, found, sized=settings.data.image_size is not None)


def _start_from_run(folder: Path, system: str) -> Start:
    run = ImageRun.load(folder)
    config = run.config
    check_system(system, config, folder)
    options = {name: value for name, value in config.options.items() if name not in FROM_DATA}
    head = find_head(run.model, len(run.classes), run.size)
    weights = dict(run.model.state_dict())
    return Start(str(folder), config.system, options, weights, run.classes, run.preparation, head)


def _start_from_elsewhere(name: str, found: Foreign, *, sized: bool) -> Start:
    """Images are prepared by what the run will keep, unless a size is asked for, to which they are stretched."""
    options = {**found.options, **_find_order(name, found)}
    head = find_head(_Logits(found.network), len(found.classes), found.preparation.size)
    fresh = {f"network.{key}" for key in found.fresh}
    named = {f"network.{key}": value for key, value in found.network.state_dict().items()}
    weights = {key: value for key, value in named.items() if key not in fresh}
    given = found.preparation if sized else reopen(found.preparation)
    return Start(name, name, options, weights, found.classes, given, head)


def _find_order(name: str, found: Foreign) -> dict[str, Any]:
    """The option of a network that reads its colours in another order than red, green, blue.

    Raises:
        JumokError: it mixes them, or reads grey images.
    """
    order = found.preparation.order
    if order is None:
        raise JumokError(f"{name} does not read red, green and blue apart: training takes images of these three")
    return {} if order == (0, 1, 2) else {"order": list(order)}


class _Logits(nn.Module):
    """A network from elsewhere, named and answering as in a run; see `jumok.systems.pretrained`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Any:
        said = self.network(pixels)
        return getattr(said, "logits", said)
