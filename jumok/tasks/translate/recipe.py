"""How large a translator is, how it is kept from learning by heart and how much it reads at a time, by its pairs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from jumok.data.texts.survey import TextSurvey
from jumok.tasks.translate.units import is_closed
from jumok.wording import write_count

__all__ = ["choose_batch", "choose_options", "choose_smoothing"]

SIZES = ((100_000, 512), (20_000, 320), (5_000, 256), (1_500, 192), (0, 128))
"""From so many pairs on, so large a state."""
FEW_ENTRIES = 400
"""Targets in so few different units, such as characters or digits, need half of it."""
LEAST_SIZE = 96
DROPOUTS = ((1_000_000, 0.1), (100_000, 0.2), (20_000, 0.3), (0, 0.4))
"""From so many pairs on, so much dropout, for texts whose words never end; none for texts of a closed set of words."""
FEW_PAIRS, WORD_DROPOUT = 20_000, 0.1
"""With fewer pairs, so many words that are read are replaced by the unknown word."""
DEEP_PAIRS, HEADS = 20_000, 4
"""From so many pairs on, a Transformer has 3 layers, else 2."""
STEPS_PER_PASS, LEAST_BATCH, LARGEST_BATCH = 100, 16, 100
"""Steps of a pass over the pairs that the batch is chosen for, and pairs that a batch has."""
SLACK = 1.1
"""A batch has room for longer sentences than the average."""
SMOOTHING = 0.1


def choose_options(
    system: str, given: Mapping[str, Any], pairs: int, entries: int, sides: Sequence[TextSurvey]
) -> tuple[dict[str, Any], str]:
    """Choose the options of a system by its training pairs.

    Args:
        system: its name.
        given: options that someone chose, which are left out of what is given back.
        pairs: to train on.
        entries: of the target's vocabulary.
        sides: what source and target are like.
    Returns:
        options, and what was chosen with the reason; both empty for a system that is not known here.
    """
    size = next(size for least, size in SIZES if pairs >= least)
    size = max(size // 2, LEAST_SIZE) if entries <= FEW_ENTRIES else size
    closed = is_closed(sides)
    dropout = 0.0 if closed else next(share for least, share in DROPOUTS if pairs >= least)
    lost = 0.0 if closed or pairs >= FEW_PAIRS else WORD_DROPOUT
    common = {"dropout": dropout, "word_dropout": lost}
    layers, heads = 3 if pairs >= DEEP_PAIRS else 2, max(int(given.get("heads", HEADS)), 1)
    options = {
        "seq2seq": {"hidden": size, "embedding": size // 2, "tied": entries > FEW_ENTRIES, **common},
        "transformer": {"width": -(-size // (2 * heads)) * 2 * heads, "layers": layers, "heads": heads, **common},
    }.get(system, {})
    chosen = {name: value for name, value in options.items() if name not in given}
    text = ", ".join(f"{name} {value:g}" for name, value in chosen.items() if name not in ("tied", "heads"))
    why = f"{write_count(pairs, 'pair')}, {write_count(entries, 'target entry', 'target entries')}, " + (
        "a closed set of words" if closed else f"{sides[1].new:.1%} of the validation words new"
    )
    return chosen, f"model: {text}: {why}" if text else ""


def choose_batch(lengths: Sequence[tuple[int, int]]) -> tuple[int, str]:
    """Choose the tokens of a batch, so that a pass over the pairs has a good number of steps.

    Args:
        lengths: tokens of each training pair's source and target.
    Returns:
        tokens, and what was chosen with the reason.

    >>> choose_batch([(9, 7)] * 5000)
    (600, 'batch: about 600 tokens, 50 pairs of the usual length')
    """
    pairs = min(max(len(lengths) // STEPS_PER_PASS, LEAST_BATCH), LARGEST_BATCH)
    usual = sum(max(both) + 1 for both in lengths) / max(len(lengths), 1)
    tokens = max(round(pairs * usual * SLACK, -2), 100)
    return int(tokens), f"batch: about {tokens:,.0f} tokens, {write_count(pairs, 'pair')} of the usual length"


def choose_smoothing(asked: Collection[str], sides: Sequence[TextSurvey]) -> Mapping[str, float]:
    """Choose the label smoothing: none where the target follows from the source, as with a closed set of words."""
    return {} if "label_smoothing" in asked else {"label_smoothing": 0.0 if is_closed(sides) else SMOOTHING}
