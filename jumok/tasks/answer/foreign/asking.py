"""Ask a vision-language model from elsewhere, and see where each word that it answers looked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from jumok.attention import AttentionMap, Axis, Interleaved, Patches, Regions, Tokens
from jumok.attention.frames import Frame
from jumok.attention.interleaved import has_places
from jumok.errors import JumokError, foreign
from jumok.language import later
from jumok.tasks.answer.foreign.explaining import Written, explain_words
from jumok.tasks.answer.foreign.processors import Processor, open_processor
from jumok.tasks.bounded import bound_of_folder, building_within
from jumok.tasks.foreign_files import ADVICE, advise, check_hf_folder, without_remarks
from jumok.tasks.foreign_models import is_folder, list_fresh, load_weights
from jumok.tasks.written_words import WrittenTokens, group_words, multiply_shares, write_watched
from jumok.watching.pixel_tracing import trace_pixels
from jumok.wording import write_count

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["MOST_TOKENS", "Answered", "ForeignAsker", "ImageLook", "open_asker"]

MOST_TOKENS = 100
"""That are generated for one question."""
CROSS = "cross-attention"
"""How the source of a map begins whose keys are all there from the first step on."""
OTHERS = "other tokens"
LEARNT = later(
    "this model reads the image through learnt tokens: what falls on each of them, of attention or relevance, is "
    "multiplied by what that one looked at in the image, the mean over layers and heads"
)
PLAIN = later("this model has no chat template: it was asked in plain text")
BY_CHANCE = later("this model is set to draw its words by chance: here the most probable are taken")
POSITIONS = ("max_position_embeddings", "n_positions", "max_sequence_length")

Words = Sequence[tuple[str, Sequence[int]]]
"""Each with the numbers of its tokens."""
Way = Callable[[AttentionMap], AttentionMap]
"""From a map over all tokens to one whose last keys are the places of an image."""


@dataclass(frozen=True)
class ImageLook:
    """Where the words of an answer looked in one image.

    Args:
        looks: (words, places of the image and all other tokens as one), the mean over layers and heads.
        on_image: for each word, the share of its attention that fell on the image.
        even: the share that would fall there if every token were looked at alike: the baseline of `on_image`.
        relevance: as `looks`, how much each place contributed to the word; None: not asked.
    """

    looks: AttentionMap
    on_image: tuple[float, ...]
    even: float
    relevance: AttentionMap | None = None

    @property
    def seen(self) -> Frame | None:
        """The part of the image that the places reach over, in shares of it; None: all of it."""
        keys = self.looks.keys
        if not isinstance(keys, Regions):
            return None
        tops, lefts, bottoms, rights = zip(*(box for box in keys.boxes if box is not None), strict=True)
        height, width = keys.height, keys.width
        return min(tops) / height, min(lefts) / width, max(bottoms) / height, max(rights) / width


@dataclass(frozen=True)
class Answered:
    """What a model answered to one question, and where each word looked.

    Args:
        question: as it was asked.
        words: of the answer, in order.
        probabilities: of each word: that of its tokens, one after the other.
        images: what the words looked at in each.
        notes: what to know of the answer.
    """

    question: str
    words: tuple[str, ...]
    probabilities: tuple[float, ...]
    images: tuple[ImageLook, ...]
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The whole answer."""
        return " ".join(self.words)

    @property
    def probability(self) -> float:
        """Of the whole answer, word by word."""
        return float(torch.tensor(self.probabilities, dtype=torch.float64).prod())


