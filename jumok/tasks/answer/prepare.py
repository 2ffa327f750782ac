"""From settings, files of questions and a folder of images to everything that a training run needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from jumok.data.images.batches import PixelStore
from jumok.data.images.frames import describe_frames
from jumok.data.questions.batches import QuestionBatches
from jumok.data.questions.question_set import QuestionSet, describe_left_out
from jumok.data.texts.vocabulary import pick_evenly
from jumok.data.texts.vocabulary_builder import CHECKED, BuildReport, Vocabulary, build_vocabulary, check_vocabulary
from jumok.errors import JumokError
from jumok.intervals import wilson
from jumok.machine import World
from jumok.tasks.answer.parts import find_parts, fingerprint, hash_parts, keep_answerable, scored, settle_images
from jumok.tasks.answer.recipe import choose_batch, choose_options
from jumok.tasks.answer.run import WORDS, QuestionRun, build_model, read_words
from jumok.tasks.answer.settings import Found, QuestionData, RunConfig, Settings
from jumok.tasks.answer.training import Answerer, make_answerer
from jumok.tasks.learnt import describe_shortfall
from jumok.tasks.preprocessing import channel_statistics, choose_size, one_or_two, stores
from jumok.tasks.running.beginning import keep_data, note_beginning, read_initial, take_options
from jumok.tasks.running.figures import Progress, Row
from jumok.tasks.running.prepared import Prepared
from jumok.tasks.running.run import configure_system
from jumok.tasks.running.trained_on import TrainedOn, add_before, describe_before
from jumok.version import __version__
from jumok.wording import typed, write_counts

OF_VOCABULARY = ("vocabulary", "vocabulary_size", "min_count", "lowercase")
"""Settings that the vocabulary of a run follows from."""
ANSWER_WEIGHTS = "head.out."
"""How the names of those weights begin that belong to one answer each."""
MOST_NAMED = 5
"""So many answers that cannot be given are named."""


@dataclass(frozen=True)
class PreparedQuestions(Prepared):
    """Everything that the training of a model that answers questions needs."""

    config: RunConfig
    words: Vocabulary
    parts: Mapping[str, QuestionSet]
    trained_on: TrainedOn | None = None
    """The questions, by content; None where the run's folder has it."""

    unit = "questions"

    def module(self) -> Answerer:
        return self.begun(make_answerer(self.config, steps=self.steps))

    def write(self, folder: Path) -> None:
        self.words.save(folder / WORDS)
        if self.trained_on is not None:
            self.trained_on.write(folder)
        super().write(folder)

    def about(self, parameters: int) -> str:
        found, training = self.config.found, self.config.training
        return (
            f"{found.counts['train']:,} training and {found.counts['val']:,} validation questions about "
            f"{found.images['train']:,} and {found.images['val']:,} images, {len(found.answers):,} answers; "
            f"{self.config.system} with {parameters / 1e6:.2f} million weights; {self.length()} of "
            f"{training.batch_size}"
        )

    def reached(self, best: Row) -> str:
        return (
            f"{best['val_accuracy']:.1%} of {self.config.found.counts['val']:,} validation questions answered "
            f"correctly; {self._describe_guesses()}"
        )

    def shortfall(self, best: Row) -> str:
        count = self.config.found.counts["val"]
        sure, _ = wilson(round(best["val_accuracy"] * count), count)
        return describe_shortfall([name for name, share in self._guesses.items() if share >= sure], "questions")

    @cached_property
    def _guesses(self) -> dict[str, float]:
        from jumok.tasks.answer.baselines import judge_guesses

        return judge_guesses(self.parts["train"], self.parts["val"])

    def _describe_guesses(self) -> str:
        """The accuracy of each baseline."""
        return ", ".join(f"{name}: {share:.1%}" for name, share in self._guesses.items())

    def purpose(self, parameters: int) -> str:
        size = " x ".join(str(side) for side in self.config.data.size)
        return (
            f"A {self.config.system} of {parameters:,} weights that answers questions about images of {size} pixels "
            f"by one of {len(self.config.found.answers):,} answers."
        )

    def facts(self, best: Row) -> dict[str, str]:
        found = self.config.found
        counts = ", ".join(f"{count:,} {part}" for part, count in found.counts.items())
        return {
            "questions": f"{' and '.join(self.config.data.questions)}: {counts}",
            "images": f"{self.config.data.images}: " + ", ".join(f"{n:,} {part}" for part, n in found.images.items()),
            "validation accuracy": f"{best['val_accuracy']:.4f}",
            "validation accuracy without seeing": self._describe_guesses(),
            "validation loss": f"{best['val_loss']:.4f}",
            "batch": f"{self.config.training.batch_size} questions",
        }

    def evaluate_with(self, folder: Path) -> str:
        return f"jumok eval {typed(folder)}"


