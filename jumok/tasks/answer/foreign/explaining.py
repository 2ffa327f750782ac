"""How much each place of an image contributed to each word that a vision-language model wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jumok.attention import AttentionMap, Tokens
from jumok.errors import JumokError, foreign
from jumok.tasks.classify.foreign import without_remarks
from jumok.watching.provenance.pictures import TracedPixels
from jumok.watching.seen import Seen
from jumok.watching.watch import watch

__all__ = ["METHOD", "MOST_EXPLAINED", "Written", "check_method", "explain_words"]

METHOD = "chefer"
"""The method of attribution that starts from the step that wrote a word."""
MOST_EXPLAINED = 64
"""Tokens of an answer that are explained: each takes a pass back through the model."""
SAME = 0.01
"""By how much a token may be otherwise probable in a pass over the whole answer."""
FILLINGS = (0, 1)
"""What inputs that mark the kind of each token may have for those of the answer."""


@dataclass(frozen=True)
class Written:
    """An answer that a model wrote, and what it wrote it from.

    Args:
        name: of the model, for messages.
        model: in eval mode.
        inputs: that it was given.
        traced: where the numbers of the images lie.
        output: (1, tokens) of ids: the prompt and the answer.
        shares: how probable each token of the answer was.
    """

    name: str
    model: Any
    inputs: Mapping[str, Tensor]
    traced: Sequence[TracedPixels]
    output: Tensor
    shares: Sequence[float]

    @property
    def begin(self) -> int:
        """Tokens before the answer."""
        return int(self.inputs["input_ids"].shape[1])


def explain_words(written: Written, words: Sequence[Sequence[int]], method: str) -> AttentionMap:
    """Explain each word of an answer, in one pass over all of it, through the layers of the language model.

    Args:
        written: the answer.
        words: the numbers of each word's tokens in it.
        method: of attribution.
    Returns:
        (words, tokens), 0 or more: the mean over a word's tokens. The start of the chain, a token of the
            text, has 1 of it.
    Raises:
        JumokError: another method, too many tokens, the model answers otherwise when it reads all of the answer at
            once, or its attention cannot be followed.
    """
    _check(written, method)
    begin, output = written.begin, written.output
    seen, logits = _read_again(written)
    decoder = _find_decoder(written)
    part = seen.only(decoder)
    rows, found = [], None
    for places in words:
        each = []
        for place in places:
            at = begin - 1 + place
            found = part.relevance(logits[place, output[0, begin + place]], query=at, method=method)
            each.append(found.weights[0, 0].detach().float().cpu())
        rows.append(torch.stack(each).mean(0))
    assert found is not None  # an answer has words, and each has tokens
    queries = Tokens(tuple(map(str, range(len(words)))))
    return AttentionMap(
        torch.stack(rows), queries, found.keys, (), found.scale, f"{method} of each word, through {decoder}"
    )


def check_method(method: str | None) -> None:
    """Refuse a method that explains no words, before a model is opened.

    Raises:
        JumokError: a method other than `METHOD`.
    """
    if method not in (None, METHOD):
        raise JumokError(f"--method {method!r}: words of an answer are explained by {METHOD}")


def _check(written: Written, method: str) -> None:
    """Refuse what cannot be explained.

    Raises:
        JumokError: another method, a model of two sequences, or too many tokens.
    """
    check_method(method)
    if written.model.config.is_encoder_decoder:
        raise JumokError(
            f"hf:{written.name} writes by an encoder and a decoder, and {METHOD} follows words and places in one "
            "sequence: leave --method out, which shows its cross-attention"
        )
    if (count := written.output.shape[1] - written.begin) > MOST_EXPLAINED:
        raise JumokError(f"the answer has {count} tokens, and {MOST_EXPLAINED} are explained: lower --generate")


def _read_again(written: Written) -> tuple[Seen, Tensor]:
    """One pass over prompt and answer, with gradients: what was seen, and the logits of the answer's tokens."""
    model, output, begin = written.model, written.output, written.begin
    table = model.get_input_embeddings().weight
    asked = {each: each.requires_grad for each in model.parameters()}
    model.requires_grad_(False)
    table.requires_grad_(True)  # of all weights this one alone: it lies before every layer
    try:
        for fed in _lengthen(written.inputs, output[:, :-1]):
            with (
                foreign(f"hf:{written.name} does not read its whole answer at once", "leave --method out"),
                torch.enable_grad(),
                without_remarks(),
                watch(model, pixels=written.traced) as seen,
            ):
                logits: Tensor = model(**fed).logits[0, begin - 1 :]
            again = logits.float().softmax(-1).gather(1, output[0, begin:, None])[:, 0]
            if torch.allclose(again.cpu(), torch.tensor(written.shares), atol=SAME, rtol=0):
                return seen, logits
    finally:
        for each, wanted in asked.items():
            each.requires_grad_(wanted)
    raise JumokError(
        f"hf:{written.name} finds its words otherwise probable when it reads the whole answer at once than step by "
        "step, so what it read for them cannot be told: leave --method out"
    )


def _lengthen(inputs: Mapping[str, Tensor], ids: Tensor) -> Iterator[dict[str, Tensor]]:
    """The inputs of a prompt, for more tokens, in each way that they may be meant."""
    begin = inputs["input_ids"].shape[1]
    alike = {name: value for name, value in inputs.items() if value.shape == (1, begin) and name != "attention_mask"}
    for filling in FILLINGS if len(alike) > 1 else FILLINGS[:1]:
        longer = {
            name: torch.nn.functional.pad(value, (0, ids.shape[1] - begin), value=filling)
            for name, value in alike.items()
        }
        yield {**inputs, **longer, "input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _find_decoder(written: Written) -> str:
    """The path of the part that reads words and places together."""
    model = written.model
    wanted = model.get_decoder() if hasattr(model, "get_decoder") else None
    found = next((str(path) for path, module in model.named_modules() if module is wanted and path), None)
    if found is None:
        raise JumokError(f"hf:{written.name} has no language model that stands by itself: leave --method out")
    return found
