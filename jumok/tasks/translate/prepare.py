"""From settings and files of sentence pairs to everything that a training run needs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jumok.data.pairs.batches import PairBatches
from jumok.data.pairs.oddities import describe_oddities
from jumok.data.pairs.pair_set import PairSet, join_sets
from jumok.data.texts.survey import TextSurvey, survey
from jumok.data.texts.vocabulary import pick_evenly
from jumok.data.texts.vocabulary_builder import CHECKED, BuildReport, Vocabulary, build_vocabulary, check_vocabulary
from jumok.errors import JumokError
from jumok.language import join_later, later
from jumok.machine import World
from jumok.tasks.learnt import describe_shortfall
from jumok.tasks.running.beginning import keep_data, note_beginning, read_initial, take_options
from jumok.tasks.running.figures import Progress, Row
from jumok.tasks.running.prepared import Prepared
from jumok.tasks.running.run import configure_system
from jumok.tasks.running.time_plan import find_seconds
from jumok.tasks.running.trained_on import TrainedOn, add_before, describe_before
from jumok.tasks.translate.parts import find_parts
from jumok.tasks.translate.recipe import choose_batch, choose_options, choose_smoothing
from jumok.tasks.translate.run import PairRun, build_model, read_vocabularies, write_vocabularies
from jumok.tasks.translate.settings import Found, PairData, RunConfig, Settings, Side
from jumok.tasks.translate.training import Translator, make_translator
from jumok.tasks.translate.units import choose_units
from jumok.version import __version__
from jumok.wording import typed, write_count, write_counts

if TYPE_CHECKING:
    from jumok.tasks.translate.baselines import Guess

OF_VOCABULARIES = ("vocabulary", "vocabulary_size", "min_count", "shared", "lowercase")
"""Settings that the vocabularies of a run follow from."""
UNITS_SHARE = 0.1
"""Of the time, for the trial that finds in which units to read and write."""
Encoded = tuple[list[list[int]], list[list[int]]]
"""Ids of the sources and of the targets."""


@dataclass(frozen=True)
class PreparedPairs(Prepared):
    """Everything that the training of a translator needs."""

    config: RunConfig
    source: Vocabulary
    target: Vocabulary
    parts: Mapping[str, PairSet]
    trained_on: TrainedOn | None = None
    """The pairs, by content; None where the run's folder has it."""

    unit = "target tokens"

    def module(self) -> Translator:
        sentences = self.config.found.counts["val"]
        return self.begun(make_translator(self.config, self.target, steps=self.steps, sentences=sentences))

    def plain(self) -> PreparedPairs:
        return super().plain().with_training(teacher_forcing=1.0, sampling=0.0)

    def write(self, folder: Path) -> None:
        write_vocabularies(folder, self.source, self.target)
        if self.trained_on is not None:
            self.trained_on.write(folder)
        super().write(folder)

    def about(self, parameters: int) -> str:
        counts, training = self.config.found.counts, self.config.training
        return (
            f"{counts['train']:,} training and {counts['val']:,} validation pairs; {self.config.system} with "
            f"{parameters / 1e6:.2f} million weights; {self.length()} of about "
            f"{training.batch_tokens:,} tokens"
        )

    def reached(self, best: Row) -> str:
        return later(
            "validation chrF {chrf}, exact match {exact}, {right} of the next tokens right; chrF of guesses: {guesses}",
            chrf=f"{best['val_chrf']:.1f}",
            exact=f"{best['val_exact']:.1%}",
            right=f"{best['val_accuracy']:.1%}",
            guesses=self._describe_guesses(),
        )

    def shortfall(self, best: Row) -> str:
        figures = best["val_chrf"], best["val_exact"]
        return describe_shortfall([name for name, each in self._guesses.items() if not each.beaten(*figures)], "pairs")

    @cached_property
    def _guesses(self) -> dict[str, Guess]:
        from jumok.tasks.translate.baselines import judge_guesses

        return judge_guesses(self.parts["train"], self.parts["val"], self.config.training.validate_with)

    def _describe_guesses(self) -> str:
        """The chrF of each baseline."""
        told = [later("{guess}: {chrf}", guess=name, chrf=f"{each.chrf:.1f}") for name, each in self._guesses.items()]
        return join_later(", ", told)

    def purpose(self, parameters: int) -> str:
        found = self.config.found
        return (
            f"A {self.config.system} of {parameters:,} weights that translates, from {found.source.vocabulary:,} to "
            f"{found.target.vocabulary:,} entries ({self.source.kind})."
        )

    def facts(self, best: Row) -> dict[str, str]:
        found, training = self.config.found, self.config.training
        counts = ", ".join(f"{count:,} {part}" for part, count in found.counts.items())
        return {
            "pairs": f"{' and '.join(self.config.data.pairs)}: {counts}",
            "validation chrF, mean over sentences": f"{best['val_chrf']:.2f}, greedy",
            "validation chrF without learning": self._describe_guesses(),
            "validation, exact match": f"{best['val_exact']:.1%}",
            "validation loss per token": f"{best['val_loss']:.4f}",
            "batch": f"about {training.batch_tokens:,} tokens; {found.padding:.1%} of what is computed is padding",
        }

    def evaluate_with(self, folder: Path) -> str:
        return f"jumok eval {typed(folder)}"


