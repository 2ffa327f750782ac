"""What a model from elsewhere writes, watched: its tokens, and the words that they make."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from jumok.errors import JumokError, first_line, foreign
from jumok.tasks.foreign_files import ADVICE, without_remarks
from jumok.tasks.prediction import check_answered
from jumok.watching.provenance.pictures import TracedPixels
from jumok.watching.seen import Seen
from jumok.watching.watch import watch

__all__ = ["GREEDY", "WrittenTokens", "group_words", "multiply_shares", "write_watched", "writing"]

GREEDY: Mapping[str, Any] = {
    "do_sample": False,
    "num_beams": 1,
    "num_return_sequences": 1,
    "prompt_lookup_num_tokens": None,
    "assistant_early_exit": None,
    "penalty_alpha": None,
    "dola_layers": None,
}
"""Settings of `generate` for the most probable token at each step, one step after the other."""
SETTINGS = "generation_config.json"


class WrittenTokens(NamedTuple):
    """What a model wrote.

    Args:
        sequence: (1, tokens) of ids, with what it began from.
        shares: how probable each token was that it wrote, the end sign included.
        seen: while it wrote.
    """

    sequence: Tensor
    shares: list[float]
    seen: Seen

    @property
    def ids(self) -> list[int]:
        """Of the tokens that it wrote."""
        written: list[int] = self.sequence[0, -len(self.shares) :].tolist()
        return written


def write_watched(
    model: nn.Module,
    name: str,
    inputs: Mapping[str, Any],
    most: int,
    what: str,
    advice: str = ADVICE,
    pixels: Sequence[TracedPixels] = (),
    **options: Any,
) -> WrittenTokens:
    """Have a model of `transformers` write the most probable token at each step.

    Args:
        model: that has `generate`.
        name: of the model, as the user gave it.
        inputs: for it.
        most: tokens to write.
        what, advice: what an error of the library's is said to be, and what to do.
        pixels: where the numbers of images among the inputs lie.
        **options: for `generate`.
    Raises:
        JumokError: the library refuses, or what the model answers is NaN.
    """
    wanted = {**GREEDY, **options, "return_dict_in_generate": True, "output_logits": True}
    with writing(model, name, inputs, most, what, advice), watch(model, pixels=pixels) as seen:
        made = model.generate(**inputs, max_new_tokens=most, **wanted)  # type: ignore[operator]
    steps = made.logits
    written = made.sequences[0, -len(steps) :].tolist()
    shares = torch.stack([step[0].float().softmax(-1)[token].cpu() for step, token in zip(steps, written, strict=True)])
    return WrittenTokens(made.sequences, check_answered(shares, name).tolist(), seen)


@contextmanager
def writing(
    model: Any, name: str, inputs: Mapping[str, Any], most: int, what: str, advice: str = ADVICE
) -> Iterator[None]:
    """Let `generate` of a model run in the block, without gradients and without what the library remarks.

    Args:
        model, name, inputs, most: as for `write_watched`.
        what, advice: what an error of the library's is said to be, and what to do.
    Raises:
        JumokError: the library refuses; it is the model's generation settings that are named where it writes without.
    """
    try:
        with foreign(what, advice), torch.no_grad(), without_remarks(), warnings.catch_warnings(action="ignore"):
            yield
    except JumokError as error:
        if error.__cause__ is None or not _writes_without_settings(model, inputs, most):
            raise
        raise JumokError(
            f"{name} cannot write with its generation settings ({first_line(error.__cause__)}): mend its {SETTINGS}, "
            "or take it away"
        ) from error.__cause__


def _writes_without_settings(model: Any, inputs: Mapping[str, Any], most: int) -> bool:
    from transformers import GenerationConfig

    try:
        with torch.no_grad(), without_remarks(), warnings.catch_warnings(action="ignore"):
            plain = GenerationConfig.from_model_config(model.config)
            kept, model.generation_config = model.generation_config, plain  # it fills up what is not given
            try:
                model.generate(**inputs, generation_config=plain, max_new_tokens=most, **GREEDY)
            finally:
                model.generation_config = kept
    except Exception:
        return False
    return True


def group_words(tokenizer: Any, tokens: Sequence[int]) -> Iterator[tuple[str, list[int]]]:
    """Words of an answer, and the numbers of their tokens: pieces that are written without a space belong together."""
    special, before = set(tokenizer.all_special_ids), ""
    word, places, kept = "", list[int](), list[int]()
    for number, token in enumerate(tokens):
        if token in special:
            continue
        kept.append(token)
        text = tokenizer.decode(kept, skip_special_tokens=True)
        piece, before = text[len(before) :], text
        if places and piece[:1].isspace() and word.strip():
            yield word.strip(), places
            word, places = "", []
        word, places = word + piece, [*places, number]
    if word.strip():
        yield word.strip(), places


def multiply_shares(shares: Sequence[float], words: Sequence[tuple[str, Sequence[int]]]) -> tuple[float, ...]:
    """How probable each word was: its tokens, one after the other."""
    return tuple(float(torch.tensor([shares[at] for at in places]).prod()) for _, places in words)
