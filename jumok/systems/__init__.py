"""Whole models, one per file, each readable alone from top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from torch import nn

from jumok.errors import JumokError, suggest
from jumok.language import later
from jumok.systems.cnn import CNN, CNNConfig
from jumok.systems.mlp import MLP, MLPConfig
from jumok.systems.pretrained import FAMILIES
from jumok.systems.ram import RAM, RAMConfig
from jumok.systems.resnet import NAMED, NonLocalConfig, NonLocalNet, ResNet, ResNetConfig
from jumok.systems.seq2seq import Seq2Seq, Seq2SeqConfig
from jumok.systems.stn import STN, STNConfig
from jumok.systems.transformer import Transformer, TransformerConfig
from jumok.systems.vit import SIZES, ViT, ViTConfig
from jumok.systems.vqa import NAMED as ANSWERING
from jumok.systems.vqa import VQA, VQAConfig
from jumok.wanted_values import say_wanted, show_value

__all__ = ["ATTENDS", "attends", "build", "config_of", "configure", "names"]


class System(NamedTuple):
    """A model that can be trained by name.

    Args:
        config: its configuration.
        model: its class.
        options: what the name stands for.
    """

    config: type[BaseModel]
    model: Callable[[Any], nn.Module]
    options: Mapping[str, Any] = {}


SYSTEMS = {
    **{name: System(ViTConfig, ViT, options) for name, options in SIZES.items()},
    **{name: System(ResNetConfig, ResNet, options) for name, options in NAMED.items()},
    "cnn": System(CNNConfig, CNN),
    "mlp": System(MLPConfig, MLP),
    "non-local": System(NonLocalConfig, NonLocalNet),
    "ram": System(RAMConfig, RAM, {"code": "convolutions"}),
    "stn": System(STNConfig, STN),
    "seq2seq": System(Seq2SeqConfig, Seq2Seq),
    "transformer": System(TransformerConfig, Transformer),
    **{name: System(VQAConfig, VQA, options) for name, options in ANSWERING.items()},
}

ATTENDS = {
    "mlp": later("nothing; a baseline"),
    "cnn": later("nothing; a baseline"),
    "ram": later("places, one after the other (2014)"),
    "stn": later("a region, by a learnt window (2015)"),
    "senet": later("channels (2017)"),
    "cbam": later("channels, then places (2018)"),
    "non-local": later("all places, from each place (2018)"),
    "vit-nano": later("patches, in every layer (2021)"),
    "vqa-question": later("nothing; the question alone"),
    "vqa-image": later("nothing; the image alone"),
    "vqa-concat": later("nothing; image and question side by side (2015)"),
    "vqa-stacked": later("places, in two looks (2016)"),
    "vqa-transformer": later("words and places, in every layer (2019)"),
}
"""One system for each mechanism and task, in the order in which they came, and what it attends to."""

ALSO = {
    "resnet": later("nothing; a baseline"),
    "eca": later("channels (2020)"),
    "seq2seq": later("source words, from each target word (2015)"),
    "transformer": later("words, in every layer (2017)"),
}
"""What the others attend to, but for further sizes of the same."""


def attends(name: str) -> str:
    """What a system attends to, for those that stand for a mechanism; empty for others."""
    return ATTENDS.get(name, "")


def looks_at(name: str) -> str:
    """What any system attends to."""
    return attends(name) or ALSO.get(name) or attends("vit-nano" if name in SIZES else "")


def names() -> list[str]:
    """The names of all systems."""
    return list(SYSTEMS)


def config_of(name: str) -> type[BaseModel]:
    """The kind of configuration that a system has.

    Raises:
        JumokError: no system of that name.
    """
    return _system(name).config


def configure(name: str, **options: Any) -> BaseModel:
    """Make the configuration of a system.

    Args:
        name: one of `names()`.
        options: fields of its configuration; they win over what the name stands for.
    Raises:
        JumokError: no system of that name, or an option that it does not know or whose value is out of range.
    """
    system = _system(name)
    for option in options:
        if option not in system.config.model_fields:
            raise JumokError(f"{name} has no option {option!r}: {suggest(option, system.config.model_fields)}")
    try:
        return system.config(**{**system.options, **options})
    except ValidationError as error:
        raise JumokError(f"{name}: {_write_first_error(system.config, error)}") from error


def build(name: str, config: BaseModel) -> nn.Module:
    """Build a system, with fresh weights.

    Raises:
        JumokError: no system of that name, or a configuration of another one.
    """
    system = _system(name)
    if not isinstance(config, system.config):
        raise JumokError(f"{name} is built from {system.config.__name__}, got {type(config).__name__}")
    return system.model(config)


def _system(name: str) -> System:
    for prefix, (config, model) in FAMILIES.items():
        if name.startswith(prefix):
            return System(config, model)
    if name not in SYSTEMS:
        raise JumokError(f"no system {name!r}: {suggest(name, SYSTEMS)}")
    return SYSTEMS[name]


def _write_first_error(config: type[BaseModel], error: ValidationError) -> str:
    """The first thing wrong, in one line."""
    found = error.errors(include_url=False)[0]
    if found["type"] == "value_error":  # one of our own, that says it all
        return str(found["ctx"]["error"])
    if found["type"] == "missing":
        return f"{found['loc'][0]} is missing"
    name = str(found["loc"][0])
    wish = say_wanted(config.model_fields.get(name), found)
    return f"{name} is {show_value(found['input'])}; wanted {wish}"