def prepare(settings: Settings, progress: Progress | None = None) -> PreparedPairs:
    """Read the pairs, build the vocabularies, and settle the run's configuration.

    Raises:
        JumokError: pairs or settings that do not do.
    """
    first = None if settings.training.init is None else PairRun.load(settings.training.init)
    if first is not None:
        settings = settings_of_run(settings, first)
    _check_system(settings)
    parts = find_parts(settings.data, settings.training.seed)
    if progress:
        progress(0, sum(len(pairs) for pairs in parts.values()))  # vocabularies come first, and take longest
    sides = [survey(getattr(parts["train"], side), getattr(parts["val"], side)) for side in ("sources", "targets")]
    allowed = UNITS_SHARE * find_seconds(settings.training)
    data, chosen = choose_units(settings.data, parts, sides, settings.training.seed, allowed)
    settings = settings.model_copy(update={"data": data})
    built = _build_vocabularies(data, parts["train"]) if first is None else _check_vocabularies(first, parts["train"])
    (source, target), reports = built
    settings, why = _choose_options(settings, parts["train"], len(target), sides)
    read = parts["train"].fingerprint()
    encoded, parts = encode(data, parts, source, target, progress)
    settings, how = _choose_training(settings, encoded["train"], sides)
    train, val = batches(settings, encoded)
    found = _gather_found(parts, (source, target), reports, train.padding, read)
    config = _configure(settings, found)
    trained_on, init = _record(parts), settings.training.init
    seen_before, trained_on = describe_before(trained_on, init, "pairs"), add_before(trained_on, init)
    remarks = (*seen_before, *filter(None, (*chosen, why, how)), *_make_remarks(parts, reports, found))
    if first is None:
        return PreparedPairs(train, val, remarks, config, source, target, parts, trained_on)
    initial = dict(first.model.state_dict())
    config, told = note_beginning(config, build_model(config), initial, first.folder)
    return PreparedPairs(train, val, (told, *remarks), config, source, target, parts, trained_on, initial=initial)


def _record(parts: Mapping[str, PairSet]) -> TrainedOn:
    return TrainedOn.of_hashes({part: pairs.hashes() for part, pairs in parts.items()})


def _gather_found(
    parts: Mapping[str, PairSet],
    vocabularies: tuple[Vocabulary, Vocabulary],
    reports: Sequence[BuildReport],
    padding: float,
    read: str,
) -> Found:
    """What the pairs said.

    Args:
        parts: the pairs that are left.
        vocabularies: of source and target.
        reports: how each was built; one where they are shared.
        padding: share of what is computed.
        read: the fingerprint of the training pairs as they were read.
    """
    source, target = vocabularies
    return Found(
        source=_encode_side(reports[0], source),
        target=_encode_side(reports[-1], target),
        counts={part: len(pairs) for part, pairs in parts.items()},
        skipped={
            "empty": sum(pairs.empty for pairs in parts.values()),
            "long": sum(pairs.long for pairs in parts.values()),
        },
        padding=round(padding, 4),
        fingerprint=fingerprint(parts),
        train=read,
    )


def _configure(settings: Settings, found: Found) -> RunConfig:
    """Everything that the run is made of."""
    return RunConfig(
        jumok=__version__,
        system=settings.system,
        options=system_options(settings, found.source.vocabulary, found.target.vocabulary),
        data=settings.data.model_copy(update=_whole_paths(settings.data)),
        training=settings.training,
        found=found,
    )


