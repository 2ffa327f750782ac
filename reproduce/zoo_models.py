"""Every architecture of `transformers` and vit-pytorch, one of each family of timm: tiny, random, with an input."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from reproduce import torchvision_names, zoo_vit_pytorch
from reproduce.zoo_configs import OVERRIDES, find_ropes, merge, shrink
from reproduce.zoo_inputs import BATCH, guess_inputs, noise, place_image, seek

MOST_PARAMETERS = 150_000_000
MOST_OF_OTHERS = 25_000_000
"""Of a model that could not be made narrow."""
PEAKED = 0.25


@dataclass
class Subject:
    """A model to be judged, and its input.

    Args:
        name: of the architecture.
        model: tiny, with random weights.
        inputs: of its forward, by name.
        kind: what these are, such as "text+image".
        made: how far it was made smaller, and what failed before.
        image: height and width of the pixels, where they are one image for each item.
    """

    name: str
    model: nn.Module
    inputs: dict[str, Any]
    kind: str = field(init=False)
    made: list[str] = field(default_factory=list)
    image: tuple[int, int] | None = field(init=False)

    def __post_init__(self) -> None:
        self.kind, self.image = _find_kind(self.inputs), _find_image(self.inputs)


class CannotBuildError(Exception):
    """No small model of an architecture could be built and run, watched or not."""


def list_names(library: str) -> list[str]:
    """What is to be judged of a library.

    Args:
        library: a name in `LIBRARIES`.
    """
    torchvision_names.ensure()
    return LIBRARIES[library][0]()


def make(library: str, name: str) -> Subject:
    """One model of a library, with an input that it takes.

    Raises:
        CannotBuildError: none of the sizes and inputs that were tried runs.
    """
    torchvision_names.ensure()
    return LIBRARIES[library][1](name)


def make_peaked(model: nn.Module) -> nn.Module:
    """Give weights that make attention choose; random ones of the usual size leave it nearly even."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1 and parameter.numel() and parameter.is_floating_point():
                inputs = parameter.numel() / len(parameter)
                parameter.copy_(torch.randn_like(parameter) * min(PEAKED, 2 * inputs**-0.5))
    return model.eval()


def _find_kind(inputs: dict[str, Any]) -> str:
    kinds = []
    for name, value in inputs.items():
        if name.startswith("pixel_values") or name in ("x", "image"):
            kinds.append("video" if value.dim() == 5 else "image")
        elif name in ("flattened_patches", "spatial_shapes", "grid_thw"):
            kinds.append("image")
        elif name == "input_ids":
            kinds.append("text")
        elif name in ("input_features", "input_values", "audio_values"):
            kinds.append("sound")
    return "+".join(dict.fromkeys(kinds)) or "other"


def _find_image(inputs: dict[str, Any]) -> tuple[int, int] | None:
    pixels = inputs.get("pixel_values", inputs.get("x"))
    whole = isinstance(pixels, Tensor) and pixels.dim() == 4
    return (int(pixels.shape[-2]), int(pixels.shape[-1])) if whole else None


def _tell(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:160]


# -- transformers -----------------------------------------------------------------------------------------------------


def _list_transformers() -> list[str]:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return sorted(CONFIG_MAPPING_NAMES)


def _make_transformers(name: str) -> Subject:
    failures: list[str] = []
    for label, config in _make_configs(name, failures):
        try:
            model = _build(name, config, MOST_PARAMETERS if label == "tiny" else MOST_OF_OTHERS)
        except Exception as error:
            failures.append(f"{label}: build: {_tell(error)}")
            continue
        for guess in guess_inputs(model, config):
            inputs = _settle(model, config, guess, failures, label)
            if inputs is not None:
                return Subject(name, model, inputs, made=[label, *(failures if label != "tiny" else [])])
    raise CannotBuildError(" | ".join(failures[:8]))


def _make_configs(name: str, failures: list[str]) -> Iterator[tuple[str, Any]]:
    """The default configuration made narrow and shallow, then shallow only, then as it is."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    overrides = OVERRIDES.get(name, {})
    try:
        kind = CONFIG_MAPPING[name]
        default = kind()
    except Exception as error:
        failures.append(f"default config: {_tell(error)}")
        return
    for label, widths, more in (("tiny", True, {}), ("tiny", True, find_ropes(default)), ("shallow", False, {})):
        try:
            yield label, kind(**merge(shrink(default.to_dict(), widths=widths), merge(more, overrides)))
        except Exception as error:
            failures.append(f"{label} config: {_tell(error)}")
    yield "default", default


def _build(name: str, config: Any, most: int) -> nn.Module:
    """A model of this configuration.

    Raises:
        MemoryError: it has more parameters than a tiny one should have.
        CannotBuildError: there is none.
    """
    kind = _find_class(name, config)
    if kind is None:
        raise CannotBuildError("no model of this configuration")
    count = 0 if most == MOST_PARAMETERS else most + 1  # where it cannot be counted
    with contextlib.suppress(Exception), torch.device("meta"):
        count = sum(parameter.numel() for parameter in kind(config).parameters())
    if count > most:
        raise MemoryError(f"{count:,} parameters")
    torch.manual_seed(0)
    return make_peaked(kind(config).float())


def _find_class(name: str, config: Any) -> Any:
    """The model of an architecture: as the library's tables say, or the one whose configuration it is."""
    import transformers

    in_table = _look_up(name)
    if in_table and hasattr(transformers, in_table):
        return getattr(transformers, in_table)
    try:
        module = importlib.import_module(type(config).__module__.replace(".configuration_", ".modeling_"))
    except ImportError:
        return None
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and _is_of(kind, type(config))]
    order = ("Projection", "For")
    return min(kinds, key=lambda kind: ([part in kind.__name__ for part in order], len(kind.__name__)), default=None)


