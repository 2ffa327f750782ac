"""What a speech model writes of a sound, and which moments each word was read from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jumok.attention import AttentionMap, Patches, Tokens
from jumok.errors import JumokError, foreign
from jumok.tasks.foreign_files import ADVICE, without_remarks
from jumok.tasks.listen.opening import Listener
from jumok.tasks.written_words import group_words, multiply_shares, write_watched

__all__ = ["MOST_TOKENS", "Heard", "hear"]

MOST_TOKENS = 440
"""That are written at most: Whisper's decoder reads 448."""
SILENCE = "after the sound"
"""What is padded: models hear a fixed length."""


@dataclass(frozen=True)
class Heard:
    """What was written of a sound.

    Args:
        words: in order.
        probabilities: of each: that of its tokens, one after the other.
        looks: (words, places along the time and all padding after the sound as one), the mean over layers and heads of
            the cross-attention.
        spectrogram: (bands, frames), log-mel, of the time that the places cover.
        step: seconds from one place to the next.
        seconds: that the sound lasts.
        padded: whether the model heard padding after it.
        notes: what to know of it.
    """

    words: tuple[str, ...]
    probabilities: tuple[float, ...]
    looks: AttentionMap
    spectrogram: Tensor
    step: float
    seconds: float
    even: float
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All words."""
        return " ".join(self.words)

    @property
    def covered(self) -> float:
        """Seconds that the places and the spectrogram cover: those of the sound, up to the end of its last place."""
        return self.step * self._inside.shape[1]

    @property
    def peaks(self) -> list[float]:
        """For each word the second that was looked at most."""
        places = self._inside.argmax(1)
        return [(place + 0.5) * self.step for place in places.tolist()]

    @property
    def on_sound(self) -> list[float]:
        """For each word the share of its attention that fell on the sound, and not on the padding after it."""
        return [float(value) for value in self._inside.sum(1)]

    @property
    def _inside(self) -> Tensor:
        return self.looks.weights[:, len(self.looks.keys) - self.looks.keys.columns :]  # type: ignore[attr-defined]


def hear(listener: Listener, sound: NDArray[np.float32], most: int) -> Heard:
    """Have a speech model write what it hears, greedily.

    Args:
        listener: which is asked.
        sound: (samples,) at its rate, no longer than it hears.
        most: tokens to write.
    Raises:
        JumokError: the model cannot write so much, writes nothing, or its places do not follow the sound.
    """
    with foreign(f"{listener.name} cannot read this sound", ADVICE), without_remarks():
        read = listener.extractor(sound, sampling_rate=listener.rate, return_tensors="pt")
    features = read["input_features"].to(listener.network.device)
    frames = find_frames(listener, features)
    written = write_watched(
        listener.network,
        listener.name,
        {"input_features": features},
        most,
        f"{listener.name} cannot write here",
        f"lower --generate (now {most}), or {ADVICE}",
        return_timestamps=False,
        force_unique_generate_call=True,
    )
    words = list(group_words(listener.tokenizer, written.ids))
    if not words:
        raise JumokError(f"{listener.name} writes nothing of this sound: it hears no words in it")
    found = written.seen.alignment(written.sequence).weights[0].mean((0, 1))[-len(written.shares) :]
    seconds = len(sound) / listener.rate
    step = frames * listener.hop
    count = min(math.ceil(round(seconds / step, 6)), found.shape[1])
    return Heard(
        tuple(word for word, _ in words),
        multiply_shares(written.shares, words),
        _lay([places for _, places in words], [word for word, _ in words], found, count),
        features[0, :, : count * frames].cpu(),
        step,
        seconds,
        count / found.shape[1],
        _list_notes(listener.network),
    )


def _lay(words: Sequence[Sequence[int]], names: Sequence[str], found: Tensor, count: int) -> AttentionMap:
    """Over the time of the sound; what lies after it as one."""
    rows = torch.stack([found[list(places)].mean(0) for places in words]).float().cpu()
    padded = count < rows.shape[1]
    weights = torch.cat([rows[:, count:].sum(1, keepdim=True), rows[:, :count]], 1) if padded else rows
    keys = Patches(1, count, special=(SILENCE,) if padded else ())
    return AttentionMap(weights, Tokens(tuple(names)), keys, source="cross-attention, mean over layers and heads")


def _list_notes(network: Any) -> tuple[str, ...]:
    sampled = getattr(network.generation_config, "do_sample", False)
    return ("this model is set to draw its words by chance: here the most probable are taken",) if sampled else ()


# -- where in the sound a place lies --------------------------------------------------------------


def find_frames(listener: Listener, features: Tensor) -> int:
    """Frames of the spectrogram from one place of the encoder to the next, seen by which frames each place reads.

    Args:
        listener: whose encoder it is.
        features: (1, bands, frames).
    Raises:
        JumokError: its places do not follow the frames in equal steps.
    """
    encoder = listener.network.get_encoder()
    found: list[Tensor] = []
    hook = encoder.layers[0].register_forward_pre_hook(
        lambda _, given, more: found.append(_first(given, more)), with_kwargs=True
    )
    try:
        with torch.enable_grad(), without_remarks():
            asked = features.detach().clone().requires_grad_()
            encoder(asked)
    finally:
        hook.remove()
    states = found[0][0]
    count, frames = len(states), features.shape[-1]
    step = frames // count
    for place in (0, count // 2, count - 1):
        (gradient,) = torch.autograd.grad(states[place].sum(), asked, retain_graph=True)
        read = gradient[0].abs().sum(0).nonzero()[:, 0]
        if not len(read) or abs(float(read.float().mean()) - (place + 0.5) * step) > step or step * count != frames:
            raise JumokError(
                f"the places of {listener.name}'s encoder do not follow the frames of its spectrogram in equal steps, "
                "so words cannot be laid over time: in Python, use jumok.watch around it"
            )
    return step


def _first(given: tuple[Any, ...], more: dict[str, Any]) -> Tensor:
    state: Tensor = given[0] if given else more["hidden_states"]
    return state
