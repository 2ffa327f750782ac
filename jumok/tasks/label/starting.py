"""Where the first weights of a text classifier come from: an encoder from elsewhere, or another run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from jumok.errors import JumokError, suggest
from jumok.systems.pretrained_texts import HEAD
from jumok.tasks.label.foreign import load_encoder
from jumok.tasks.label.run import TextRun
from jumok.tasks.label.settings import Settings
from jumok.tasks.label.tokens import Tokens
from jumok.tasks.running.beginning import check_system

__all__ = ["Start", "find_start"]

PREFIX = "hf:"


@dataclass(frozen=True)
class Start:
    """What a run begins with.

    Args:
        origin: where it comes from, as the person named it.
        options: of the network, without the number of classes.
        weights: by the names that the network has for them.
        classes: that the head was trained for; none where it is new.
        tokens: the tokenizer.
    """

    origin: str
    options: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    classes: tuple[str, ...]
    tokens: Tokens

    def options_with(self, chosen: Mapping[str, Any], classes: int) -> dict[str, Any]:
        """The options, with those that were chosen: values of the architecture, or `pool`.

        Raises:
            JumokError: it has no such option.
        """
        own = dict(self.options["architecture"])
        known = {**own, "pool": ""}
        for name in chosen:
            if name not in known:
                raise JumokError(f"{self.origin} has no option {name!r}: {suggest(name, known)}")
        changed = {name: value for name, value in chosen.items() if name != "pool"}
        pool = chosen.get("pool", self.options["pool"])
        return {"classes": classes, "architecture": {**own, **changed}, "pool": pool}

    def weights_for(self, classes: tuple[str, ...]) -> dict[str, Tensor]:
        """The weights that suit these classes: all but the head's where they are others."""
        kept = classes == self.classes
        return {name: value for name, value in self.weights.items() if kept or not name.startswith(f"{HEAD}.")}


def find_start(settings: Settings) -> Start:
    """What the settings say that a run begins with.

    Raises:
        JumokError: there is no such run or model, or the settings name two.
    """
    if settings.training.init is not None:
        run = TextRun.load(Path(settings.training.init))
        check_system(settings.system, run.config, run.folder)
        weights = dict(run.model.state_dict())
        return Start(str(run.folder), run.config.options, weights, run.classes, run.tokens)
    found = load_encoder(settings.system.removeprefix(PREFIX))
    options = {"architecture": found.architecture, "pool": found.pool}
    return Start(settings.system, options, found.weights, (), found.tokens)
