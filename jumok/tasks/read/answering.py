"""Ask a text model of one stream about a text: its class, the words behind its masks, the next word, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from jumok.errors import JumokError, suggest
from jumok.tasks.label.looking import USUAL, check_method
from jumok.tasks.prediction import check_answered
from jumok.tasks.read.opening import Kind, TextModel
from jumok.tasks.read.reading import MOST_BEST, Answer, Given, Reading, rank, self_attention
from jumok.watching.seen import Seen
from jumok.watching.watch import watch

__all__ = ["answer", "relate"]

REGRESSION, SEVERAL = "regression", "multi_label_classification"


def answer(model: TextModel, given: Given, method: str | None = None, target: str | None = None) -> Reading:
    """Ask about one text.

    Args:
        model: of one stream.
        given: the text.
        method: of attribution; None: the usual one.
        target: the class to explain; None: the predicted one. Of other models: none.
    Raises:
        JumokError: no such class or method, or a model whose attention or relevance cannot be followed.
    """
    if target is not None and model.kind is not Kind.CLASSES:
        raise JumokError(f"no use for --target: hf:{model.name} is a model of the kind {model.kind}, without classes")
    masks = _find_masks(model, given) if model.kind is Kind.MASKED else []
    asks = model.kind in (Kind.CLASSES, Kind.NEXT) or bool(masks)
    if method is not None and not asks:
        raise JumokError(f"no use for --method: {_tell_silent(model)}, so that there is nothing to explain")
    chosen = check_method(method or USUAL)
    with torch.set_grad_enabled(asks), watch(model.network, tokens=[piece.text for piece in given.pieces]) as seen:
        output = model.network(**given.inputs)
    sheet = self_attention(seen, given.pieces)
    if not asks:
        remark = f"{_tell_silent(model)}: the page shows its attention" if model.kind is Kind.MASKED else ""
        return Reading(given, sheets=(sheet,), remarks=(remark,) if remark else ())
    logits = output.logits[0]
    asked, answers = _ask(model, logits, seen, chosen, target, masks)
    return Reading(given, asked, tuple(answers), sheets=(sheet,), method=chosen)


def relate(seen: Seen, target: Tensor, method: str) -> Tensor:
    """(tokens,) how much each contributed to a target."""
    found = seen.relevance(target, method=method)
    return found.weights[0, 0].detach().float().cpu()


def _ask(
    model: TextModel, logits: Tensor, seen: Seen, method: str, target: str | None, masks: list[int]
) -> tuple[str, Iterator[Answer]]:
    if model.kind is Kind.CLASSES:
        return ("score" if model.problem == REGRESSION else "class"), iter(
            [_classify(model, logits, seen, method, target)]
        )
    if model.kind is Kind.NEXT:
        return "next word", iter([_guess(model, logits[-1], seen, method)])
    return "masked word", (_guess(model, logits[place], seen, method, place) for place in masks)


def _classify(model: TextModel, logits: Tensor, seen: Seen, method: str, target: str | None) -> Answer:
    shares = _read_shares(model, logits)
    number = int(logits.argmax()) if target is None else _find_class(model, target)
    best = shares.topk(min(MOST_BEST, len(shares)))
    ranked = tuple(
        (model.classes[at], value) for at, value in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    )
    ranked = () if model.problem == REGRESSION else ranked
    return Answer(model.classes[number], float(shares[number]), ranked, relate(seen, logits[number], method))


def _read_shares(model: TextModel, logits: Tensor) -> Tensor:
    values = logits.detach().float().cpu()
    if model.problem != REGRESSION:
        values = values.sigmoid() if model.problem == SEVERAL else values.softmax(-1)
    return check_answered(values, f"hf:{model.name}")


def _find_class(model: TextModel, name: str) -> int:
    if name not in model.classes:
        raise JumokError(f"the model has no class {name!r}: {suggest(name, model.classes)}")
    return model.classes.index(name)


def _guess(model: TextModel, logits: Tensor, seen: Seen, method: str, place: int = -1) -> Answer:
    """The most probable word."""
    best = rank(model, logits)
    return Answer(*best[0], best, relate(seen, logits.max(), method), place)


def _find_masks(model: TextModel, given: Given) -> list[int]:
    mask: Any = model.tokenizer.mask_token_id
    return [] if mask is None else (given.ids[0] == mask).nonzero()[:, 0].tolist()


def _tell_silent(model: TextModel) -> str:
    mask = getattr(model.tokenizer, "mask_token", None)
    if model.kind is Kind.MASKED:
        return f"hf:{model.name} predicts words behind {mask}, and the text has none"
    return f"hf:{model.name} is an encoder, which answers nothing by itself"