def _is_of(kind: type, config: type) -> bool:
    import transformers

    if not issubclass(kind, transformers.PreTrainedModel) or kind.__name__.endswith("PreTrainedModel"):
        return False
    said = (kind.config_class, inspect.get_annotations(kind).get("config"))
    return config in said or config.__name__ in said


def _look_up(name: str) -> str | None:
    """The class of a model type: its base model, or else the one that most tables are about."""
    import transformers.models.auto.modeling_auto as auto

    tables = [part for part in vars(auto) if part.startswith("MODEL_FOR_") and part.endswith("_MAPPING_NAMES")]
    for table in ["MODEL_MAPPING_NAMES", *sorted(tables, key=lambda part: ("PRETRAINING" in part, part))]:
        found = getattr(auto, table).get(name)
        if found:
            return found if isinstance(found, str) else str(found[0])
    return None


def _settle(
    model: nn.Module, config: Any, guess: dict[str, Any], failures: list[str], label: str
) -> dict[str, Any] | None:
    """The inputs if the model takes them, with as many tokens for the image as it asks for."""
    error = _try(model, guess)
    if error is None:
        return guess
    failures.append(f"{label}: run({', '.join(guess)}): {_tell(error)}")
    told = re.search(r"features:? (\d+)", str(error))
    for width in (1, seek(config, "hidden_size", default=1)) if told else ():  # told in tokens, or in numbers
        inputs = place_image(model, config, guess, int(told.group(1)) // BATCH // width) if told else {}
        if inputs and _try(model, inputs) is None:
            return inputs
    return None


def _try(model: nn.Module, inputs: dict[str, Any]) -> Exception | None:
    """What the model says against its inputs."""
    torch.manual_seed(0)
    try:
        with torch.no_grad():
            model(**inputs)
    except Exception as error:
        return error
    return None


# -- timm -------------------------------------------------------------------------------------------------------------

_SIZES = (
    *("test", "atto", "femto", "pico", "nano", "zepto", "xxxs", "xxs", "xxtiny", "xtiny", "tiny", "xs", "mini", "_s0"),
    *("_t0", "_b0", "_0", "small", "_s", "18", "26", "medium", "base", "_b", "50", "large", "_l", "huge", "giant"),
)
"""Parts of names, the smallest model first."""


def _list_timm() -> list[str]:
    """One small model of each family: of each module, and in it of each beginning of a name."""
    timm = importlib.import_module("timm")
    families: dict[tuple[str, str], list[str]] = {}
    for module in timm.list_modules():
        for name in timm.list_models(module=module):
            family = re.match(r"[a-z]+(v\d)?", name)
            families.setdefault((module, family.group() if family else name), []).append(name)
    return sorted(min(found, key=_rank_size) for found in families.values())


def _rank_size(name: str) -> tuple[int, int, str]:
    return next((rank for rank, part in enumerate(_SIZES) if part in name), len(_SIZES)), len(name), name


def _make_timm(name: str) -> Subject:
    timm = importlib.import_module("timm")
    failures: list[str] = []
    for size in (64, 128, None):
        try:
            model = _create(timm, name, size)
            channels, *own = model.default_cfg["input_size"]
            inputs = {"x": noise(BATCH, channels, *(own if size is None else (size, size)))}
            with torch.no_grad():
                make_peaked(model)(**inputs)
        except Exception as error:
            failures.append(f"{size}: {_tell(error)}")
        else:
            return Subject(name, model, inputs, made=[f"image size {size or own}", *failures])
    raise CannotBuildError(" | ".join(failures))


def _create(timm: Any, name: str, size: int | None) -> Any:
    """As shallow and for as small images as the model can be made."""
    of_size = {} if size is None else {"img_size": size}
    for options in ({**of_size, "depth": 2}, of_size):
        with contextlib.suppress(Exception):
            return timm.create_model(name, pretrained=False, **options)
    return timm.create_model(name, pretrained=False)


# -- vit-pytorch ------------------------------------------------------------------------------------------------------


def _make_vit_pytorch(name: str) -> Subject:
    failures: list[str] = []
    for shape in zoo_vit_pytorch.list_shapes():
        inputs = {"x": noise(*shape)}
        try:
            model = make_peaked(zoo_vit_pytorch.build(name))
            with torch.no_grad():
                model(**inputs)
        except Exception as error:
            failures.append(f"{shape}: {_tell(error)}")
        else:
            return Subject(name, model, inputs, made=failures)
    raise CannotBuildError(" | ".join(failures))


LIBRARIES: Mapping[str, tuple[Callable[[], list[str]], Callable[[str], Subject]]] = {
    "transformers": (_list_transformers, _make_transformers),
    "timm": (_list_timm, _make_timm),
    "vit-pytorch": (zoo_vit_pytorch.list_names, _make_vit_pytorch),
}
"""Of each library how its architectures are listed, and how one is made."""