@dataclass(frozen=True)
class ForeignAsker:
    """A vision-language model, ready to be asked.

    Args:
        name: of the model, as the user gave it.
        model: in eval mode.
        processor: that it came with.
        plain: ask in plain text, without its chat template.
    """

    name: str
    model: Any
    processor: Processor
    plain: bool = False

    def ask(self, images: Sequence[Image.Image], question: str, most: int, method: str | None = None) -> Answered:
        """Answer one question, greedily.

        Args:
            images: RGB, one or several.
            question: any text.
            most: tokens to generate.
            method: of attribution, "chefer": how much each place contributed to each word; None: attention alone.
        Raises:
            JumokError: the processor does not fit the model, a chat template is missing, the prompt is too long, the
                model answers nothing, takes fewer images, or it cannot be told which tokens are places of an image.
        """
        self._check_template()
        inputs = self._read(images, question)
        self._check_length(inputs["input_ids"].shape[1], most)
        traced = trace_pixels(self.processor.images, list(images), inputs)
        what = f"hf:{self.name} and its processor do not fit each other"
        tokenizer = self.processor.tokenizer
        made = write_watched(self.model, f"hf:{self.name}", inputs, most, what, pixels=traced, tokenizer=tokenizer)
        words = list(group_words(tokenizer, made.ids))
        if not words:
            raise JumokError(f"hf:{self.name} answers nothing to {question!r}: its first word is the end sign")
        found = self._join(made).at(batch=0).mean("layer", "head")
        self._check_images(found.keys, len(images))
        learnt = not has_places(found.keys) and not all(label.isdigit() for label in found.keys.labels())
        ways: list[Way] = [partial(AttentionMap.on, what="image", number=number) for number in range(len(images))]
        ways = [made.seen.through] if learnt else ways
        looks = [_look(found, way, words) for way in ways]
        if method is not None:
            written = Written(self.name, self.model, inputs, traced, made.sequence, made.shares)
            whole = explain_words(written, [places for _, places in words], method)
            looks = [replace(look, relevance=_lay(whole, way, words)) for look, way in zip(looks, ways, strict=True)]
        shares = multiply_shares(made.shares, words)
        return Answered(question, tuple(word for word, _ in words), shares, tuple(looks), self._notes(learnt))

    def _read(self, images: Sequence[Image.Image], question: str) -> dict[str, Any]:
        prompt = self.processor.write_prompt(question, len(images), plain=self.plain)
        return self._place(self.processor.read(self.name, images, prompt))

    def _join(self, made: WrittenTokens) -> AttentionMap:
        """Where the model looked for each token that it wrote, in the sequence that holds the images."""
        if not self.model.config.is_encoder_decoder:
            return made.seen.generated(made.sequence)
        found = made.seen.alignment(made.sequence)
        rows = slice(found.weights.shape[-2] - len(made.shares), None)
        return replace(found, weights=found.weights[..., rows, :], queries=Tokens(tuple(found.queries.labels()[rows])))

    def _place(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """On the model's device, of what its `forward` takes."""
        device, kind = self.model.device, self.model.dtype
        found = {name: value.to(device) for name, value in inputs.items() if isinstance(value, Tensor)}
        return {name: value.to(kind) if value.is_floating_point() else value for name, value in found.items()}

    def _check_template(self) -> None:
        if self.processor.lacks_template and not self.plain:
            raise JumokError(
                f"hf:{self.name} has no chat template (chat_template.jinja), and a model of its kind was trained to be "
                "asked in one: give a folder that has it, or ask in plain text with --plain"
            )

    def _check_length(self, prompt: int, most: int) -> None:
        config = self.model.config.get_text_config(decoder=True)
        limit = next((value for name in POSITIONS if isinstance(value := getattr(config, name, None), int)), None)
        if limit is not None and prompt + most > limit:
            raise JumokError(
                f"the question takes {write_count(prompt, 'token')} with the image, and hf:{self.name} reads at most "
                f"{limit} with the answer: ask less, give a smaller image, or lower --generate (now {most})"
            )

    def _check_images(self, keys: Axis, given: int) -> None:
        reached = len(keys.images) if isinstance(keys, Interleaved) else 1
        if given > 1 and reached != given:
            raise JumokError(f"of {given} images hf:{self.name} sees {reached} at a time: ask about one image")

    def _notes(self, learnt: bool) -> tuple[str, ...]:
        sampled = getattr(self.model.generation_config, "do_sample", False)
        return (
            *(() if self.processor.has_template else (PLAIN,)),
            *((LEARNT,) if learnt else ()),
            *((BY_CHANCE,) if sampled else ()),
        )


# -- words and places -----------------------------------------------------------------------------


def _look(found: AttentionMap, way: Way, words: Words) -> ImageLook:
    """What the words looked at in an image, from what their tokens looked at."""
    rows = torch.stack([found.weights[list(places)].mean(0) for _, places in words])
    looks = _merge(way(replace(found, weights=rows, queries=_name(words))))
    even = _merge(way(replace(found, weights=_make_even(found)))).weights[:, 1:].sum(1).mean()
    return ImageLook(looks, tuple(looks.weights[:, 1:].sum(1).tolist()), float(even))


def _lay(whole: AttentionMap, way: Way, words: Words) -> AttentionMap:
    """Relevance of words, (words, tokens), over one image; without the token that wrote each, which was not read."""
    found = _merge(way(replace(whole, queries=_name(words))))
    found.weights[:, 0] = (found.weights[:, 0] - 1).clamp_min(0)
    return found


def _name(words: Words) -> Tokens:
    return Tokens(tuple(word for word, _ in words))


def _merge(found: AttentionMap) -> AttentionMap:
    """All that lies in no place of the image as one."""
    inside = _count_places(found.keys)
    weights = torch.cat([found.weights[:, :-inside].sum(1, keepdim=True), found.weights[:, -inside:]], 1)
    return replace(found, weights=weights, keys=_gather_others(found.keys, inside))


def _count_places(keys: Axis) -> int:
    if isinstance(keys, Patches):
        return keys.rows * keys.columns
    return sum(box is not None for box in keys.boxes) if isinstance(keys, Regions) else 0


def _gather_others(keys: Axis, inside: int) -> Axis:
    """`on("image")` puts all that lies in no place in front."""
    if isinstance(keys, Patches):
        return Patches(keys.rows, keys.columns, special=(OTHERS,))
    assert isinstance(keys, Regions)
    return Regions((None, *keys.boxes[-inside:]), (OTHERS, *keys.names[-inside:]), keys.height, keys.width)


def _make_even(found: AttentionMap) -> Tensor:
    """The weights if all tokens before each step were looked at alike; of a source, all of its tokens."""
    steps, total = len(found.queries), len(found.keys)
    before = torch.full((steps,), total) if found.source.startswith(CROSS) else total - steps + torch.arange(steps)
    return (torch.arange(total) < before[:, None]).float() / before[:, None]


# -- opening --------------------------------------------------------------------------------------


def open_asker(name: str, device: str, *, plain: bool = False) -> ForeignAsker:
    """Open a vision-language model of `transformers`: weights from safetensors only, and no code of its own.

    Args:
        name: "hf:" and a folder, or a name on the hub.
        device: to run on.
        plain: ask in plain text, without its chat template.
    Raises:
        JumokError: there is no such model, it is of another kind, or it has no processor.
        ModuleNotFoundError: `transformers` is not installed.
    """
    from transformers import AutoConfig, AutoModelForImageTextToText
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    source, _, path = name.partition(":")
    if source != "hf" or not path:
        raise JumokError(f"--model {name!r} is no vision-language model: wanted hf: and a folder, as in hf:./smolvlm")
    local = is_folder(path)
    options = {"local_files_only": local, "trust_remote_code": False}
    if local:
        check_hf_folder(Path(path), CONFIG_MAPPING_NAMES)
    bound = bound_of_folder(path)
    with foreign(f"cannot open {name}", advise(path)), without_remarks(), building_within(bound):
        config = AutoConfig.from_pretrained(path, **options)
        _check_kind(name, config)
        processor = open_processor(path, local, config.model_type)
        model, missing = load_weights(AutoModelForImageTextToText, name)
    if fresh := list_fresh(missing, pooler=True):
        raise JumokError(f"{name} lacks the weights {fresh}, so its answers would be random: {ADVICE}")
    return ForeignAsker(path, model.to(device).eval(), processor, plain)


def _check_kind(name: str, config: Any) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as KNOWN

    if config.model_type not in KNOWN:
        raise JumokError(
            f"{name} is of type {config.model_type}, which answers no questions about images: give a vision-language "
            "model such as LLaVA, Qwen2-VL or SmolVLM"
        )
