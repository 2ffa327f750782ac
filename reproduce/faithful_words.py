"""Which words make two sentences alike, for a sentence encoder: maps of words, measured by taking words away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from jumok.attribution import METHODS, Need
from jumok.errors import JumokError
from jumok.measures.faithfulness_meter import FaithfulnessMeter
from jumok.measures.faithfulness_report import FaithfulnessReport
from jumok.measures.word_units import WordUnits, add_up_words
from jumok.watching.seen import MEAN, Seen
from jumok.watching.watch import watch

__all__ = ["measure_words"]

FEWEST_WORDS = 5
AT_ONCE = 64
LEFT_OUT = frozenset({Need.PASSES, Need.FEATURES})
"""Methods that need more passes, which would take long, or an image."""


@dataclass(frozen=True)
class Encoder:
    """A sentence encoder of `transformers`: the mean over its last states, of length 1."""

    model: Any
    tokenizer: Any

    def __call__(self, tokens: Tensor, there: Tensor) -> Tensor:
        """(sentences, tokens) to (sentences, size)."""
        states = self.model(input_ids=tokens, attention_mask=there.long()).last_hidden_state
        there = there.to(states)
        return F.normalize((states * there[..., None]).sum(1) / there.sum(1, keepdim=True), dim=-1)

    def encode(self, sentences: Sequence[str]) -> Tensor:
        """All sentences, some at a time, without gradients."""
        found = []
        for start in range(0, len(sentences), AT_ONCE):
            batch = self.tokenizer(list(sentences[start : start + AT_ONCE]), padding=True, return_tensors="pt")
            with torch.no_grad():
                found.append(self(batch["input_ids"], batch["attention_mask"]))
        return torch.cat(found)


def measure_words(folder: Path, sentences: Path, *, most: int, steps: int, seed: int) -> tuple[FaithfulnessReport, str]:
    """Measure every quick method on sentences, each beside the one that the encoder finds most like it.

    Args:
        folder: of the encoder.
        sentences: a text file, one sentence a line.
        most: sentences that are measured.
        steps: parts in which the words go.
        seed: of the choice of sentences.
    Raises:
        JumokError: no encoder or no sentences there.
    """
    encoder = _open(folder)
    texts = _read(sentences)
    vectors = encoder.encode(texts)
    likeness = vectors @ vectors.T
    likeness.fill_diagonal_(-1)
    nearest = likeness.argmax(1)
    meter = FaithfulnessMeter(steps=steps, seed=seed)
    for number in np.random.default_rng(seed).permutation(len(texts)).tolist():
        if len(meter) == most:
            break
        _measure(meter, encoder, texts[number], vectors[nearest[number]])
    return meter.report(noun="sentences"), f"{folder.name}, cosine to the most similar of {len(texts):,} sentences"


def _open(folder: Path) -> Encoder:
    from transformers import AutoModel, AutoTokenizer

    try:
        return Encoder(AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder))
    except (OSError, ValueError) as error:
        raise JumokError(f"{folder} holds no sentence encoder of transformers: {error}") from error


def _read(path: Path) -> list[str]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise JumokError(f"cannot read {path}: give a text file with a sentence a line") from error
    return list(dict.fromkeys(line.strip() for line in lines if len(line.split()) >= FEWEST_WORDS))


def _measure(meter: FaithfulnessMeter, encoder: Encoder, text: str, other: Tensor) -> None:
    """Measure one sentence, whose words are the units."""
    found = encoder.tokenizer(text, return_tensors="pt")
    tokens, words = found["input_ids"][0], _number_words(found.word_ids(0))
    names = [encoder.tokenizer.decode(tokens[words == number]) for number in range(int(words.max()) + 1)]
    maps = {name: add_up_words(row, words) for name, row in _explain(encoder, tokens, other).items()}
    meter.add(_make_answers(encoder, tokens, words, other), maps, baselines=WordUnits.baselines(names), name=text)


def _number_words(words: Sequence[int | None]) -> Tensor:
    """The number of each token's word; -1 for the tokens that stand for none."""
    return torch.tensor([-1 if word is None else word for word in words])


def _explain(encoder: Encoder, tokens: Tensor, other: Tensor) -> dict[str, Tensor]:
    """(tokens,) by method: what made the sentence like the other one."""
    with watch(encoder.model, tokens=encoder.tokenizer.convert_ids_to_tokens(tokens)) as seen:
        target = (encoder(tokens[None], torch.ones_like(tokens[None])) * other).sum(-1)
    return {name: _read_map(seen, target, name) for name in _list_methods()}


def _list_methods() -> list[str]:
    """The quick ones, without the random map, which stands among the baselines."""
    return [name for name, method in METHODS.items() if method.needs and not LEFT_OUT & method.needs]


def _read_map(seen: Seen, target: Tensor, name: str) -> Tensor:
    asked = {"query": MEAN} if "query" in METHODS[name].options else {}
    return seen.relevance(target, method=name, **asked).weights[0, 0].detach()


def _make_answers(
    encoder: Encoder, tokens: Tensor, words: Tensor, other: Tensor
) -> Mapping[str, Callable[[Tensor], Tensor]]:
    """The likeness to the other sentence, as a function of the words kept."""
    mask, padding = encoder.tokenizer.mask_token_id, encoder.tokenizer.pad_token_id

    def replace(kept: Tensor) -> Tensor:
        return ask(tokens.where(_keep(kept, words), mask), torch.ones(len(kept), len(tokens)))

    def remove(kept: Tensor) -> Tensor:
        there = _keep(kept, words)
        order = (~there).to(torch.int8).argsort(dim=1, stable=True)
        moved = torch.arange(len(tokens)) < there.sum(1, keepdim=True)
        return ask(tokens[order].where(moved, padding), moved)

    @torch.no_grad()
    def ask(tokens: Tensor, there: Tensor) -> Tensor:
        return (encoder(tokens, there) * other).sum(-1)

    return {"replace": replace, "remove": remove}


def _keep(kept: Tensor, words: Tensor) -> Tensor:
    """(inputs, words) to (inputs, tokens); tokens that stand for no word stay."""
    return kept[:, words.clamp(min=0)] | (words < 0)
