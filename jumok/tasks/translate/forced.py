"""How probable a given translation is, word by word, whatever the model reads."""

from __future__ import annotations

import torch
from torch import Tensor

from jumok.data.texts.vocabulary import Split
from jumok.special_tokens import SOS
from jumok.tasks.translate.run import PairRun

__all__ = ["read_word_probabilities"]

MOST_LOGITS = 1 << 24
"""Numbers that the model gives at a time: 64 MiB."""


@torch.no_grad()
def read_word_probabilities(run: PairRun, sources: Tensor, target: Split) -> Tensor:
    """The probability of each word of one translation, given the words before it: teacher forcing.

    Args:
        run: a translator.
        sources: (sources, tokens) int64, each with its end sign, padded at the right.
        target: the translation in pieces; the probability of a word is the product of its pieces'.
    Returns:
        (sources, words).
    """
    size = max(1, MOST_LOGITS // (len(target.ids) * len(run.target)))
    return torch.cat([_read_some(run, some, target) for some in sources.split(size)])


def _read_some(run: PairRun, sources: Tensor, target: Split) -> Tensor:
    ids = torch.tensor(target.ids, device=sources.device).expand(len(sources), -1)
    before = torch.cat([torch.full_like(ids[:, :1], SOS), ids[:, :-1]], 1)
    hidden = run.model.decode(sources, before)  # type: ignore[operator]
    logits = run.model.readout(hidden)  # type: ignore[operator]
    found = logits.float().log_softmax(-1).gather(-1, ids[..., None])[..., 0]
    totals: Tensor = found.new_zeros(len(sources), len(target.words))
    return totals.index_add(1, torch.tensor(target.owner, device=sources.device), found).exp()
