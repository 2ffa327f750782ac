"""Whether readings of the attention tell what a translator used: source words are taken away in their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from jumok.app.faithful import conclude, draw_some
from jumok.app.measuring import Measuring, Plan, Tell, measure_in_turn
from jumok.errors import JumokError
from jumok.language import later

if TYPE_CHECKING:
    from torch import Tensor

    from jumok.app.partial import PartialFile
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
    run: PairRun,
    sources: Sequence[str],
    methods: Sequence[str],
    plan: Plan,
    *,
    seed: int,
    tell: Tell | None = None,
    kept: PartialFile | None = None,
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
        kept: where figures are kept meanwhile, and from where measuring goes on.
    Raises:
        JumokError: nothing that can be measured.
    """
    measuring = _Sentences(run, draw_some(sources, plan.most, seed), methods, plan, seed)
    why = measure_in_turn(measuring, plan, tell=tell, kept=kept)
    meter = measuring.meter
    if not len(meter):
        raise JumokError(
            "faithfulness needs sentences and translations of 2 words or more, whose order means something: "
            f"none of {measuring.total} has them"
        )
    noun = later("target pieces") if measuring.pieces else later("target words")
    return MeasuredPairs(conclude(meter, why, noun), meter.groups, measuring.left_out, why)


class _Sentences(Measuring["_Sentence | None"]):
    """Sentences that are translated some at a time, and measured one after the other."""

    def __init__(self, run: PairRun, sources: Sequence[str], methods: Sequence[str], plan: Plan, seed: int) -> None:
        from jumok.measures.faithfulness_meter import FaithfulnessMeter

        most = len(sources) if plan.early and len(sources) > 1 else None
        meter = FaithfulnessMeter(steps=plan.steps, saco=plan.saco, seed=seed, most=most)
        super().__init__(len(sources), sentences=meter)
        self.run, self.sources, self.methods, self.fillings = run, sources, tuple(methods), plan.fillings
        self.pieces, self.seed = run.target.kind == "characters", seed

    @property
    def meter(self) -> FaithfulnessMeter:
        """Of target words."""
        return self.meters["sentences"]

    def read(self) -> Iterator[_Sentence | None]:
        """Align sentences in batches that are always the same; None for one that cannot be measured."""
        begun = self.done - self.done % AT_ONCE
        return islice(self._align(begun), self.done - begun, None)

    def _align(self, begun: int) -> Iterator[_Sentence | None]:
        """Translate sentences from one on, and read the attention."""
        from jumok.tasks.translate.aligning import align, split_pieces

        for start in range(begun, self.total, AT_ONCE):
            some = self.run.translate_each(self.sources[start : start + AT_ONCE], in_pieces=True, beam=1)
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

    def measure(self, given: _Sentence | None) -> None:
        """Measure some of the target words of one sentence."""
        import numpy as np

        if given is None:
            self.left_out += 1
            return
        passes, found = _share_passes(self.run, given, self.fillings), given.aligned
        random = np.random.default_rng([self.seed, self.done])  # of the sentence alone, so that measuring can go on
        words = len(found.target)
        for word in sorted(random.permutation(words)[:WORDS_EACH].tolist()):
            another = int((word + 1 + random.integers(words - 1)) % words)
            baselines = {
                DIAGONAL: _near_diagonal(len(found.source), words, word),
                OTHER_WORD: found.maps[self.methods[0]].weights[another],
            }
            maps = {name: found.maps[name].weights[word] for name in self.methods}
            self.meter.add(passes.answers(word), maps, baselines=baselines, name=given.name, group=given.name)


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
