"""From settings and a table of texts to everything that a training run needs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jumok.data.images.batches import Batches
from jumok.data.labelled.batches import TextBatches
from jumok.data.labelled.text_set import Columns, TextSet, hash_text, read_text_parts
from jumok.data.sharded_batches import BatchPlan
from jumok.errors import JumokError
from jumok.machine import World, device_name
from jumok.systems.pretrained_texts import HEAD
from jumok.tasks.classify.features import Features, read_features, write_features
from jumok.tasks.classify.recipe import Repeated, balance_order, choose_variation
from jumok.tasks.classify.tuning import TUNING_RATE, describe_learning
from jumok.tasks.label.run import build_model, longest_read, read_own_tokens
from jumok.tasks.label.settings import Found, RunConfig, Settings, TextData, TextTraining
from jumok.tasks.label.starting import Start, find_start
from jumok.tasks.label.tokens import TOKENIZER, Tokens
from jumok.tasks.label.training import TextClassifier, compute_features, make_module, text_classes
from jumok.tasks.running.beginning import begin_with, describe_begun, read_initial
from jumok.tasks.running.config import Begun
from jumok.tasks.running.figures import Progress, Row
from jumok.tasks.running.layers import freeze
from jumok.tasks.running.prepared_classes import PreparedClasses
from jumok.tasks.running.trained_on import TrainedOn, add_before, describe_before, read_trained_on
from jumok.tasks.running.tuning_settings import settle_balance
from jumok.version import __version__
from jumok.wording import join_names, typed, write_count, write_counts

PARTS = ("train", "val")
BATCH_SIZES = (32, 16)
LEAST_STEPS_PER_PASS = 16
"""The batch is as large as leaves so many steps in a pass."""
MOST_TOKENS = 512
"""Tokens that are read of a text, unless more are asked for."""
FEATURES_AT_ONCE = 32
POOLED = {"mean": "the mean of the last states", "first": "the first of the last states"}


@dataclass(frozen=True)
class PreparedTexts(PreparedClasses):
    """Everything that the training of a text classifier needs.

    Args:
        train, val, remarks, config: as for every task.
        tokens: the tokenizer.
        trained_on: the texts, by their hashes.
        features: what the frozen encoder makes of the texts, where a head is trained alone.
    """

    config: RunConfig
    tokens: Tokens
    trained_on: TrainedOn
    features: Mapping[str, Features] | None = None

    unit = "texts"

    @property
    def keeps_features(self) -> bool:
        return self.features is not None

    def module(self) -> TextClassifier:
        module = make_module(self.config, self.steps, self.initial, self.features)
        module.judged_on = self.config.found.counts["val"]
        return module

    def write(self, folder: Path) -> None:
        self.tokens.save(folder / TOKENIZER)
        self.trained_on.write(folder)
        super().write(folder)
        if self.features is not None:
            write_features(folder, self.features)

    @property
    def pass_steps(self) -> float:
        return self.config.found.counts["train"] / self.config.training.batch_size

    def suit(self, asked: Collection[str], *, passes: float) -> PreparedTexts:
        smoothing = choose_variation(asked, passes).get("label_smoothing")
        return self if smoothing is None else self.with_training(label_smoothing=smoothing)

    def about(self, parameters: int) -> str:
        found, training = self.config.found, self.config.training
        return (
            f"{found.counts['train']:,} training and {found.counts['val']:,} validation texts of "
            f"{len(found.classes)} classes; {self.config.system} with {parameters / 1e6:.2f} million weights; "
            f"{self.length()} of {training.batch_size}"
        )

    def purpose(self, parameters: int) -> str:
        return (
            f"A {self.config.system} of {parameters:,} weights that classifies texts as "
            f"{join_names(self.config.found.classes, 'or')}."
        )

    def facts(self, best: Row) -> dict[str, str]:
        counts = ", ".join(f"{count:,} {part}" for part, count in self.config.found.counts.items())
        return {
            "texts": f"{self.config.data.texts}: {counts}",
            "validation accuracy": f"{best['val_accuracy']:.4f}",
            "validation loss": f"{best['val_loss']:.4f}",
            "batch": f"{self.config.training.batch_size} texts",
        }

    def evaluate_with(self, folder: Path) -> str:
        return f"jumok eval {typed(folder)}"

    def reached(self, best: Row) -> str:
        return text_classes(self.config).describe_reached(best)

    def shortfall(self, best: Row) -> str:
        return text_classes(self.config).describe_shortfall(best)


def prepare(settings: Settings, progress: Progress | None = None) -> PreparedTexts:
    """Read the texts, load the encoder, and settle the run's configuration.

    Raises:
        JumokError: texts, an encoder or settings that do not do.
    """
    parts = find_parts(settings.data, settings.training.seed)
    start = find_start(settings)
    training, told = _settle_training(settings.training, parts["train"])
    data = _settle_data(settings.data, start.tokens)
    classes = parts["train"].classes
    config = RunConfig(
        jumok=__version__,
        system=settings.system,
        options=start.options_with(settings.options, len(classes)),
        data=data,
        training=training,
        found=_gather_found(parts, start.tokens),
    )
    config, initial = _begin(config, start)
    ready = _ready(config, parts, start.tokens, initial, None, progress)
    init = settings.training.init
    begun = (*_describe_begun(config.found.begun), *describe_before(ready.trained_on, init, "texts"))
    remarks = (*parts["train"].notes, *told, *begun, *_describe_tokens(ready, parts))
    learning = describe_learning(ready.module(), kept=ready.keeps_features, noun="text")
    return replace(ready, trained_on=add_before(ready.trained_on, init), remarks=(*remarks, *learning))


def resume(config: RunConfig, folder: Path, progress: Progress | None = None) -> PreparedTexts:
    """The same for a run that began earlier.

    Raises:
        JumokError: the texts are not those that it began with, or the tokenizer is missing.
    """
    parts = find_parts(config.data, config.training.seed)
    if fingerprint(parts) != config.found.fingerprint:
        counts = {part: len(texts) for part, texts in parts.items()}
        raise JumokError(
            f"the texts in {config.data.texts} are not those that this run began with "
            f"({write_counts(config.found.counts)} then; {write_counts(counts)} now): put them back, or train anew"
        )
    tokens, initial = read_own_tokens(folder, config), read_initial(folder, config.found.begun)
    kept = read_features(folder, {part: len(parts[part]) for part in PARTS})
    ready, then = _ready(config, parts, tokens, initial, kept, progress), read_trained_on(folder)
    return ready if then is None else replace(ready, trained_on=replace(ready.trained_on, before=then.before))


def find_parts(data: TextData, seed: int) -> dict[str, TextSet]:
    """Read the texts in their three parts.

    Raises:
        JumokError: no table was given, or it is none of texts in two or more classes.
    """
    if data.texts is None:
        raise JumokError("no texts: give a table of text,label, as in jumok train texts reviews.csv --system hf:FOLDER")
    shares = (1 - data.val_fraction - data.test_fraction, data.val_fraction, data.test_fraction)
    if shares[0] <= 0:
        raise JumokError(f"--val-fraction {shares[1]} and --test-fraction {shares[2]} leave nothing to train on")
    return read_text_parts(Path(data.texts), columns_of(data), shares=shares, seed=seed)


def columns_of(data: TextData) -> Columns:
    """Names of the columns that hold text and label, where they were given."""
    return Columns(data.text_column, data.label_column)


def fingerprint(parts: Mapping[str, TextSet]) -> str:
    """What changes when a training or validation text is added, removed, changed or moved."""
    return sha256("".join(parts[part].fingerprint() for part in PARTS).encode()).hexdigest()[:32]


def _settle_data(data: TextData, tokens: Tokens) -> TextData:
    if data.max_tokens is not None and data.max_tokens > tokens.longest:
        raise JumokError(f"--max-tokens {data.max_tokens}: the encoder takes {tokens.longest} tokens at most")
    most = data.max_tokens or min(tokens.longest, MOST_TOKENS)
    return data.model_copy(update={"texts": str(Path(data.texts or "").resolve()), "max_tokens": most})


def _settle_training(training: TextTraining, train: TextSet) -> tuple[TextTraining, list[str]]:
    """What follows from the texts, unless it was asked for otherwise; and what to say of it."""
    training.check_tuning(begun=True)
    asked = training.model_fields_set
    chosen: dict[str, Any] = {}
    said: list[str] = []
    world = World.found().size
    if len(train) < world:
        raise JumokError(f"{len(train)} training texts cannot be shared among {world} processes: use fewer")
    size = training.batch_size
    if "batch_size" not in asked:
        usual = (each for each in BATCH_SIZES if len(train) // each >= LEAST_STEPS_PER_PASS)
        size = max(next(usual, BATCH_SIZES[-1]) // world, 1) * world
    chosen["batch_size"] = size if size <= len(train) else len(train) - len(train) % world
    if "lr" not in asked and training.freeze != "backbone":
        chosen["lr"] = TUNING_RATE
    if training.balance == "auto":
        chosen["balance"], told = settle_balance(train.classes, train.counts(), "texts")
        said += told
    return training.model_copy(update=chosen), said


def _gather_found(parts: Mapping[str, TextSet], tokens: Tokens) -> Found:
    """What the data and the encoder said."""
    return Found(
        classes=parts["train"].classes,
        counts={part: len(texts) for part, texts in parts.items()},
        per_class={part: texts.counts() for part, texts in parts.items()},
        fingerprint=fingerprint(parts),
        tokenizer=tokens.fingerprint,
        padding=tokens.padding,
        mask=tokens.mask,
        longest=tokens.longest,
    )


def _begin(config: RunConfig, start: Start) -> tuple[RunConfig, dict[str, Tensor]]:
    """Settle how a run begins with weights from elsewhere; see that the encoder takes texts of that length."""
    weights = start.weights_for(config.found.classes)
    model = build_model(config)
    begun = begin_with(model, weights, start.origin)
    freeze(model, config.training.freeze, HEAD)
    longest = longest_read(config)
    some = torch.full((1, longest), config.found.mask)
    try:
        with torch.no_grad():
            model.eval()(some, torch.ones_like(some, dtype=torch.bool))
    except (ValueError, RuntimeError, IndexError, AttributeError, TypeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise JumokError(f"{start.origin} does not take texts of {longest} tokens: {reason}") from error
    return config.model_copy(update={"found": config.found.model_copy(update={"begun": begun})}), weights


def _ready(
    config: RunConfig,
    parts: Mapping[str, TextSet],
    tokens: Tokens,
    initial: Mapping[str, Tensor],
    features: Mapping[str, Features] | None,
    progress: Progress | None,
) -> PreparedTexts:
    """Everything together; features that are wanted and not there are computed."""
    longest = longest_read(config)
    ids = {part: tokens.encode_all(parts[part].texts, longest)[0] for part in PARTS}
    labels = {part: torch.tensor(parts[part].labels) for part in PARTS}
    if config.training.freeze == "backbone":
        features = features or _compute_features(config, initial, ids, labels, progress)
    else:
        features = None
    hashes = {part: tuple(sorted(map(hash_text, texts.texts))) for part, texts in parts.items()}
    dealt = _deal(config, ids, labels, features)
    return PreparedTexts(*dealt, (), config, tokens, TrainedOn(hashes), features, initial=initial)


def _compute_features(
    config: RunConfig,
    initial: Mapping[str, Tensor],
    ids: Mapping[str, Sequence[Sequence[int]]],
    labels: Mapping[str, Tensor],
    progress: Progress | None,
) -> dict[str, Features]:
    module = make_module(config, 1, initial, None).to(device_name(config.training.device))
    found = {}
    for part in PARTS:
        plan = BatchPlan(len(ids[part]), FEATURES_AT_ONCE)
        batches = TextBatches(ids[part], labels[part], config.found.padding, plan)
        found[part] = compute_features(module, batches, progress if part == "train" else None)
    return found


def _deal(
    config: RunConfig,
    ids: Mapping[str, Sequence[Sequence[int]]],
    labels: Mapping[str, Tensor],
    features: Mapping[str, Features] | None,
) -> tuple[Any, Any]:
    """Deal the batches of the training and the validation out to this process.

    Raises:
        JumokError: the batch size does not divide among the processes.
    """
    world, training = World.found(), config.training
    order = torch.arange(len(labels["train"]))
    if training.balance == "sampler":
        order = balance_order(labels["train"])
    orders = {"train": order, "val": torch.arange(len(labels["val"]))}

    def of(part: str) -> Any:
        first, rows = part == "train", orders[part]
        share: dict[str, Any] = {"batch_size": training.batch_size, "seed": training.seed if first else 0}
        share |= {"shuffle": first, "drop_last": first, "rank": world.rank, "world_size": world.size}
        if features is not None:
            return Batches(Repeated(features[part], rows), labels[part][rows], **share)
        some = [ids[part][number] for number in rows.tolist()]
        return TextBatches(some, labels[part][rows], config.found.padding, BatchPlan(len(some), **share))

    return of("train"), of("val")


def _describe_begun(begun: Begun | None) -> Iterator[str]:
    if begun is not None:
        yield f"weights: {describe_begun(begun)}"


def _describe_tokens(ready: PreparedTexts, parts: Mapping[str, TextSet]) -> Iterator[str]:
    """How much of the texts is read."""
    longest = longest_read(ready.config)
    texts, pool = [text for part in PARTS for text in parts[part].texts], str(ready.config.options["pool"])
    cut = ready.tokens.encode_all(texts, longest)[1]
    told = f"; {write_count(cut, 'longer text is', 'longer texts are')} cut off there" if cut else ""
    yield f"texts: up to {longest} tokens are read{told}, classes are read off {POOLED[pool]}"
