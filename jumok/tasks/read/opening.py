"""Text models of `transformers` with their weights and their tokenizer: what kind one is, and how it is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from torch import nn

from jumok.errors import JumokError, foreign
from jumok.tasks.bounded import bound_of_folder, building_within
from jumok.tasks.classify.foreign import without_remarks
from jumok.tasks.foreign_files import CONFIG, advise, check_hf_folder
from jumok.tasks.foreign_models import is_folder, list_fresh, load_weights, read_problem
from jumok.tasks.label.foreign import find_longest, load_tokenizer, read_pooling
from jumok.tasks.model_types import PREFIX, read_settings

__all__ = ["PREFIX", "Kind", "TextModel", "open_text_model", "reads_texts"]

CLASSIFIER = "ForSequenceClassification"
MASKED = ("ForMaskedLM", "ForPreTraining", "WithLMHeadModel")
"""How the classes of `transformers` end whose answers are words in place of a mask."""
HEADLESS = ("ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice", "ForNextSentencePrediction")
"""How those end whose answers are not read here; their encoder is."""


class Kind(StrEnum):
    """What a text model answers."""

    CLASSES = "classifier"
    MASKED = "masked language model"
    ENCODER = "encoder"
    SENTENCES = "sentence encoder"
    NEXT = "decoder"
    PAIRS = "encoder-decoder"

    @property
    def writes(self) -> bool:
        """Whether it writes texts."""
        return self in (Kind.NEXT, Kind.PAIRS)


LOADERS = {
    Kind.CLASSES: "AutoModelForSequenceClassification",
    Kind.MASKED: "AutoModelForMaskedLM",
    Kind.ENCODER: "AutoModel",
    Kind.SENTENCES: "AutoModel",
    Kind.NEXT: "AutoModelForCausalLM",
    Kind.PAIRS: "AutoModelForSeq2SeqLM",
}
MAPPINGS = ("CAUSAL_LM", "MASKED_LM", "SEQ_TO_SEQ_CAUSAL_LM", "SEQUENCE_CLASSIFICATION", "TEXT_ENCODING")
"""The lists of `transformers` that hold models of texts."""


@dataclass(frozen=True)
class TextModel:
    """A text model from elsewhere.

    Args:
        name: as it was asked for, without its prefix.
        kind: what it answers.
        network: its module, in eval mode; the table of its words alone asks for gradients.
        tokenizer: of its library.
        longest: tokens that it takes.
        classes: of a classifier.
        pool: of a sentence encoder: "mean" or "first".
        problem: of a classifier, as its configuration has it: "multi_label_classification", "regression" or "".
        unread: the head that its checkpoint has and that is not read; empty where there is none.
    """

    name: str
    kind: Kind
    network: nn.Module
    tokenizer: Any
    longest: int
    classes: tuple[str, ...] = ()
    pool: str = ""
    problem: str = ""
    unread: str = ""

    @property
    def device(self) -> Any:
        """Where it computes."""
        return next(self.network.parameters()).device


def reads_texts(model: str) -> bool:
    """Whether `hf:NAME` is a model of texts alone.

    Raises:
        JumokError: its configuration is damaged or cannot be reached, or the model is made to run code of its own.
    """
    if not model.startswith(PREFIX):
        return False
    found = read_settings(model)
    _check_code(model.removeprefix(PREFIX), found)
    return _is_of_texts(found)


def open_text_model(model: str, device: str) -> TextModel:
    """Open a text model: weights from safetensors only, and no code of the model's own.

    Args:
        model: `hf:` and a folder, or a name on the hub.
        device: to compute on.
    Raises:
        JumokError: there is no such model, it reads no texts, it has no tokenizer, or some of its weights are missing.
        ModuleNotFoundError: `transformers` is not installed.
    """
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    name = model.removeprefix(PREFIX)
    local = is_folder(name)
    if local:
        check_hf_folder(Path(name), CONFIG_MAPPING_NAMES)
    bound = bound_of_folder(name)
    with foreign(f"cannot open {model}", advise(name)), without_remarks(), building_within(bound):
        config = transformers.AutoConfig.from_pretrained(name, local_files_only=local, trust_remote_code=False)
        kind = _choose_kind(name, config)
        tokenizer = load_tokenizer(name)
        network, missing = load_weights(getattr(transformers, LOADERS[kind]), model)
    _check_weights(name, kind, missing)
    return TextModel(
        name,
        kind,
        _prepare(network, device),
        tokenizer,
        find_longest(tokenizer, network, config),
        _name_classes(config) if kind is Kind.CLASSES else (),
        read_pooling(name) if kind is Kind.SENTENCES else "",
        read_problem(model, config) if kind is Kind.CLASSES else "",
        _name_head(config),
    )


def _check_code(name: str, values: Mapping[str, Any]) -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    if "auto_map" in values and values.get("model_type") not in CONFIG_MAPPING_NAMES:
        raise JumokError(
            f"hf:{name} is built by code of its own (auto_map in its {CONFIG}), which jumok never runs: give a model "
            "of an architecture that transformers itself has"
        )


def _is_of_texts(values: Mapping[str, Any]) -> bool:
    from transformers.models.auto import modeling_auto

    def lists(mapping: str) -> bool:
        return values.get("model_type") in getattr(modeling_auto, f"MODEL_FOR_{mapping}_MAPPING_NAMES", {})

    seeing = any(key in values for key in ("vision_config", "image_size", "audio_config"))
    return any(map(lists, MAPPINGS)) and not seeing and not lists("IMAGE_CLASSIFICATION")


def _choose_kind(name: str, config: Any) -> Kind:
    """What a configuration says that the model answers.

    Raises:
        JumokError: it reads no texts, or classifies by an encoder and a decoder.
    """
    if not _is_of_texts(config.to_dict()):
        raise JumokError(
            f"hf:{name} ({config.model_type}) is no model of texts alone: wanted one such as a BERT or GPT-2"
        )
    head = next(iter(config.architectures or ()), "")
    if head.endswith(CLASSIFIER):
        if config.is_encoder_decoder:
            raise JumokError(
                f"hf:{name} classifies by an encoder and a decoder, which is not supported: give a classifier that is "
                "an encoder or a decoder alone"
            )
        return Kind.CLASSES
    if config.is_encoder_decoder:
        return Kind.PAIRS
    if _is_causal(config, head):
        return Kind.NEXT
    if head.endswith(MASKED) and _has_masked(config):
        return Kind.MASKED
    return Kind.SENTENCES if read_pooling(name) else Kind.ENCODER


def _is_causal(config: Any, head: str) -> bool:
    from transformers.models.auto import modeling_auto

    causal = config.model_type in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    return causal and (not _has_masked(config) or getattr(config, "is_decoder", False) or head.endswith("ForCausalLM"))


def _has_masked(config: Any) -> bool:
    from transformers.models.auto import modeling_auto

    return config.model_type in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES


def _name_head(config: Any) -> str:
    head = next(iter(config.architectures or ()), "")
    return head if head.endswith(HEADLESS) else ""


def _check_weights(name: str, kind: Kind, missing: Any) -> None:
    """Refuse answers that would come from random weights."""
    head = kind not in (Kind.ENCODER, Kind.SENTENCES)
    if fresh := list_fresh(missing, pooler=head):
        why = f", so its {'classes' if kind is Kind.CLASSES else 'words'} would be random" if head else ""
        raise JumokError(f"hf:{name} lacks the weights {fresh}{why}: give a checkpoint that has them")


def _prepare(network: Any, device: str) -> nn.Module:
    """In float32 and eval mode; of all weights the table of words alone asks for gradients, which relevance needs."""
    ready: nn.Module = network.float().to(device).eval().requires_grad_(False)
    network.get_input_embeddings().weight.requires_grad_(True)
    return ready


def _name_classes(config: Any) -> tuple[str, ...]:
    names = config.id2label or {}
    return tuple(str(names.get(number, f"LABEL_{number}")) for number in range(config.num_labels))
