"""Whether readings of the attention tell what a translator used: source words are taken away in their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from jumok.app.faithful import Plan, Tell, conclude, draw_some, measure_in_turn
from jumok.errors import JumokError
from jumok.language import later

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from jumok.attention.word_alignment import Aligned
    from jumok.data.texts.vocabulary import Split
    from jumok.measures.faithfulness_meter import FaithfulnessMeter
    from jumok.measures.faithfulness_report import FaithfulnessReport
    from jumok.measures.word_units import SharedPasses
    from jumok.tasks.translate.run import PairRun

__all__ = ["MeasuredPairs", "measure_faithfulness"]

AT_ONCE = 16
"""Sentences that are translated and aligned together."""
WORDS_EACH = 8
"""Target words of a sentence, at most, drawn by chance: intervals are over sentences, so more would tell little."""
OTHER_WORD = "other word"
"""The row of another target word."""
DIAGONAL = "diagonal"
"""The order of the words alone: the nearer a source word is to the target word's place, the more it matters."""


class MeasuredPairs(NamedTuple):
    """What came of it.

    Args:
        report: of target words; None where too few were measured.
        sentences: that they are of.
        left_out: sentences of one word, or that could not be translated.
        why: the measuring ended before all sentences were measured; empty where it did not.
    """

    report: FaithfulnessReport | None
    sentences: int
    left_out: int
    why: str


def measure_faithfulness(
    run: PairRun, sources: Sequence[str], methods: Sequence[str], plan: Plan, *, seed: int, tell: Tell | None = None
) -> MeasuredPairs:
    """Measure how faithful readings of the attention are, beside random, diagonal and another target word's row.

    The score is the probability of each word of the model's own greedy translation, given those before it: that is
    what the model says and what its attention is about, where a given target may be what it would never say. Words of
    one sentence hang together. Ctrl-C ends it; what was measured is kept, where it is enough.

    Args:
        run: a translator with attention.
        sources: sentences; some of them, drawn by the seed, where there are more than wanted.
        methods: readings.
        plan: how it is measured.
        seed: of the choice of sentences and words, of random maps and of the intervals.
        tell: called with how many sentences were measured, of how many.
    Raises:
        JumokError: nothing that can be measured.
    """
    chosen = draw_some(sources, plan.most, seed)
    most = len(chosen) if plan.early and len(chosen) > 1 else None
    measuring = _Measuring(run, methods, plan, seed, most)
    why = measure_in_turn(measuring.align(chosen), measuring.add, [measuring.meter], plan, len(chosen), tell)
    meter = measuring.meter
    if not len(meter):
        raise JumokError(
            "faithfulness needs sentences and translations of 2 words or more, whose order means something: "
            f"none of {len(chosen)} has them"
        )
    noun = later("target pieces") if measuring.pieces else later("target words")
    return MeasuredPairs(conclude(meter, why, noun), meter.groups, measuring.left_out, why)


class _Measuring:
    """Sentences that are measured one after the other; only scores are kept."""

    def __init__(self, run: PairRun, methods: Sequence[str], plan: Plan, seed: int, most: int | None) -> None:
        import numpy as np

        from jumok.measures.faithfulness_meter import FaithfulnessMeter

        self.run, self.methods, self.fillings, self.left_out = run, tuple(methods), plan.fillings, 0
        self.pieces = run.target.kind == "characters"
        self.meter: FaithfulnessMeter = FaithfulnessMeter(steps=plan.steps, saco=plan.saco, seed=seed, most=most)
        self._random: np.random.Generator = np.random.default_rng(seed)

    def align(self, sources: Sequence[str]) -> Iterator[_Sentence | None]:
        """Translate sentences and read the attention; None for one that cannot be measured."""
        from jumok.tasks.translate.aligning import align, split_pieces

        for start in range(0, len(sources), AT_ONCE):
            some = self.run.translate_each(sources[start : start + AT_ONCE], in_pieces=True, beam=1)
            pairs = [one.pair for one in some if one.pair is not None]
            aligned = iter(align(self.run, pairs, pieces=self.pieces) if pairs else ())
            for number, one in enumerate(some, start + 1):
                if one.pair is None:
                    yield None
                    continue
                found = next(aligned)
                source, target = map(split_pieces, one.pair) if self.pieces else one.pair
                long = min(len(found.source), len(found.target)) > 1
                yield _Sentence(f"sentence {number}", source, target, found) if long else None

    def add(self, sentence: _Sentence | None) -> None:
        """Measure some of the target words of one sentence."""
        if sentence is None:
            self.left_out += 1
            return
        passes = _share_passes(self.run, sentence, self.fillings)
        words = len(sentence.aligned.target)
        for word in sorted(self._random.permutation(words)[:WORDS_EACH].tolist()):
            maps = {name: sentence.aligned.maps[name].weights[word] for name in self.methods}
            another = int((word + 1 + self._random.integers(words - 1)) % words)
            baselines = {
                DIAGONAL: _near_diagonal(len(sentence.aligned.source), words, word),
                OTHER_WORD: sentence.aligned.maps[self.methods[0]].weights[another],
            }
            name = sentence.name
            self.meter.add(passes.answers(word), maps, baselines=baselines, name=name, group=name)


class _Sentence(NamedTuple):
    """A sentence, the model's translation of it and the attention between them."""

    name: str
    source: Split
    target: Split
    aligned: Aligned


def _near_diagonal(source: int, target: int, word: int) -> Tensor:
    """How near each source word is to a target word, both laid out evenly over their sentences."""
    import torch

    places = torch.arange(source, dtype=torch.float64)
    return -((2 * places + 1) * target - (2 * word + 1) * source).abs()


def _share_passes(run: PairRun, sentence: _Sentence, fillings: Sequence[str]) -> SharedPasses:
    """The probabilities of all target words, whatever is left of the source."""
    import torch

    from jumok.measures.word_units import SharedPasses
    from jumok.tasks.translate.forced import read_word_probabilities

    symbols = run.source
    tokens = torch.tensor([*sentence.source.ids, symbols.end_id], device=run.device)
    owners = torch.tensor([*sentence.source.owner, -1])  # -1: the end sign stays

    def forward(ids: Tensor, there: Tensor) -> Tensor:
        return read_word_probabilities(run, ids.masked_fill(~there, symbols.padding_id), sentence.target)

    ids = {"unknown": symbols.unknown_id, "padding": symbols.padding_id}
    return SharedPasses(forward, tokens, owners, **ids, fillings=fillings)
