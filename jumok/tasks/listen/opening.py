"""Speech models of `transformers` like Whisper, with their feature extractor and tokenizer: how one is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jumok.errors import JumokError, foreign
from jumok.tasks.foreign_files import ADVICE, without_remarks
from jumok.tasks.foreign_models import is_folder, open_config, open_network
from jumok.tasks.model_types import PREFIX

__all__ = ["LISTS", "Listener", "open_listener"]

LISTS = ("SPEECH_SEQ_2_SEQ",)
"""The lists of `transformers` that hold models that write what they hear."""
FAMILY = "whisper"
HEAD = "WhisperForConditionalGeneration"
USUAL_COUNT = 100
EXTRACTOR = "preprocessor_config.json"
STRIDE = 2
"""Frames from one place of the encoder to the next, as Whisper is built; checked on each model by what it does."""


@dataclass(frozen=True)
class Listener:
    """A speech model that writes what it hears.

    Args:
        name: as the user gave it.
        network: in eval mode, without gradients.
        extractor: from sound to its log-mel spectrogram.
        tokenizer: of what it writes.
    """

    name: str
    network: Any
    extractor: Any
    tokenizer: Any

    @property
    def rate(self) -> int:
        """Samples a second."""
        return int(self.extractor.sampling_rate)

    @property
    def longest(self) -> float:
        """Seconds that it hears at a time."""
        return float(self.extractor.n_samples / self.extractor.sampling_rate)

    @property
    def usual_count(self) -> int:
        """Tokens that are written where no number is given: what its decoder has room for, halved, at most 100."""
        return min(USUAL_COUNT, int(self.network.config.max_target_positions) // 2)

    @property
    def hop(self) -> float:
        """Seconds from one frame of the spectrogram to the next."""
        return float(self.extractor.hop_length / self.extractor.sampling_rate)


def open_listener(model: str, device: str = "cpu") -> Listener:
    """Open a speech model: weights from safetensors only, and no code of the model's own.

    Args:
        model: `hf:` and a folder, or a name on the hub.
        device: to compute on.
    Raises:
        JumokError: there is no such model, it is of another family, it lacks weights, or its feature extractor or
            tokenizer is missing or contradicts it.
        ModuleNotFoundError: `transformers` is not installed.
    """
    import transformers

    config = open_config(model)
    _check_family(model, config)
    name = model.removeprefix(PREFIX)
    local = is_folder(name)
    unsaid = f"{model} does not say how its sounds are prepared ({EXTRACTOR}) or how words are written"
    with foreign(unsaid, ADVICE), without_remarks():
        extractor = transformers.WhisperFeatureExtractor.from_pretrained(name, local_files_only=local)
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, local_files_only=local, trust_remote_code=False)
    _check_extractor(model, config, extractor)
    network, fresh = open_network(model, HEAD, device)
    if fresh:
        raise JumokError(
            f"{model} lacks the weights {fresh}, so its words would be random: give a checkpoint with them"
        )
    return Listener(model, network, extractor, tokenizer)


def _check_family(model: str, config: Any) -> None:
    head = next(iter(config.architectures or ()), HEAD)
    if config.model_type != FAMILY or head != HEAD:
        raise JumokError(
            f"{model} is a {head} ({config.model_type}), whose words jumok does not lead back to moments of a sound: "
            f"wanted a {HEAD}; in Python, use jumok.watch around it"
        )


def _check_extractor(model: str, config: Any, extractor: Any) -> None:
    """Refuse an extractor whose spectrograms the model does not take."""
    bands, frames = extractor.feature_size, extractor.n_samples // extractor.hop_length
    wanted = (config.num_mel_bins, config.max_source_positions * STRIDE)
    if (bands, frames) != wanted:
        raise JumokError(
            f"{model} takes spectrograms of {wanted[0]} bands and {wanted[1]} frames, and its own {EXTRACTOR} makes "
            f"{bands} and {frames}: the two contradict each other, so mend one of them"
        )