def resume(config: RunConfig, folder: Path, progress: Progress | None = None) -> PreparedPairs:
    """The same for a run that began earlier, with the vocabularies that it has.

    Raises:
        JumokError: the pairs are not those that it began with, or a vocabulary is missing.
    """
    source, target = read_vocabularies(folder, config)
    encoded, parts = encode(config.data, find_parts(config.data, config.training.seed), source, target, progress)
    if fingerprint(parts) != config.found.fingerprint:
        counts = {part: len(pairs) for part, pairs in parts.items()}
        raise JumokError(
            f"the pairs in {' and '.join(config.data.pairs)} are not those that this run began with "
            f"({write_counts(config.found.counts)} then; {write_counts(counts)} now): put them back, or train anew"
        )
    initial = read_initial(folder, config.found.begun)
    return PreparedPairs(*batches(config, encoded), (), config, source, target, parts, initial=initial)


def _whole_paths(data: PairData) -> dict[str, tuple[str, ...]]:
    """The files by names that hold wherever the run goes on from."""
    names = ("pairs", "val_pairs", "test_pairs")
    return {name: tuple(str(Path(path).resolve()) for path in getattr(data, name)) for name in names}


def encode(
    data: PairData,
    parts: Mapping[str, PairSet],
    source: Vocabulary,
    target: Vocabulary,
    progress: Progress | None = None,
) -> tuple[dict[str, Encoded], dict[str, PairSet]]:
    """Turn all pairs into ids, and leave those out that are too long or hold nothing.

    Returns:
        ids by part, and the pairs that are left of each part.
    Raises:
        JumokError: nothing to train on or to validate with is left.
    """
    encoded: dict[str, Encoded] = {}
    kept: dict[str, PairSet] = {}
    done, total = 0, sum(len(pairs) for pairs in parts.values())
    for part, pairs in parts.items():
        sides = source.encode_all(pairs.sources), target.encode_all(pairs.targets)
        lengths = [(len(one), len(other)) for one, other in zip(*sides, strict=True)]
        fits = [index for index, both in enumerate(lengths) if min(both) > 0 and max(both) <= data.longest]
        kept[part] = replace(pairs.select(fits), long=pairs.long + len(pairs) - len(fits))
        done += len(pairs)
        if progress:
            progress(done, total)
        encoded[part] = tuple([side[index] for index in fits] for side in sides)  # type: ignore[assignment]
        if part != "test" and not fits:
            raise JumokError(
                f"none of the {len(pairs):,} {part} pairs has at most {data.longest} tokens a side: raise --longest"
            )
    return encoded, kept


def batches(settings: Settings, encoded: Mapping[str, Encoded]) -> tuple[PairBatches, PairBatches]:
    """Deal the batches of the training and the validation out to this process."""
    world, training = World.found(), settings.training
    share: dict[str, Any] = {"tokens": training.batch_tokens, "rank": world.rank, "world_size": world.size}
    return (
        PairBatches(*encoded["train"], shuffle=True, seed=training.seed, **share),
        PairBatches(*encoded["val"], shuffle=False, **share),
    )


def fingerprint(parts: Mapping[str, PairSet]) -> str:
    """What changes when a training or validation pair is added, removed, changed or moved."""
    digest = hashlib.sha256("".join(parts[part].fingerprint() for part in ("train", "val")).encode())
    return digest.hexdigest()[:32]


def system_options(settings: Settings, source: int, target: int) -> dict[str, Any]:
    """All options of a system: the ones chosen, those that follow from the data, and its defaults.

    Raises:
        JumokError: options that the system does not take, or that follow from the data.
    """
    follow = {"source_vocabulary": source, "target_vocabulary": target, "shared": settings.data.shared}
    clash = next((key for key in follow if key in settings.options), None)
    if clash:
        raise JumokError(f"the option {clash!r} follows from the data: leave it out (see --vocabulary-size, --shared)")
    return configure_system(settings.system, {**follow, **settings.options}).model_dump(mode="json")