def prepare(settings: Settings, progress: Progress | None = None) -> PreparedQuestions:
    """Read the questions, build the vocabulary, choose the answers, and settle the run's configuration.

    Raises:
        JumokError: questions, images or settings that do not do.
    """
    if settings.data.questions and settings.data.images is None:
        settings = settings.model_copy(update={"data": settle_images(settings.data)})
    first = None if settings.training.init is None else QuestionRun.load(settings.training.init)
    if first is not None:
        settings = settings_of_run(settings, first)
    parts = find_parts(settings.data, settings.training.seed)
    answers = choose_answers(parts["train"], settings.data.answers)
    parts, unanswerable = keep_answerable(parts, answers)
    _check_val(parts["val"], unanswerable["val"])
    size, why = choose_size(settings.data, parts["train"].images)
    words, report = _find_words(settings.data, parts["train"].questions, first)
    settings, chosen = _choose_by_questions(settings, len(parts["train"]))
    options = system_options(settings, len(answers), len(words), size)  # before the long part
    encoded = encode(parts, words, int(options["longest"]) - 1)
    pixels = stores(settings.data, parts["train"].images, parts["val"].images, size, progress)
    statistics = channel_statistics(pixels[0]) if first is None else (first.config.found.mean, first.config.found.std)
    found = _gather_found(parts, answers, unanswerable, words, statistics)
    config = _configure(settings, options, size, pixels[0].bits, found)
    told = _remarks(parts, unanswerable, found, report, f"{size[0]} x {size[1]} pixels: {why}")
    dealt = batches(config, parts, encoded, pixels)
    trained_on, init = TrainedOn.of_hashes(hash_parts(parts)), settings.training.init
    seen_before, trained_on = describe_before(trained_on, init, "questions"), add_before(trained_on, init)
    remarks = (*seen_before, *chosen, *told)
    if first is None:
        return PreparedQuestions(*dealt, remarks, config, words, parts, trained_on)
    initial = weights_for(first, answers)
    config, begun = note_beginning(config, build_model(config), initial, first.folder)
    return PreparedQuestions(*dealt, (begun, *remarks), config, words, parts, trained_on, initial=initial)


def _configure(
    settings: Settings, options: Mapping[str, Any], size: tuple[int, int], bits: int | None, found: Found
) -> RunConfig:
    """Everything that the run is made of."""
    places = {"image_size": one_or_two(size), "bits": bits, **_whole_paths(settings.data)}
    return RunConfig(
        jumok=__version__,
        system=settings.system,
        options=dict(options),
        data=settings.data.model_copy(update=places),
        training=settings.training,
        found=found,
    )


def settings_of_run(settings: Settings, first: QuestionRun) -> Settings:
    """The settings for a model that begins with another's weights, and so with its vocabulary and size of images.

    Raises:
        JumokError: another system or another vocabulary was asked for.
    """
    kept = keep_data(settings, first.config, OF_VOCABULARY, first.folder, "vocabulary")
    if settings.data.image_size is None:
        kept["image_size"] = first.config.data.image_size
    options = take_options(settings, first.config, first.folder)
    return settings.model_copy(update={"data": settings.data.model_copy(update=kept), "options": options})


def weights_for(first: QuestionRun, answers: Sequence[str]) -> dict[str, Tensor]:
    """The weights of a run that suit these answers: all but those of its own answers, where they are others."""
    weights = dict(first.model.state_dict())
    if tuple(answers) == first.answers:
        return weights
    return {name: value for name, value in weights.items() if not name.startswith(ANSWER_WEIGHTS)}


def _find_words(
    data: QuestionData, questions: Sequence[str], first: QuestionRun | None
) -> tuple[Vocabulary, BuildReport]:
    """The vocabulary, built from the training questions or brought along, and how well it fits them."""
    if first is not None:
        return first.words, check_vocabulary(first.words, pick_evenly(questions, CHECKED))
    return build_vocabulary(data.vocabulary, questions, size=data.vocabulary_size, min_count=data.min_count)


def _gather_found(
    parts: Mapping[str, QuestionSet],
    answers: tuple[str, ...],
    unanswerable: Mapping[str, Sequence[str]],
    words: Vocabulary,
    statistics: tuple[tuple[float, float, float], tuple[float, float, float]],
) -> Found:
    """What the data said; `statistics` are the channels' mean and spread."""
    mean, std = statistics
    return Found(
        answers=answers,
        words=len(words),
        vocabulary=words.fingerprint(),
        mean=mean,
        std=std,
        counts={part: len(questions) for part, questions in parts.items()},
        images={part: len(questions.images) for part, questions in parts.items()},
        skipped=dict(sum((Counter(questions.skipped) for questions in parts.values()), Counter())),
        unanswerable={part: len(which) for part, which in unanswerable.items()},
        fingerprint=fingerprint(parts),
        dealt_by="name",
    )


def _choose_by_questions(settings: Settings, questions: int) -> tuple[Settings, list[str]]:
    """Settle what follows from the number of training questions, where nobody chose it; and what was chosen."""
    options, why = choose_options(settings.options, questions)
    chosen: dict[str, Any] = {"options": {**options, **settings.options}}
    said = [why] if why else []
    if "batch_size" not in settings.training.model_fields_set:
        size, how = choose_batch(questions, World.found().size)
        chosen["training"] = settings.training.model_copy(update={"batch_size": size})
        said.append(how)
    return settings.model_copy(update=chosen), said


