"""Which source words each target word looked at, for pairs of sentences that are cut into pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from jumok.attention import AttentionMap, Tokens
from jumok.attention.word_alignment import NEXT, Aligned, align_words
from jumok.data.texts.vocabulary import Split
from jumok.errors import JumokError, suggest
from jumok.special_tokens import EOS, PAD, SOS, SYMBOLS, UNK
from jumok.tasks.translate.run import PairRun, SplitPair
from jumok.watching.seen import Seen
from jumok.watching.watch import watch

MOST_WEIGHTS = 1 << 18
"""Weights of one map that are computed at a time: 64 pairs of 64 tokens; of each layer and head there are as many."""
END = SYMBOLS[EOS]


def align(run: PairRun, pairs: Sequence[SplitPair], *, heads: bool = False, pieces: bool = False) -> list[Aligned]:
    """Feed the model both sentences of each pair, and read its attention to the source.

    The readings are "attention" of a recurrent decoder; "mean" over all layers and heads of a Transformer and
    "layer N", with "layer N, head M" where heads were asked for; each also as "..., next step", the row of the step at
    which the word was fed.

    Args:
        run: a translator with attention.
        pairs: sentences in pieces, as `PairRun.translate_each` and `PairRun.split_pair` give them; none empty.
        heads: also give each head by itself.
        pieces: the vocabulary's pieces instead of whole words.
    Raises:
        JumokError: the model has no attention to its source, or a sentence is empty.
    """
    for number, pair in enumerate(pairs, 1):
        if not all(side.words for side in pair):
            raise JumokError(f"pair {number} has an empty sentence, which cannot be aligned: leave it out")
    found: dict[int, Aligned] = {}
    for numbers in _batch_by_length([max(len(source.ids), len(target.ids)) + 1 for source, target in pairs]):
        chosen = [pairs[number] for number in numbers]
        readings = _read_batch(run, chosen, heads)
        for row, (number, pair) in enumerate(zip(numbers, chosen, strict=True)):
            steps = {name: _cut(all_of_it, row, pair) for name, all_of_it in readings}
            source, target = map(split_pieces, pair) if pieces else pair
            found[number] = align_words(steps, source, target)
    return [found[number] for number in range(len(pairs))]


def list_readings(run: PairRun, *, heads: bool = False) -> tuple[str, ...]:
    """The names of the maps that `align` gives.

    Raises:
        JumokError: the model has no attention to its source.
    """
    word = Split([UNK], ["?"], [0], ["?"])
    return tuple(name for plain, _ in _read_batch(run, [(word, word)], heads) for name in (plain, f"{plain}, {NEXT}"))


def choose_reading(name: str | None, names: Sequence[str]) -> str:
    """The reading that is meant; None: the mean over all layers and heads, of each word's own step.

    The next step's row aligns better in deep models (Chen et al. 2020, arXiv 2004.14837), the step's own in small ones:
    of two layers on generated pairs, with an AER of 0.09 against 0.76. `jumok measure` tells for a given model.

    Raises:
        JumokError: there is no such reading.
    """
    if name is None:
        return "attention" if "attention" in names else "mean"
    if name not in names:
        raise JumokError(f"no reading {name!r}: {suggest(name, names)}")
    return name


def _batch_by_length(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Numbers of pairs of like length, so many that their maps have at most so many places, or one."""
    order = sorted(range(len(lengths)), key=lambda number: -lengths[number])
    while order:
        count = max(1, MOST_WEIGHTS // lengths[order[0]] ** 2)
        yield order[:count]
        order = order[count:]


def _read_batch(run: PairRun, pairs: Sequence[SplitPair], heads: bool) -> list[tuple[str, AttentionMap]]:
    """Maps of a batch by name: (batch, steps, source tokens)."""
    source = _pad([[*source.ids, EOS] for source, _ in pairs], run.device)
    target = _pad([[SOS, *target.ids] for _, target in pairs], run.device)
    with torch.no_grad(), watch(run.model) as seen:
        run.model.decode(source, target)  # type: ignore[operator]
    layers = [seen[name] for name in _find_cross_calls(seen)]
    return list(_name_readings(layers, heads))


def _find_cross_calls(seen: Seen) -> list[str]:
    """The calls in which the decoder looks at the source: those of modules called so, or the only one."""
    names = [name for name in seen.names if name.partition("@")[0].rpartition(".")[2] == "cross"]
    names = names or [name for name in seen.names if name.startswith("decoder")] or seen.names[-1:]
    if not names:
        raise JumokError("this model has no attention to its source (score none), so there is nothing to align by")
    return names


def _name_readings(layers: Sequence[AttentionMap], heads: bool) -> Iterator[tuple[str, AttentionMap]]:
    means = [layer.mean("head") if "head" in layer.lead else layer for layer in layers]
    if len(layers) == 1:
        yield "attention", means[0]
    else:
        weights = torch.stack([mean.weights for mean in means]).mean(0)
        yield "mean", AttentionMap(weights, means[0].queries, means[0].keys, means[0].lead, means[0].scale, "mean")
        yield from ((f"layer {number}", mean) for number, mean in enumerate(means, 1))
    if heads:
        for number, layer in enumerate(layers, 1):
            name = f"layer {number}, " if len(layers) > 1 else ""
            count = layer.weights.shape[layer.lead.index("head")] if "head" in layer.lead else 0
            yield from ((f"{name}head {head + 1}", layer.at(head=head)) for head in range(count))


def _cut(attention: AttentionMap, row: int, pair: SplitPair) -> AttentionMap:
    """One sentence's own steps and tokens, by name."""
    keys, queries = (Tokens((*side.pieces, END)) for side in pair)
    weights = attention.at(batch=row).weights[: len(queries), : len(keys)].cpu()
    return AttentionMap(weights, queries, keys, (), attention.scale, attention.source)


def split_pieces(side: Split) -> Split:
    """The same sentence with each piece as a word of its own."""
    return side._replace(words=side.pieces, owner=list(range(len(side.pieces))))


def _pad(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Ids of different lengths as one tensor."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in rows], device=device)