def _check_system(settings: Settings) -> None:
    """Find what is wrong with the options before the long part.

    Raises:
        JumokError: options that the system does not take, or that do not fit the training.
    """
    options = system_options(settings, 8, 8)
    places = options["max_length"] if options.get("position") == "learned" else None
    if places is not None and settings.data.longest >= places:  # a start or an end sign comes on top
        raise JumokError(
            f"--longest {settings.data.longest} leaves no room among {places} learned positions: lower it to "
            f"{places - 1}, or raise it by --option max_length={settings.data.longest + 1}"
        )
    free_running = settings.training.teacher_forcing < 1 or settings.training.sampling > 0
    if free_running and "cell" not in options:
        raise JumokError(
            f"{settings.system} reads all words at once in training and cannot be fed its own output: leave out "
            "--teacher-forcing and --sampling, or use seq2seq"
        )


def _choose_options(
    settings: Settings, train: PairSet, entries: int, sides: Sequence[TextSurvey]
) -> tuple[Settings, str]:
    """Settle the options that nobody chose. Returns the settings, and what was chosen."""
    options, why = choose_options(settings.system, settings.options, len(train), entries, sides)
    return settings.model_copy(update={"options": {**options, **settings.options}}), why


def _choose_training(settings: Settings, encoded: Encoded, sides: Sequence[TextSurvey]) -> tuple[Settings, str]:
    """Settle the batch and the smoothing, where nobody chose them. Returns the settings, and what was chosen."""
    asked, why = settings.training.model_fields_set, ""
    chosen: dict[str, Any] = dict(choose_smoothing(asked, sides))
    if "batch_tokens" not in asked:
        lengths = [(len(one), len(other)) for one, other in zip(*encoded, strict=True)]
        chosen["batch_tokens"], why = choose_batch(lengths)
    return settings.model_copy(update={"training": settings.training.model_copy(update=chosen)}), why


def _build_vocabularies(data: PairData, train: PairSet) -> tuple[tuple[Vocabulary, Vocabulary], list[BuildReport]]:
    """Build the vocabularies from the training pairs."""
    sides = (train.sources, train.targets)
    corpora = ((*sides[0], *sides[1]),) if data.shared else sides
    kind = data.vocabulary
    assert kind is not None  # `choose_units` settled it
    built = [build_vocabulary(kind, texts, size=data.vocabulary_size, min_count=data.min_count) for texts in corpora]
    return (built[0][0], built[-1][0]), [report for _, report in built]


def settings_of_run(settings: Settings, first: PairRun) -> Settings:
    """The settings for a translator that begins with another's weights, and so with its vocabularies.

    Raises:
        JumokError: another system or other vocabularies were asked for.
    """
    kept = keep_data(settings, first.config, OF_VOCABULARIES, first.folder, "vocabularies")
    options = take_options(settings, first.config, first.folder)
    return settings.model_copy(update={"data": settings.data.model_copy(update=kept), "options": options})


def _check_vocabularies(first: PairRun, train: PairSet) -> tuple[tuple[Vocabulary, Vocabulary], list[BuildReport]]:
    """The vocabularies of the run to begin with, and how well they fit other pairs."""
    checked = [(first.source, train.sources), (first.target, train.targets)]
    reports = [check_vocabulary(words, pick_evenly(texts, CHECKED)) for words, texts in checked]
    return (first.source, first.target), reports[:1] if first.config.data.shared else reports


def _encode_side(report: BuildReport, vocabulary: Vocabulary) -> Side:
    return Side(
        vocabulary=report.size,
        round_trip=round(report.round_trip, 6),
        coverage=round(report.coverage, 6),
        fingerprint=vocabulary.fingerprint(),
    )


def _make_remarks(parts: Mapping[str, PairSet], reports: list[BuildReport], found: Found) -> list[str]:
    """What a person should know of the data."""
    names = ("source", "target") if len(reports) > 1 else ("both languages",)
    lines = [note for pairs in parts.values() for note in pairs.notes]
    lines += describe_oddities(join_sets(list(parts.values())))
    lines += [f"{write_count(count, 'pair')} skipped: {why}" for why, count in _count_skipped(found).items() if count]
    for name, report in zip(names, reports, strict=True):
        lines += report.notes
        lines.append(
            f"{name}: {report.size:,} entries ({report.kind}); {report.coverage:.2%} of the text known; "
            f"{report.round_trip:.2%} of the sentences come back unchanged"
        )
    return [*lines, f"padding: {found.padding:.1%} of what is computed"]


def _count_skipped(found: Found) -> dict[str, int]:
    return {"one side is empty": found.skipped["empty"], "too many tokens (--longest)": found.skipped["long"]}