def resume(config: RunConfig, folder: Path, progress: Progress | None = None) -> PreparedQuestions:
    """The same for a run that began earlier, with the vocabulary and the answers that it has.

    Raises:
        JumokError: the questions are not those that it began with, or the vocabulary is missing.
    """
    words, initial = read_words(folder, config), read_initial(folder, config.found.begun)
    dealt_by = config.found.dealt_by
    parts, _ = keep_answerable(find_parts(config.data, config.training.seed, dealt_by), config.found.answers)
    if fingerprint(parts, dealt_by) != config.found.fingerprint:
        counts = {part: len(questions) for part, questions in parts.items()}
        raise JumokError(
            f"the questions in {' and '.join(config.data.questions)} are not those that this run began with "
            f"({write_counts(config.found.counts)} then; {write_counts(counts)} now): put them back, or train anew"
        )
    encoded = encode(parts, words, int(config.options["longest"]) - 1)
    pixels = stores(config.data, parts["train"].images, parts["val"].images, config.data.size, progress)
    return PreparedQuestions(*batches(config, parts, encoded, pixels), (), config, words, parts, initial=initial)


def choose_answers(train: QuestionSet, most: int) -> tuple[str, ...]:
    """The answers that are given most often; of equally frequent ones, the lesser by code points.

    Raises:
        JumokError: there is only one.
    """
    counts = Counter(answer for answers in train.answers for answer in answers)
    chosen = sorted(counts, key=lambda answer: (-counts[answer], answer))[:most]
    if len(chosen) < 2:
        raise JumokError(f"all training questions have the one answer {chosen[0]!r}: there is nothing to learn")
    return tuple(chosen)


def _check_val(val: QuestionSet, lacking: Sequence[str]) -> None:
    if len(lacking) == len(val):
        raise JumokError(
            f"none of the {len(val):,} validation questions can be answered by the answers that training has, such as "
            f"{lacking[0]!r}: no epoch would be better than another"
        )


def encode(parts: Mapping[str, QuestionSet], words: Vocabulary, longest: int) -> dict[str, list[list[int]]]:
    """Ids of all questions, cut off after the longest that the model reads."""
    return {part: [ids[:longest] for ids in words.encode_all(found.questions)] for part, found in parts.items()}


def batches(
    config: RunConfig,
    parts: Mapping[str, QuestionSet],
    encoded: Mapping[str, Sequence[Sequence[int]]],
    pixels: tuple[PixelStore, PixelStore],
) -> tuple[QuestionBatches, QuestionBatches]:
    """Deal the batches of the training and the validation out to this process.

    Raises:
        JumokError: the batch size does not divide among the processes.
    """
    world, answers = World.found(), config.found.answers

    def of(part: str, store: PixelStore, shuffle: bool) -> QuestionBatches:
        return QuestionBatches(
            store,
            parts[part].of,
            encoded[part],
            scored(parts[part], answers),
            answers=len(answers),
            batch_size=config.training.batch_size,
            seed=config.training.seed,
            shuffle=shuffle,
            rank=world.rank,
            world_size=world.size,
        )

    return of("train", pixels[0], True), of("val", pixels[1], False)


def system_options(settings: Settings, answers: int, words: int, size: tuple[int, int]) -> dict[str, Any]:
    """All options of a system: the ones chosen, those that follow from the data, and its defaults.

    Raises:
        JumokError: options that the system does not take, or that follow from the data.
    """
    follow = {"answers": answers, "words": words, "image_size": one_or_two(size)}
    clash = next((key for key in follow if key in settings.options), None)
    if clash:
        raise JumokError(f"the option {clash!r} follows from the data: leave it out (see --answers, --image-size)")
    return configure_system(settings.system, {**follow, **settings.options}).model_dump(mode="json")


def _whole_paths(data: QuestionData) -> dict[str, Any]:
    """The files by names that hold wherever the run goes on from."""
    names = ("questions", "val_questions", "test_questions")
    paths: dict[str, Any] = {name: tuple(str(Path(path).resolve()) for path in getattr(data, name)) for name in names}
    return {**paths, "images": str(Path(data.images or "").resolve())}


def _remarks(
    parts: Mapping[str, QuestionSet],
    unanswerable: Mapping[str, Sequence[str]],
    found: Found,
    report: BuildReport,
    size: str,
) -> Iterator[str]:
    """What a person should know of the data."""
    for questions in parts.values():
        yield from questions.notes
    yield from describe_left_out(found.skipped)
    for part, answers in unanswerable.items():
        if answers:
            yield _explain_unanswerable(part, answers)
    yield from describe_frames(sorted({path for questions in parts.values() for path in questions.images}))
    yield f"questions: {report.size:,} entries ({report.kind}); image size: {size}"


def _explain_unanswerable(part: str, answers: Sequence[str]) -> str:
    names = list(dict.fromkeys(answers))
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    what = "left out" if part == "train" else "counted as wrong"
    why = "are not among those to choose from (--answers)" if part == "train" else "never occur in training"
    return (
        f"{len(answers):,} {part} questions {what}: answers that {why}, such as {', '.join(names[:MOST_NAMED])}{more}"
    )
