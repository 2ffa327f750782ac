"""Let a text model write, and ask of every word that it wrote what it read for it.

The words are found by `generate()` of the model's library, and one more pass over all of them is watched: the row of
the token before a word is the step that wrote it, as `Seen.generated` joins it from single steps, and a pass costs far
less memory than the steps with all their caches.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from jumok.errors import JumokError
from jumok.tasks.label.looking import USUAL, check_method
from jumok.tasks.read.answering import relate
from jumok.tasks.read.opening import Kind, TextModel
from jumok.tasks.read.pieces import Piece, name_pieces
from jumok.tasks.read.reading import Answer, Given, Reading, Sheet, list_calls, rank, self_attention
from jumok.tasks.written_words import GREEDY, writing
from jumok.watching.seen import Seen
from jumok.watching.watch import watch
from jumok.wording import write_count

__all__ = ["MOST_EXPLAINED", "MOST_WRITTEN", "OF_TWO_STREAMS", "check_count", "write"]

MOST_WRITTEN = 1024
"""Tokens that are written at a time."""
MOST_EXPLAINED = 64
"""Words whose relevance is computed: each takes a pass back through the model."""
OF_TWO_STREAMS = "chefer"
"""The method that follows a source and a target at once."""


def check_count(count: int) -> int:
    """The same number of tokens to write.

    Raises:
        JumokError: none, or too many.
    """
    if not 1 <= count <= MOST_WRITTEN:
        raise JumokError(f"--generate is a number of tokens from 1 to {MOST_WRITTEN:,}, got {count:,}")
    return count


def write(model: TextModel, given: Given, count: int, method: str | None = None) -> Reading:
    """Continue a text, or write what an encoder-decoder makes of it; greedily.

    Args:
        model: that writes.
        given: the text.
        count: tokens at most.
        method: of attribution, None: the usual one.
    Raises:
        JumokError: the model cannot write so much, or its attention or relevance cannot be followed.
    """
    if model.kind is Kind.PAIRS:
        return _write_target(model, given, count, _check_two_streams(method))
    output = _generate(model, given, count)
    begin = given.ids.shape[1]
    ids, written = output[:, :-1], output[0, begin:].tolist()
    pieces = name_pieces(model.tokenizer, written)
    fed = (*given.pieces, *pieces[:-1])
    with torch.enable_grad(), watch(model.network, tokens=[piece.text for piece in fed]) as seen:
        logits = model.network(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, begin - 1 :]
    chosen = check_method(method or USUAL)

    def explain(number: int) -> Tensor:
        return _fill(relate(seen, logits[number, written[number]], chosen), len(fed) + 1)

    sheet = self_attention(seen, fed, begin - 1, pieces)
    answers = tuple(_answer_each(model, logits, written, pieces, explain))
    return Reading(given, "words", answers, pieces, (sheet,), chosen, tuple(_remarks(answers, count)))


def _write_target(model: TextModel, given: Given, count: int, method: str) -> Reading:
    output = _generate(model, given, count)
    ids, written = output[:, :-1], output[0, 1:].tolist()
    first, *pieces = name_pieces(model.tokenizer, output[0].tolist())
    fed = (first, *pieces[:-1])
    with torch.enable_grad(), watch(model.network) as seen:
        logits = model.network(**given.inputs, decoder_input_ids=ids).logits[0]

    def explain(number: int) -> Tensor:
        found = seen.bimodal_relevance(logits[number, written[number]], number, allow_empty=True)
        words, places = (part.weights[0, 0].detach().float().cpu() for part in found)
        words[number] -= 1  # the chain's own start, which was not read
        return torch.cat([places, _fill(words[1:], len(pieces))])

    answers = tuple(_answer_each(model, logits, written, tuple(pieces), explain))
    sheets = tuple(_list_sheets(model, seen, given, fed, tuple(pieces)))
    return Reading(given, "words", answers, tuple(pieces), sheets, method, tuple(_remarks(answers, count)))


def _list_sheets(
    model: TextModel, seen: Seen, given: Given, fed: tuple[Piece, ...], pieces: tuple[Piece, ...]
) -> Iterator[Sheet]:
    """Cross-attention first, for it is what a translation is asked about."""
    source, inside = given.pieces, _find_path(model.network, model.network.get_encoder())  # type: ignore[operator]
    encoder, others = list_calls(seen, len(source), len(source), inside)
    decoder = [name for name in seen.names if name not in {*encoder, *others}]
    kinds = list(dict.fromkeys(name.rpartition(".")[2] for name in decoder))
    if not encoder or len(kinds) != 2:
        raise JumokError(
            f"the attention of hf:{model.name} is not that of an encoder and a decoder that looks at it "
            f"({', '.join(seen.names[:4])} were seen): in Python, read it with jumok.watch"
        )
    own, cross = (tuple(name for name in decoder if name.rpartition(".")[2] == kind) for kind in kinds)
    yield Sheet("cross-attention", pieces, source, cross, seen)
    yield Sheet("decoder", pieces, fed, own, seen)
    yield Sheet("encoder", source, source, tuple(encoder), seen.only(inside), rolls=not others)


def _find_path(network: Any, part: Any) -> str:
    return next(str(path) for path, module in network.named_modules() if module is part)


def _generate(model: TextModel, given: Given, count: int) -> Tensor:
    """(1, tokens) of ids: the prompt or the decoder's start token, and what was written."""
    network: Any = model.network
    name, wanted = f"hf:{model.name}", {**GREEDY, "max_length": None, "return_dict_in_generate": False}
    with writing(network, name, given.inputs, count, f"{name} cannot write here"):
        output: Tensor = network.generate(**given.inputs, max_new_tokens=count, tokenizer=model.tokenizer, **wanted)
    begin = 1 if model.kind is Kind.PAIRS else given.ids.shape[1]
    if output.shape[1] <= begin:
        raise JumokError(f"hf:{model.name} wrote nothing for this text: give another one")
    return output


def _answer_each(
    model: TextModel, logits: Tensor, written: list[int], pieces: tuple[Piece, ...], explain: Any
) -> Iterator[Answer]:
    shares = logits.detach().float().softmax(-1)
    for number, (identity, piece) in enumerate(zip(written, pieces, strict=True)):
        found = explain(number) if number < MOST_EXPLAINED else None
        yield Answer(piece.text, float(shares[number, identity]), rank(model, logits[number]), found)


def _remarks(answers: tuple[Answer, ...], count: int) -> Iterator[str]:
    other = sum(answer.share < answer.best[0][1] for answer in answers)
    if other:
        yield f"{other} of {len(answers)} words were not the most probable: the model's generation settings chose them"
    if len(answers) > MOST_EXPLAINED:
        yield f"relevance is computed of the first {MOST_EXPLAINED} words"
    if len(answers) == count:
        yield f"the text was cut off after {write_count(count, 'token')} (--generate)"


def _fill(row: Tensor, count: int) -> Tensor:
    """With zeros behind it, for what had not been written yet."""
    return torch.nn.functional.pad(row[:count], (0, max(count - len(row), 0)))


def _check_two_streams(method: str | None) -> str:
    if method not in (None, OF_TWO_STREAMS):
        raise JumokError(
            f"the method {method!r} explains one text, and an encoder-decoder reads two: leave out --method, or give "
            f"{OF_TWO_STREAMS}"
        )
    return OF_TWO_STREAMS
