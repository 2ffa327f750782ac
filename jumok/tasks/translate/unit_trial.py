"""A short trial of several vocabularies: the one with which a small model tells held-out targets best."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from itertools import chain, repeat

import torch
from torch import Tensor
from torch.nn import functional as F

from jumok.data.pairs.batches import PairBatch, PairBatches
from jumok.data.pairs.pair_set import PairSet
from jumok.data.texts.vocabulary import Vocabulary, pick_evenly
from jumok.data.texts.vocabulary_builder import build_vocabulary
from jumok.special_tokens import PAD, UNK
from jumok.systems.seq2seq import Seq2Seq, Seq2SeqConfig
from jumok.tasks.running.training_module import mix_seed

__all__ = ["try_units"]

TRAINED_PAIRS, JUDGED_PAIRS = 10_000, 400
"""Pairs that a trial learns from at the most, and is judged on."""
BUDGET, MOST_PASSES = 70_000, 8
"""Work of a trial: places of both sides, the target's the dearer the more entries it has; and passes at the most."""
DEAR_ENTRIES = 2_000
"""Entries of the target's vocabulary by which a place costs twice as much."""
BATCH_PLACES, JUDGED_PLACES = 700, 4_000
LONGEST_TOKENS = 200
LEARNING_SHARE, FORESEEN_FROM = 0.8, 0.05
"""Of the time of each kind, the share that learning takes; and the share of a trial from which on its end is known."""
WIDTH, RATE, WARM_UP_STEPS, CLIP = 96, 4e-3, 10, 1.0

Sides = tuple[Vocabulary, Vocabulary]
Encoded = tuple[list[list[int]], list[list[int]]]


def try_units(
    sizes: Mapping[str, int],
    train: PairSet,
    val: PairSet,
    *,
    seed: int,
    shared: bool,
    seconds: float = math.inf,
) -> dict[str, float] | None:
    """Train a small model with each vocabulary, for the same work, and judge it on held-out pairs.

    The same pairs and seed give the same figures on one machine: work is counted. A trial that would take too long is
    given up.

    Args:
        sizes: entries at the most, by kind of vocabulary.
        train, val: pairs to learn from and to judge on.
        seed: of weights and order.
        shared: whether both sides have one vocabulary.
        seconds: that it may take.
    Returns:
        nats per character of the validation targets, by kind; a character that the vocabulary lacks costs as much as a
        blind guess. None where the trial would take longer.
    """
    learnt, judged = _pick(train, TRAINED_PAIRS), _pick(val, JUDGED_PAIRS)
    generator, limit = torch.get_rng_state(), _Limit(seconds, len(sizes))
    try:
        found = {}
        for kind, size in sizes.items():
            found[kind] = _try(_build(kind, size, learnt, shared), learnt, judged, seed, limit)
            limit.close_one()
        return found
    except _TooLongError:
        return None
    finally:
        torch.set_rng_state(generator)


class _TooLongError(Exception):
    """A trial would take longer than it may."""


class _Limit:
    """Ends a trial as soon as it is plain that it would take too long.

    Args:
        seconds: that it may take.
        parts: of it, of about the same length.
    """

    def __init__(self, seconds: float, parts: int) -> None:
        self._seconds, self._parts, self._whole = seconds, parts, 0
        self._began = time.monotonic()

    def close_one(self) -> None:
        """One more part is done."""
        self._whole += 1

    def check(self, share: float) -> None:
        """Look at the clock.

        Args:
            share: of the part at work that is done.
        Raises:
            _TooLongError: the time is over, or will be at this pace.
        """
        done = (self._whole + share * LEARNING_SHARE) / self._parts
        foreseen = (time.monotonic() - self._began) / done
        if done >= FORESEEN_FROM and foreseen > self._seconds:
            raise _TooLongError


def _pick(pairs: PairSet, most: int) -> PairSet:
    return PairSet(tuple(pick_evenly(pairs.sources, most)), tuple(pick_evenly(pairs.targets, most)))


def _build(kind: str, size: int, pairs: PairSet, shared: bool) -> Sides:
    corpora = [(*pairs.sources, *pairs.targets)] if shared else [pairs.sources, pairs.targets]
    built = [build_vocabulary(kind, texts, size=size)[0] for texts in corpora]
    return built[0], built[-1]


def _try(sides: Sides, train: PairSet, val: PairSet, seed: int, limit: _Limit) -> float:
    """Nats per character after the trial."""
    torch.manual_seed(mix_seed(seed, "units"))
    source, target = map(len, sides)
    sizes = Seq2SeqConfig(
        source_vocabulary=source, target_vocabulary=target, cell="gru", embedding=WIDTH, hidden=WIDTH, dropout=0.0
    )
    model = Seq2Seq(sizes)
    _learn(model, PairBatches(*_encode(sides, train), tokens=BATCH_PLACES, seed=seed, shuffle=True), limit)
    return _judge(model.eval(), sides, val)


def _encode(sides: Sides, pairs: PairSet) -> Encoded:
    """Ids of both sides, cut off where they are very long."""
    sources, targets = (
        [ids[:LONGEST_TOKENS] for ids in side.encode_all(texts)]
        for side, texts in zip(sides, (pairs.sources, pairs.targets), strict=True)
    )
    return sources, targets


def _learn(model: Seq2Seq, batches: PairBatches, limit: _Limit) -> None:
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE)
    cost = 1 + model.config.target_vocabulary / DEAR_ENTRIES
    done = 0.0
    for step, batch in enumerate(chain.from_iterable(repeat(batches, MOST_PASSES))):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARM_UP_STEPS)
        optimiser.zero_grad()
        _losses(model, batch).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()
        done += batch.source.numel() + cost * batch.target.numel()
        if done >= BUDGET:
            return
        limit.check(done / BUDGET)


def _losses(model: Seq2Seq, batch: PairBatch) -> Tensor:
    """The cross-entropy of each token of the targets."""
    wanted = batch.target[:, 1:]
    real = wanted != PAD
    logits = model.readout(model.decode(batch.source, batch.target[:, :-1])[real])
    return F.cross_entropy(logits, wanted[real], reduction="none")


@torch.inference_mode()
def _judge(model: Seq2Seq, sides: Sides, pairs: PairSet) -> float:
    batches = PairBatches(*_encode(sides, pairs), tokens=JUDGED_PLACES, shuffle=False)
    nats = sum(float(_losses(model, batch).sum()) for batch in batches)
    letters = sum(len(text) + 1 for text in pairs.targets)  # the end counts as one
    alphabet = len(set().union(*pairs.targets))
    return (nats + _count_unknown(sides[1], pairs.targets) * math.log(alphabet + 1)) / letters


def _count_unknown(vocabulary: Vocabulary, texts: Sequence[str]) -> int:
    """Characters of texts in pieces that a vocabulary lacks."""
    splits = (vocabulary.split(text) for text in texts)
    return sum(
        len(piece) for found in splits for piece, token in zip(found.pieces, found.ids, strict=True) if token == UNK
    )
