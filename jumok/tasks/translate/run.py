"""A translator's run, ready to use: from sentences to sentences, and to what each word looked at."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypedDict, Unpack, cast, overload

from torch import nn

from jumok import systems
from jumok.data.texts.vocabulary import Split
from jumok.data.texts.vocabulary_builder import Vocabulary, load_vocabulary
from jumok.errors import JumokError
from jumok.tasks.running.run import CONFIG, Run, configure_system, read_model
from jumok.tasks.translate.decoding import Hypothesis, Writer, check_length, translate_ids
from jumok.tasks.translate.settings import RunConfig

VOCABULARIES = ("source.vocabulary", "target.vocabulary")
SHARED = "shared.vocabulary"
DEFAULT_BEAM, DEFAULT_BATCH_TOKENS = 5, 4000

SplitPair: TypeAlias = tuple[Split, Split]
"""A sentence and its translation in pieces, source first; what `aligning.align` takes."""


class Search(TypedDict, total=False):
    """How a translation is looked for.

    Args:
        beam: hypotheses that are followed (default 5); 1: greedy.
        n_best: translations of each sentence (default 1), at most `beam`; those after the best are its `others`.
        length_penalty: alpha (default 1): scores are divided by length ** alpha, so the larger, the longer.
        max_length: target tokens at most; None: twice the source's and 20.
        precision: of the arithmetic, "32", "bf16" or "16"; None: as in training.
        batch_tokens: source tokens per batch, with padding (default 4000).
        engine: "ctranslate2" or "ctranslate2-int8": search by CTranslate2, which knows Transformers only and computes
            in float32 or with whole numbers of 8 bits; None: jumok's own search.
    """

    beam: int
    n_best: int
    length_penalty: float
    max_length: int | None
    precision: str | None
    batch_tokens: int
    engine: str | None


@dataclass(frozen=True)
class Translation:
    """One translation of a sentence.

    Args:
        text: as plain text.
        score: its log probability, in nats, divided by what the length penalty says.
        ids: in the target's vocabulary, without symbols.
        others: the next best translations, best first, where more than one was asked for.
    """

    text: str
    score: float
    ids: tuple[int, ...]
    others: tuple[Translation, ...] = ()

    @property
    def label(self) -> str:
        """The text: what a translation, a class and an answer have in common."""
        return self.text


@dataclass(frozen=True)
class TranslatedSentence:
    """A sentence, its translations, and what the reader of them should know.

    Args:
        source: the sentence as it was given.
        best: its translations, best first.
        unknown: what of it is not in the vocabulary.
        too_long: whether it was left out, so that its translation is empty.
        pair: it and its best translation in pieces; None where no one asked for them, or one of the two is empty.
    """

    source: str
    best: list[Translation]
    unknown: tuple[str, ...] = ()
    too_long: bool = False
    pair: SplitPair | None = None


class _Read(NamedTuple):
    """A sentence as the model reads it; `split` only where it is wanted, as it takes several times the memory."""

    ids: list[int]
    unknown: tuple[str, ...]
    split: Split | None


@dataclass(frozen=True, repr=False)
class PairRun(Run):
    """A trained translator with what is needed to use it.

    Args:
        source, target: the vocabularies; one and the same where they are shared.
    """

    config: RunConfig
    source: Vocabulary
    target: Vocabulary

    @overload
    def translate(self, texts: str, **search: Unpack[Search]) -> Translation: ...  # type: ignore[overload-overlap]
    @overload
    def translate(self, texts: Iterable[str], **search: Unpack[Search]) -> list[Translation]: ...
    def translate(self, texts: str | Iterable[str], **search: Unpack[Search]) -> Translation | list[Translation]:
        """Translate a sentence, or many at a time.

        Args:
            texts: a sentence, or a list of them; an empty one gets an empty translation.
            search: as in `Search`.
        Returns:
            one translation for one sentence, a list for several.
        Raises:
            JumokError: settings out of range.
        """
        options: dict[str, Any] = {"beam": DEFAULT_BEAM, "batch_tokens": DEFAULT_BATCH_TOKENS, **search}
        given = [texts] if isinstance(texts, str) else list(texts)
        found = [
            replace(best, others=tuple(others))
            for best, *others in (one.best for one in self.translate_each(given, math.inf, **options))
        ]
        return found[0] if isinstance(texts, str) else found

    predict = translate
    """The verb that every run has."""

    def _describe(self) -> str:
        return f"{len(self.source):,} source and {len(self.target):,} target tokens"

    def translate_each(
        self,
        texts: Sequence[str],
        longest: float | None = None,
        *,
        in_pieces: bool = False,
        precision: str | None = None,
        engine: str | None = None,
        **search: Any,
    ) -> list[TranslatedSentence]:
        """Translate sentences, and say of each what a reader of the translations should know.

        Args:
            texts: as for `translate`, whose options `precision`, `engine` and `search` are too.
            longest: source tokens that a sentence may have; a longer one is not translated. None: as the run says.
            in_pieces: also give each sentence and its best translation in pieces, ready to be aligned.
        Raises:
            JumokError: settings out of range.
        """
        if isinstance(texts, str):
            raise JumokError("translate_each takes a list of sentences, got one string: put it in a list")
        most = self.longest if longest is None else longest
        read = [self._read(text, in_pieces) for text in texts]
        ids = [one.ids for one in read]
        given = max((len(own) for own in ids if len(own) <= most), default=0)
        find = self._choose_search(precision, engine, given, search)
        found = find(ids, longest=most, **search)
        return [
            self._tell(text, one, best, too_long=len(one.ids) > most)
            for text, one, best in zip(texts, read, found, strict=True)
        ]

    def _choose_search(
        self, precision: str | None, engine: str | None, longest: int, search: Mapping[str, Any]
    ) -> Callable[..., list[list[Hypothesis]]]:
        """Jumok's own, or CTranslate2's.

        Args:
            precision, engine, search: as for `translate_each`.
            longest: tokens that a source sentence has at most.
        Raises:
            JumokError: CTranslate2 cannot be used, or is asked for a precision that its name does not say, or for a
                length that makes no sense.
        """
        if engine is None:
            return partial(translate_ids, cast(Writer, self.model), precision=precision or self._precision)
        from jumok.tasks.translate.ctranslate import list_tokens, open_translator

        if precision not in (None, "32"):
            raise JumokError(
                f"precision {precision} is of jumok's own search: ctranslate2 computes in float32, ctranslate2-int8 "
                "with whole numbers; leave one of the two out"
            )
        tokens = list_tokens(self.source), list_tokens(self.target)
        length = search.get("max_length")
        check_length(length, search.get("beam", 1))
        return open_translator(self.model, engine, *tokens, 1 + max(2 * longest + 20, length or 0)).search

    def _read(self, text: str, in_pieces: bool) -> _Read:
        split = self.source.split(self.cased(text))
        return _Read(split.ids, self.source.unknown_pieces(split), split if in_pieces else None)

    def _tell(self, text: str, read: _Read, best: Sequence[Hypothesis], *, too_long: bool) -> TranslatedSentence:
        """One sentence with its translations in plain text."""
        texts = [Translation(self.target.decode(one.tokens), one.score, tuple(one.tokens)) for one in best]
        pair = (read.split, self.target.regroup(best[0].tokens)) if read.split else None
        full = pair is not None and all(side.words for side in pair)
        return TranslatedSentence(text, texts, () if too_long else read.unknown, too_long, pair if full else None)

    def split_pair(self, source: str, target: str) -> SplitPair:
        """Two sentences that translate each other in pieces, to be aligned."""
        return self.source.split(self.cased(source)), self.target.split(self.cased(target))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the configuration, the vocabularies and the weights, each whole or not at all.

        Raises:
            JumokError: the folder cannot be written.
        """
        write_vocabularies(Path(folder), self.source, self.target)
        super().save(folder)

    @classmethod
    def read(cls, folder: Path) -> PairRun:
        config = RunConfig.load(folder / CONFIG)
        source, target = read_vocabularies(folder, config)
        return cls(config, read_model(lambda: build_model(config), folder), folder, source, target)

    def cased(self, text: str) -> str:
        """A text in the case that the model was trained on."""
        return text.lower() if self.config.data.lowercase else text

    @property
    def longest(self) -> int:
        """Source tokens that a sentence may have: far beyond those that were learned from, the model babbles."""
        places: int | None = getattr(self.model, "longest", None)
        most = 10 * self.config.data.longest
        return most if places is None else min(most, places - 1)  # the end sign has a place too

    @property
    def _precision(self) -> str:
        """That of the training; 16 bits with 5 of exponent are for GPUs only."""
        chosen = self.config.training.precision
        return "32" if chosen == "16" and self.device.type == "cpu" else chosen


