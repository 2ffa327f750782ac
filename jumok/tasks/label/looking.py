"""Which words of a text spoke for a class: methods of `jumok.attribution`, added up over the tokens of each word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jumok.attention import AttentionMap, One, Tokens
from jumok.attribution import METHODS, Need
from jumok.errors import JumokError, suggest
from jumok.tasks.label.run import TextRun
from jumok.tasks.label.tokens import Cut
from jumok.tasks.prediction import check_answered
from jumok.watching.chain import MEAN
from jumok.watching.seen import Seen
from jumok.watching.watch import watch

__all__ = ["USUAL", "Explained", "check_method", "explain", "list_methods"]

USUAL = "libra"
"""The method where none is named: of those measured on a sentence encoder it is among the most faithful."""
LEFT_OUT = frozenset({Need.PASSES, Need.FEATURES})
"""Methods that need many more passes, or an image."""


@dataclass(frozen=True)
class Explained:
    """What a text classifier says of a text, and which words spoke for it.

    Args:
        cut: the text as the model reads it.
        probabilities: (classes,).
        target: the class that is explained.
        maps: by method: one row over the words.
    """

    cut: Cut
    probabilities: Tensor
    target: int
    maps: dict[str, AttentionMap]


def list_methods() -> list[str]:
    """The methods that explain texts."""
    return [name for name, method in METHODS.items() if method.needs and not LEFT_OUT & method.needs]


def check_method(name: str) -> str:
    """The same name.

    Raises:
        JumokError: no method, or one that does not explain texts.
    """
    known = list_methods()
    if name not in known:
        raise JumokError(f"the method {name!r} does not explain texts: {suggest(name, known)}")
    return name


def explain(run: TextRun, text: str, methods: Sequence[str] = (USUAL,), target: int | None = None) -> Explained:
    """Explain one text.

    Args:
        run: a text classifier.
        text: with words in it.
        methods: names.
        target: the class; None: the predicted one.
    Raises:
        JumokError: a text without words, or a method that the model does not fit.
    """
    cut = run.cut(text)
    if not cut.words:
        raise JumokError("a text without words cannot be explained")
    tokens = torch.tensor([cut.ids], device=run.device)
    with torch.enable_grad(), watch(run.model, tokens=list(cut.pieces)) as seen:
        logits = run.model(tokens, torch.ones_like(tokens, dtype=torch.bool))
    shares = check_answered(logits[0].detach().float().softmax(-1), str(run.folder))
    chosen = int(shares.argmax()) if target is None else target
    maps = {name: _read_map(run, seen, logits[:, chosen], name, cut, chosen) for name in map(check_method, methods)}
    return Explained(cut, shares.cpu(), chosen, maps)


def _read_map(run: TextRun, seen: Seen, logit: Tensor, name: str, cut: Cut, target: int) -> AttentionMap:
    """(words,) by one method; tokens that stand for no word are left out."""
    method = METHODS[name]
    start = 0 if run.config.options["pool"] == "first" else MEAN
    options = {"query": start} if "query" in method.options else {}
    found = seen.relevance(logit, method=name, **options)
    row = found.weights[0, 0].detach().float().cpu()
    owner = torch.tensor(cut.owner)
    totals = torch.zeros(len(cut.words)).index_add_(0, owner[owner >= 0], row[owner >= 0])
    return AttentionMap(totals[None], One(run.classes[target]), Tokens(cut.words), (), found.scale, found.source)