def write_vocabularies(folder: Path, source: Vocabulary, target: Vocabulary) -> None:
    """Write a run's vocabularies: one file where both sides share it."""
    if source is target:
        source.save(folder / SHARED)
        return
    for vocabulary, name in zip((source, target), VOCABULARIES, strict=True):
        vocabulary.save(folder / name)


def read_vocabularies(folder: Path, config: RunConfig) -> tuple[Vocabulary, Vocabulary]:
    """Read a run's vocabularies.

    Raises:
        JumokError: one is missing or damaged, or another one than the configuration says.
    """
    names = (SHARED,) if config.data.shared else VOCABULARIES
    found = [load_vocabulary(folder / name) for name in names]
    sides = (config.found.source, config.found.target)
    for vocabulary, name, side in zip((found[0], found[-1]), (names[0], names[-1]), sides, strict=True):
        if len(vocabulary) != side.vocabulary:
            raise JumokError(
                f"{folder / name} has {len(vocabulary)} entries, but config.yaml says {side.vocabulary}: "
                "put this run's own files back"
            )
        if side.fingerprint and vocabulary.fingerprint() != side.fingerprint:
            raise JumokError(f"{folder / name} is not the vocabulary that this run began with: put its own file back")
    return found[0], found[-1]


def build_model(config: RunConfig) -> nn.Module:
    """Build a run's model, with fresh weights.

    Raises:
        JumokError: a system that is not known, options that it does not take, or vocabularies of other sizes.
    """
    system = configure_system(config.system, config.options)
    sizes = (getattr(system, "source_vocabulary", None), getattr(system, "target_vocabulary", None))
    wanted = (config.found.source.vocabulary, config.found.target.vocabulary)
    if sizes != wanted:
        raise JumokError(f"config.yaml gives the model vocabularies of {sizes} entries but found {wanted}")
    return systems.build(config.system, system)


RUN = PairRun
